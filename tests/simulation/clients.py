"""Simulated clients: they submit, keep what is not answered, and turn to another application node when theirs breaks down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from protos import application_pb2
from Services.fractos.errors import AlreadyExistsError, FractosError, UnavailableError
from Services.fractos.events import CancelAsked
from Services.fractos.topology import RING
from tests.simulation.agenda import Action

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World

LATENCY_S = 0.0003
NOTICE_S = 0.002
WATCH_S = 0.5  # how often a session is looked after
SILENCE_S = 2.5
AGAIN_S = 0.1  # the pause after all application nodes have been asked
GRACE_S = 5.0  # how long beyond its deadline a client goes on about a run that nobody acknowledged


@dataclass(slots=True)
class Wanted:
    """A run without an answer."""

    run_id: bytes
    graph: bytes
    deadline: float
    topology: str = RING
    is_acknowledged: bool = False
    is_cancelled: bool = False


@dataclass(slots=True, eq=False)
class Session:
    """A client's stream to one application node."""

    node: SimulatedNode
    silent_s: float = 0.0
    is_over: bool = False


class Client:
    """One client."""

    def __init__(self, world: World, name: str, client_id: str = "") -> None:
        """`client_id`: whose files it may touch, and whose runs it may end; empty: everybody's."""
        authority = world.keys.authority(name, client_id)
        self.name = name
        self._id = client_id
        self.capability = authority.capability("application")
        self.wanted: dict[bytes, Wanted] = {}
        self._world = world
        self._session: Session | None = None
        self._connecting = False
        self._turn = 0  # whom it asks next
        world.on_death.append(self._on_death)

    # -- what it wants ----------------------------------------------------------------------------------------------------

    def submit(self, run_id: bytes, graph: bytes, timeout_s: float, topology: str = RING) -> None:
        """Want a run; also one that was answered before, to hear the same again."""
        known = run_id in self._world.history.acknowledged
        wanted = self.wanted[run_id] = Wanted(run_id, graph, self._world.now + timeout_s, topology, is_acknowledged=known)
        what = f"{self._world.history.name(run_id)} as a {topology}"
        self._world.history.line(f"{self.name} wants {what} within {timeout_s:g} s")
        if self._session is not None:
            self._send(self._session, wanted)
        else:
            self._connect(LATENCY_S)

    def meddle(self, run_id: bytes) -> None:
        """Try to cancel a run of somebody else."""
        for node in self._world.nodes.values():
            if node.engine.runs is not None:
                node.feed(CancelAsked(run_id, self._id))

    def cancel(self, run_id: bytes) -> None:
        """No longer want a run; its answer comes nevertheless."""
        wanted = self.wanted.get(run_id)
        if wanted is not None:
            wanted.is_cancelled = True
            self._world.history.line(f"{self.name} cancels {self._world.history.name(run_id)}")
            if self._session is not None:
                self._travel(self._session, partial(self._session.node.feed, CancelAsked(run_id, self._id)))

    def submit_another(self, run_id: bytes, graph: bytes) -> None:
        """Submit another graph under the id of a run that is acknowledged, which has to be refused."""
        if self._session is not None and run_id in self._world.history.acknowledged:
            request = application_pb2.SubmitRequest(run_id=run_id, timeout_s=1.0, graph=graph)
            node = self._session.node
            self._travel(self._session, lambda: node.submit(request, _Forbidden(self._world), self.capability))

    # -- answers ----------------------------------------------------------------------------------------------------------

    def on_accepted(self, run_id: bytes) -> None:
        """It is recorded: an answer will come."""
        history = self._world.history
        history.acknowledged.setdefault(run_id, self._world.now)
        if run_id in self.wanted:
            self.wanted[run_id].is_acknowledged = True

    def on_ended(self, run_id: bytes, result: bytes) -> None:
        """The answer."""
        history = self._world.history
        history.answers[run_id].append(result)
        history.acknowledged.setdefault(run_id, self._world.now)
        history.line(f"{self.name} has the answer to {history.name(run_id)}")
        self.wanted.pop(run_id, None)

    def on_refused(self, session: Session, run_id: bytes, error: FractosError) -> None:
        """Not accepted: a standby, or one that cannot now, or will never."""
        history, wanted = self._world.history, self.wanted.get(run_id)
        if wanted is None:
            return
        history.line(f"{self.name} is refused {history.name(run_id)}: {error.status} {error.message}")
        if not error.retryable:
            if wanted.is_acknowledged:
                history.violated(f"{history.name(run_id)} was acknowledged, and is refused now: {error.status} {error.message}")
            self._give_up(wanted, error)
        elif not wanted.is_acknowledged and self._world.now > wanted.deadline + GRACE_S:
            self._give_up(wanted, error)
        elif isinstance(error, UnavailableError):
            self._leave(session)
        else:
            self._world.agenda.after(max(AGAIN_S, error.retry_after_s), partial(self._send, session, wanted))

    def _give_up(self, wanted: Wanted, error: FractosError) -> None:
        del self.wanted[wanted.run_id]
        self._world.history.refusals[wanted.run_id].append(error)

    # -- the session ------------------------------------------------------------------------------------------------------

    def _connect(self, delay_s: float) -> None:
        if not self._connecting and self.wanted:
            self._connecting = True
            self._world.agenda.after(delay_s, self._try)

    def _try(self) -> None:
        self._connecting = False
        members = self._world.directory.of_type("application")
        if not members:
            self._connect(AGAIN_S)
            return
        self._turn %= len(members)
        node = self._world.at(members[self._turn].address)
        assert node is not None
        if not node.alive or self._is_silent(node):
            self._next(SILENCE_S if node.alive else LATENCY_S, len(members))
            return
        session = self._session = Session(node)
        for wanted in list(self.wanted.values()):
            self._send(session, wanted)
        self._world.agenda.after(WATCH_S, partial(self._watch, session))

    def _next(self, delay_s: float, count: int) -> None:
        self._turn += 1
        self._connect(delay_s + (AGAIN_S if self._turn >= count else 0.0))

    def _leave(self, session: Session) -> None:
        """Turn to the next application node, from the first one on."""
        if not session.is_over:
            session.is_over = True
            self._session = None
            self._next(LATENCY_S, len(self._world.directory.of_type("application")))

    def _on_death(self, node: SimulatedNode) -> None:
        session = self._session
        if session is not None and session.node is node:
            self._turn = -1
            self._world.agenda.after(NOTICE_S, partial(self._leave, session))

    def _watch(self, session: Session) -> None:
        if session.is_over:
            return
        session.silent_s = session.silent_s + WATCH_S if self._is_silent(session.node) else 0.0
        if session.silent_s >= SILENCE_S:
            self._world.history.line(f"{self.name} hears nothing from {session.node.name}")
            self._leave(session)
        elif self.wanted:
            self._world.agenda.after(WATCH_S, partial(self._watch, session))
        else:
            session.is_over, self._session = True, None

    def _is_silent(self, node: SimulatedNode) -> bool:
        return node.paused or not node.alive or self._world.network.is_blocked(self.name, node.name)

    def _send(self, session: Session, wanted: Wanted) -> None:
        if session.is_over or wanted.run_id not in self.wanted:
            return
        timeout_s = max(0.05, wanted.deadline - self._world.now)
        request = application_pb2.SubmitRequest(
            run_id=wanted.run_id, timeout_s=timeout_s, graph=wanted.graph, topology=wanted.topology
        )
        node = session.node
        self._travel(session, lambda: node.submit(request, _Attached(self, session), self.capability))
        if wanted.is_cancelled:
            self._travel(session, partial(node.feed, CancelAsked(wanted.run_id, self._id)))

    def _travel(self, session: Session, action: Action) -> None:
        """Have something arrive at the node: late if there is a wall, and although the session may be over by then."""
        self._world.agenda.after(LATENCY_S, partial(self._arrive, session, action))

    def _arrive(self, session: Session, action: Action) -> None:
        if self._world.network.is_blocked(self.name, session.node.name):
            self._world.agenda.after(WATCH_S, partial(self._arrive, session, action))
        else:
            session.node.do(action)

    def later(self, action: Action) -> None:
        """Have an answer of an application node set out."""
        self._world.agenda.after(LATENCY_S, action)

    def hear(self, session: Session, action: Callable[[], None]) -> None:
        """Have something arrive at the client, unless it has left the session by then."""
        if session.is_over:
            return
        if self._world.network.is_blocked(self.name, session.node.name):
            self._world.agenda.after(WATCH_S, partial(self.hear, session, action))
        else:
            action()


