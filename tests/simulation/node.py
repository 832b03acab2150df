"""One simulated process: an engine and what `controller.py` does around it, with its own clock, pauses and death."""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from protos import application_pb2, fractos_pb2
from Services.fractos.call_memory import NodeMemory
from Services.fractos.directory.entry import index_of
from Services.fractos.directory.interface import Member
from Services.fractos.engine import Engine
from Services.fractos.errors import FractosError, PermissionDeniedError
from Services.fractos.events import (
    Accepted,
    BringMemory,
    CallDevice,
    DropCalls,
    Effect,
    Event,
    FreeMemory,
    KeepLink,
    Log,
    Record,
    Recorded,
    Refused,
    ReleaseLink,
    RunEnded,
    SendFrame,
    Submitted,
    TakeOwnership,
    TimerDue,
    Wake,
)
from Services.fractos.records import Entry
from tests.simulation.agenda import Action
from tests.simulation.bringing import Bringing
from tests.simulation.devices import call_device
from tests.simulation.memory import NoFetcher, Store
from tests.simulation.takeover import Takeover

if TYPE_CHECKING:
    from tests.simulation.world import World


class Waiting(Protocol):
    """Whoever submitted a run, as in the Adaptor of an application node."""

    def accepted(self, run_id: bytes) -> None:
        """The run is recorded."""

    def refused(self, run_id: bytes, error: FractosError) -> None:
        """The run is not accepted."""

    def ended(self, result: application_pb2.RunResult) -> None:
        """The run has ended."""


