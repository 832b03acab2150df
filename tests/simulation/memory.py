"""The Memory of one simulated process: kept for its runs, read by whoever has the right, freed with the run or when it expires.

Where there is no more room an older run takes that of the youngest one, as on a real node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from protos import fractos_pb2
from Services.fractos.call_memory import View
from Services.fractos.capability import Rights
from Services.fractos.errors import NotFoundError, ResourceExhaustedError
from Services.fractos.memory_draft import Draft
from Services.fractos.memory_scope import Bytes
from tests.simulation.history import Kept
from tests.simulation.rights import why_not_read

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World

Age = tuple[float, bytes]  # when its run began, and its id; what is less is older


@dataclass(frozen=True)
class Fetched:
    """Bytes that a node has got hold of; a View."""

    data: bytes

    @property
    def buffer(self) -> memoryview:
        """The bytes, read-only."""
        return memoryview(self.data)


class NoFetcher:
    """Stands where a real node has its way to the Memory of others: simulated devices fetch over the simulated network."""

    async def fetch(self, memory: fractos_pb2.Memory, deadline: float) -> View:
        """Nobody calls it."""
        raise AssertionError("the simulation fetches by itself")


@dataclass(frozen=True)
class _Object:
    data: bytes
    age: Age
    expires_at: float
    kept: Kept


class Store:
    """A Store, as `call_memory.py` wants one."""

    def __init__(self, world: World, node: SimulatedNode) -> None:
        self._world = world
        self._node = node
        self._objects: dict[bytes, _Object] = {}
        self._taken: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._objects)

    @property
    def is_crowded(self) -> bool:
        """It never holds that many objects."""
        return False

    @property
    def used_bytes(self) -> int:
        """How much it holds."""
        return sum(len(one.data) for one in self._objects.values())

    def allocate(self, size: int, *, run_id: bytes, began_at: float, expires_at: float) -> Draft:
        """For arrays, which no simulated device makes."""
        raise AssertionError

    def publish(self, data: Bytes, *, run_id: bytes, began_at: float, expires_at: float) -> fractos_pb2.Memory:
        """Keep bytes for a run. Raises ResourceExhaustedError if all that is there belongs to older ones."""
        data, node = bytes(data), self._node
        self._make_room(len(data), (began_at, run_id))
        number = self._world.keys.object()
        kept = self._world.history.keep(node.name, node.address, run_id)
        self._objects[number] = _Object(data, (began_at, run_id), expires_at, kept)
        node.later(expires_at - node.clock + 0.001, self._expire)
        capability = self._world.keys.for_memory(node.address, number, len(data), expires_at)
        digest = hashlib.blake2b(data, digest_size=16).digest()
        return fractos_pb2.Memory(owner=node.address, object=number, size=len(data), digest=digest, capability=capability)

    def read(self, memory: fractos_pb2.Memory) -> Fetched:
        """The bytes of a part. Raises PermissionDeniedError, NotFoundError, ResourceExhaustedError if it was taken away."""
        node = self._node
        assert node.engine.guard is not None
        node.engine.guard.check_memory(memory, Rights.READ, node.clock)
        found = self._objects.get(memory.object)
        if found is None and memory.object in self._taken:
            raise ResourceExhaustedError(f"the Memory at {node.address} was given to an older run", retry_after_s=0.2)
        if found is None:
            raise NotFoundError(f"no such Memory at {node.address}: it has expired, or its run is over")
        why_not = why_not_read(self._world.keys.of(node.address), memory, node.clock)
        if why_not:
            self._world.history.violated(f"{node.name} lets its Memory be read without a right to it: {why_not}")
        return Fetched(found.data[memory.offset : memory.offset + memory.size])

    def free_runs(self, run_ids: Iterable[bytes]) -> None:
        """Free all that is kept for these runs."""
        ended = frozenset(run_ids)
        self._remove([number for number, one in self._objects.items() if one.age[1] in ended])

    def _expire(self) -> None:
        now = self._node.clock
        self._remove([number for number, one in self._objects.items() if one.expires_at <= now])

    def _make_room(self, size: int, age: Age) -> None:
        history, limit = self._world.history, self._world.conditions.memory_bytes
        younger = sorted((number for number, one in self._objects.items() if one.age > age), key=lambda n: self._objects[n].age)
        free = limit - self.used_bytes
        if free + sum(len(self._objects[number].data) for number in younger) < size:
            history.crowded_out[age[1]] = None
            raise ResourceExhaustedError(f"no room for {size} bytes at {self._node.address}", retry_after_s=0.2)
        while free < size:
            number = younger.pop()
            taken = self._objects[number]
            free += len(taken.data)
            history.crowded_out[taken.age[1]] = None
            history.line(f"{self._node.name} takes Memory from {history.name(taken.age[1])} for {history.name(age[1])}")
            self._taken[number] = None
            self._remove([number])

    def _remove(self, numbers: Iterable[bytes]) -> None:
        for number in numbers:
            self._objects.pop(number).kept.freed_at = self._world.now