class _Attached:
    """A submission of a session at its application node."""

    def __init__(self, client: Client, session: Session) -> None:
        self._client = client
        self._session = session

    def accepted(self, run_id: bytes) -> None:
        self._tell(partial(self._client.on_accepted, run_id))

    def refused(self, run_id: bytes, error: FractosError) -> None:
        self._tell(partial(self._client.on_refused, self._session, run_id, error))

    def ended(self, result: application_pb2.RunResult) -> None:
        self._tell(partial(self._client.on_ended, result.run_id, result.SerializeToString(deterministic=True)))

    def _tell(self, action: Action) -> None:
        self._client.later(partial(self._client.hear, self._session, action))


class _Forbidden:
    """A submission that has to be refused."""

    def __init__(self, world: World) -> None:
        self._world = world

    def accepted(self, run_id: bytes) -> None:
        self._world.history.violated(f"another graph was accepted as {self._world.history.name(run_id)}")

    def refused(self, run_id: bytes, error: FractosError) -> None:
        if not isinstance(error, (AlreadyExistsError, UnavailableError)) and not error.retryable:
            name = self._world.history.name(run_id)
            self._world.history.violated(f"another graph as {name} was refused with {error.status} {error.message}")

    def ended(self, result: application_pb2.RunResult) -> None:
        pass