class SimulatedNode:
    """A process from its start to its death. One that is started anew is another one, at another address."""

    def __init__(self, world: World, engine: Engine, member: Member, skew_s: float) -> None:
        """`skew_s` is how far its clock is ahead."""
        self.engine = engine
        self.member = member
        self.name = member.name
        self.address = member.address
        self.skew_s = skew_s
        self.alive = True
        self.paused = False
        self.follows = member.node_type == "application" or index_of(member) < world.conditions.first
        self.since = world.agenda.now
        self.store = Store(world, self)
        self.memory = NodeMemory(self.store, NoFetcher(), world.conditions.inline_limit)
        self.dropped: dict[bytes, None] = {}  # runs whose calls need not begin
        self.crash_at_write: tuple[int, bool, Action] | None = None  # how many from now; after it, not before; what to do
        self._world = world
        self._takeover = Takeover(world, self)
        self._held: list[Action] = []  # what happened to it while it was paused
        self._wake = 0  # the number of the Wake that is in force
        self._entries: list[Entry] = []
        self._committing = False
        self._outbox: list[tuple[str, bytes]] = []
        self._answers: list[Accepted | Refused | RunEnded] = []
        self._tickets: dict[int, Waiting] = {}
        self._ticket = 0
        self._waiting: dict[bytes, list[Waiting]] = {}

    @property
    def now(self) -> float:
        """The true time."""
        return self._world.agenda.now

    @property
    def clock(self) -> float:
        """The time that the process believes in."""
        return self._world.agenda.now + self.skew_s

    @property
    def epoch(self) -> int:
        """What its acknowledgements say."""
        return self.engine.tenure.epoch

    # -- what happens to a process ----------------------------------------------------------------------------------------

    def do(self, action: Action) -> None:
        """Have the process do something: now, or when it goes on; never if it is dead."""
        if self.paused:
            self._held.append(action)
        elif self.alive:
            action()

    def later(self, delay_s: float, action: Action) -> None:
        """Have the process do something later."""
        self._world.agenda.after(delay_s, lambda: self.do(action))

    def feed(self, *events: Event) -> None:
        """Give the engine events and do what it asks for."""
        self.do(lambda: self._turn(events))

    def submit(self, request: application_pb2.SubmitRequest, waiting: Waiting, capability: fractos_pb2.Capability) -> None:
        """Hand a run to the engine, if the capability allows that."""
        assert self.engine.guard is not None
        try:
            client = self.engine.guard.client_of(capability, self.clock)
        except PermissionDeniedError as error:
            waiting.refused(request.run_id, error)
            return
        self._ticket += 1
        self._tickets[self._ticket] = waiting
        self.feed(Submitted(request, self._ticket, client))

    def revoke(self, revocations: list[fractos_pb2.Revocation]) -> None:
        """Hear of revocations."""
        assert self.engine.guard is not None
        self.engine.guard.revoke(revocations)
        for revocation in revocations:
            self._world.history.revoked[self.address].setdefault(revocation.id, self.now)

    def pause(self) -> None:
        """Stop it as SIGSTOP does: nothing happens in it, and its lock stays held."""
        self.paused = True

    def resume(self) -> None:
        """Have it go on where it was stopped."""
        self.paused = False
        held, self._held = self._held, []
        for action in held:
            self.do(action)

    def write(self, apply: Callable[[], object]) -> bool:
        """Write to a disk. Returns False if the process died right before or right after it."""
        if self.crash_at_write is not None:
            writes, after, crash = self.crash_at_write
            self.crash_at_write = (writes - 1, after, crash)
            if writes <= 1:
                self.crash_at_write = None
                if after:
                    apply()
                crash()
                return False
        apply()
        return True

    # -- one turn of its event loop ---------------------------------------------------------------------------------------

    def _turn(self, events: tuple[Event, ...]) -> None:
        """As `Controller.feed`: what is asked for is recorded before anything is sent."""
        self._handle(deque(events))
        while self.alive and (recorded := self._commit()) is not None:
            self._handle(deque([recorded]))
        if not self.alive:
            return
        outbox, self._outbox = self._outbox, []
        for address, data in outbox:
            self._world.network.send(self, address, data)
        answers, self._answers = self._answers, []
        for answer in answers:
            self._answer(answer)

    def _handle(self, events: deque[Event]) -> None:
        for event in events:
            try:
                effects = self.engine.handle(event, self.clock)
            except Exception as error:  # the real Controller logs it and goes on; here it is a finding
                where = traceback.extract_tb(error.__traceback__)[-1]
                text = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
                self._world.history.violated(f"{self.name} could not handle {type(event).__name__}: {text}")
                continue
            for effect in effects:
                self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case SendFrame(address, frame):
                self._world.note_frame(self.name, address, frame)
                self._outbox.append((address, frame.SerializeToString()))
            case CallDevice():
                call_device(self._world, self, effect)
            case BringMemory():
                Bringing(self._world, self, effect).begin()
            case Record(entry):
                self._entries.append(entry)
            case Wake(at):
                self._wake += 1
                wake = self._wake
                self.later(at - self.clock + 0.001, lambda: self._wake_up(wake))
            case Accepted() | Refused() | RunEnded():
                self._answers.append(effect)
            case DropCalls(run_ids):
                self.dropped |= dict.fromkeys(sorted(run_ids))
            case FreeMemory(run_ids):
                self.store.free_runs(run_ids)
            case KeepLink(address):
                self._world.network.keep(self, address)
            case ReleaseLink(address):
                self._world.network.release(self, address)
            case TakeOwnership():
                self._takeover.begin()
            case Log(_, text, run_id):
                history = self._world.history
                history.line(f"  ({self.name}: {history.name(run_id)}: {text})" if run_id else f"  ({self.name}: {text})")

    def _wake_up(self, wake: int) -> None:
        if self._wake == wake:
            self._turn((TimerDue(),))

    # -- the journal, as `recorder.py` has it -----------------------------------------------------------------------------

    def _commit(self) -> Recorded | None:
        """Write what this turn recorded. Returns the answer unless it comes later, or never."""
        if not self._entries or self._committing:
            return None
        entries, self._entries = self._entries, []
        sync_s = self._world.conditions.sync_s
        if not sync_s:
            return self._write_entries(entries)
        self._committing = True
        # A death in between leaves a commit of which nobody has heard.
        total = self._world.random.uniform(0.5, 1.5) * sync_s
        self.later(total * self._world.random.random(), lambda: self._sync(entries, self.now + total))
        return None

    def _sync(self, entries: list[Entry], until: float) -> None:
        recorded = self._write_entries(entries)
        if recorded is not None:
            self.later(max(0.0, until - self.now), lambda: self._synced(recorded))

    def _synced(self, recorded: Recorded) -> None:
        self._committing = False
        self._turn((recorded,))

    def _write_entries(self, entries: list[Entry]) -> Recorded | None:
        made: list[Recorded] = []
        lived = self.write(lambda: made.append(self._world.disks.journal.commit(self, entries)))
        return made[0] if lived else None

    # -- clients, as the Adaptor of an application node has them ----------------------------------------------------------

    def _answer(self, answer: Accepted | Refused | RunEnded) -> None:
        history, journal = self._world.history, self._world.disks.journal
        if isinstance(answer, RunEnded):
            if not journal.has_end(answer.result.run_id):
                history.violated(f"{self.name} tells the end of {history.name(answer.result.run_id)}, which is not recorded")
            for waiting in self._waiting.pop(answer.result.run_id, ()):
                waiting.ended(answer.result)
        elif isinstance(answer, Accepted):
            waiting = self._tickets.pop(answer.ticket)
            if answer.run_id not in journal.rows:
                history.violated(f"{self.name} accepts {history.name(answer.run_id)}, which is not recorded")
            history.accepted.setdefault(answer.run_id, self.now)
            self._waiting.setdefault(answer.run_id, []).append(waiting)
            waiting.accepted(answer.run_id)
        else:
            self._tickets.pop(answer.ticket).refused(answer.run_id, answer.error)
