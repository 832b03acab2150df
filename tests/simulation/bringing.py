"""How a simulated application node gets the values of a star: fetched over the simulated network, kept in its own Memory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from protos import fractos_pb2
from Services.fractos.errors import FractosError
from Services.fractos.events import BringMemory, MemoryBrought
from Services.fractos.ledger import CLOCK_BOUND_S
from tests.simulation.fetching import Outcome
from tests.simulation.memory import Fetched

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World


class Bringing:
    """The values of one step on their way to its centre."""

    def __init__(self, world: World, node: SimulatedNode, effect: BringMemory) -> None:
        self._world = world
        self._node = node
        self._effect = effect
        self._fetched: dict[int, Fetched] = {}
        self._is_over = False

    def begin(self) -> None:
        """Fetch all of them at the same time."""
        for index, memory in enumerate(self._effect.memories):
            copy = fractos_pb2.Memory()
            copy.CopyFrom(memory)
            self._world.fetches.begin(self._node, copy, self._effect.deadline, partial(self._take, index))

    def _take(self, index: int, outcome: Outcome) -> None:
        if self._is_over:
            return
        if isinstance(outcome, FractosError):
            self._end([], outcome)
            return
        self._fetched[index] = outcome
        if len(self._fetched) == len(self._effect.memories):
            try:
                self._end([self._keep(self._fetched[number].data) for number in sorted(self._fetched)], None)
            except FractosError as error:
                self._end([], error)

    def _keep(self, data: bytes) -> fractos_pb2.Memory:
        effect = self._effect
        expires_at = effect.deadline + CLOCK_BOUND_S
        return self._node.store.publish(data, run_id=effect.key.run_id, began_at=effect.began_at, expires_at=expires_at)

    def _end(self, copies: list[fractos_pb2.Memory], error: FractosError | None) -> None:
        self._is_over = True
        self._node.feed(MemoryBrought(self._effect.key, copies, error))
