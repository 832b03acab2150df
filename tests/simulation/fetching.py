"""How simulated nodes get at one another's Memory: a call to its owner and back, over walls, pauses, cuts and deaths."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from protos import fractos_pb2
from Services.fractos.errors import DeadlineExceededError, FractosError, MemoryLostError
from tests.simulation.memory import Fetched

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World

SILENCE_S = 3.0  # how long an owner is waited for
NOTICE_S = 0.002  # how long until a broken connection shows
RESEND_S = 0.5  # how often the system tries again to get through a wall

Outcome: TypeAlias = "Fetched | FractosError"


class Fetches:
    """All fetches that are under way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._under_way: dict[Fetch, None] = {}

    def begin(self, node: SimulatedNode, memory: fractos_pb2.Memory, deadline: float, done: Callable[[Outcome], None]) -> None:
        """Have a node get a Memory. `done` gets the bytes, or why there are none, unless the node dies."""
        owner = self._world.at(memory.owner)
        if owner is None:
            done(MemoryLostError(f"there is nobody at {memory.owner}"))
        elif owner is node:
            done(_read(node, memory))
        else:
            fetch = Fetch(self._world, node, owner, memory, partial(self._end, done))
            self._under_way[fetch] = None
            fetch.begin(deadline)

    def cut(self, one: str, other: str) -> None:
        """Break the connections between two nodes."""
        self._lose(lambda fetch: {fetch.node.name, fetch.owner.name} == {one, other})

    def on_death(self, node: SimulatedNode) -> None:
        """A process is dead: whoever fetches from it notices, unless a wall stands between."""
        for fetch in [fetch for fetch in self._under_way if fetch.node is node]:
            del self._under_way[fetch]
        self._lose(lambda fetch: fetch.owner is node and not self._world.network.is_blocked(fetch.node.name, node.name))

    def _lose(self, applies: Callable[[Fetch], bool]) -> None:
        for fetch in [fetch for fetch in self._under_way if applies(fetch)]:
            fetch.node.later(NOTICE_S, partial(fetch.lose, "the connection broke"))

    def _end(self, done: Callable[[Outcome], None], fetch: Fetch, outcome: Outcome) -> None:
        self._under_way.pop(fetch, None)
        done(outcome)


class Fetch:
    """One fetch."""

    def __init__(
        self,
        world: World,
        node: SimulatedNode,
        owner: SimulatedNode,
        memory: fractos_pb2.Memory,
        end: Callable[[Fetch, Outcome], None],
    ) -> None:
        self.node = node
        self.owner = owner
        self._world = world
        self._memory = memory
        self._end = end
        self._is_over = False

    def begin(self, deadline: float) -> None:
        """Send the call; wait for its answer as long as that makes sense."""
        left_s = deadline - self.node.clock
        if left_s < SILENCE_S:
            late = DeadlineExceededError(f"the deadline passed before {self.owner.address} had sent its Memory")
            self.node.later(left_s, partial(self._conclude, late))
        else:
            self.node.later(SILENCE_S, partial(self.lose, f"it has not answered for {SILENCE_S:g} s"))
        self._travel(self.owner, lambda: self.owner.do(self._answer))

    def lose(self, why: str) -> None:
        """Give up."""
        self._conclude(MemoryLostError(f"Memory at {self.owner.address} is lost: {why}"))

    def _travel(self, receiver: SimulatedNode, arrive: Callable[[], None]) -> None:
        network = self._world.network
        conditions = self._world.conditions
        mean_s = conditions.latency_s + conditions.transfer_s / 2 + network.delays.get(receiver.address, 0.0)
        self._world.agenda.after(self._world.random.expovariate(1 / mean_s), partial(self._pass, arrive))

    def _pass(self, arrive: Callable[[], None]) -> None:
        """Get there, as soon as no wall stands between."""
        if self._is_over:
            return
        if self._world.network.is_blocked(self.node.name, self.owner.name):
            self._world.agenda.after(RESEND_S, partial(self._pass, arrive))
        elif not self.owner.alive:
            self.node.later(NOTICE_S, partial(self.lose, "its process is dead"))
        else:
            arrive()

    def _answer(self) -> None:
        if not self._is_over:
            outcome = _read(self.owner, self._memory)
            self._travel(self.node, lambda: self.node.do(partial(self._conclude, outcome)))

    def _conclude(self, outcome: Outcome) -> None:
        if not self._is_over:
            self._is_over = True
            if self._world.history.is_told:
                what = f"{outcome.status} {outcome.message}" if isinstance(outcome, FractosError) else "the bytes"
                self._world.history.line(
                    f"{self.node.name} asked {self.owner.name} for {self._memory.size} bytes and got {what}"
                )
            self._end(self, outcome)


def _read(owner: SimulatedNode, memory: fractos_pb2.Memory) -> Outcome:
    try:
        return owner.store.read(memory)
    except FractosError as error:
        return error
