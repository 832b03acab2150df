"""How a node gets at Memory, wherever it is: in its own store, mapped from a process of this host, or as a stream.

Which way it is follows from who listens: an owner on this host has a Unix socket named after its address. Called by
`call_memory.py` before device calls begin, and by `memory_service.py` for copies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from protos import fractos_pb2
from Services.fractos.errors import DeadlineExceededError, MemoryLostError
from Services.fractos.memory_block import MemoryPart, MemoryView
from Services.fractos.transport import memory_mapping
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.memory_mapping import MemoryMapping
from Services.fractos.transport.memory_stream import MemoryStream
from Services.fractos.transport.memory_traffic import STREAM, UNIX, MemoryTraffic

CONNECTIONS = 256  # of each way; more only while more are in use
IDLE_S = 60.0  # a stream's connection that nobody has used for so long is closed


class OwnStore(Protocol):
    """What the reader keeps itself: `memory.MemoryStore`."""

    @property
    def address(self) -> str:
        """The reader's own, host:port."""

    def open(self, memory: fractos_pb2.Memory, now: float) -> MemoryPart:
        """The part that a Memory of its own refers to."""


class MemoryFetcher:
    """The reading side of a node. Lives on the event loop."""

    def __init__(
        self,
        store: OwnStore,
        clock: Callable[[], float],
        traffic: MemoryTraffic,
        network: NodeNetwork | None = None,
        *,
        streams_only: bool = False,
    ) -> None:
        """`network`: how long the emulated links have fetches take. `streams_only`: as if no owner were on this host."""
        self._store = store
        self._clock = clock
        self._traffic = traffic
        self._network = network
        self._streams_only = streams_only
        self._loop = asyncio.get_running_loop()
        self._mappings: dict[str, MemoryMapping] = {}  # by owner, those used last at the end
        self._streams: dict[str, MemoryStream] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    async def fetch(self, memory: fractos_pb2.Memory, deadline: float) -> MemoryView:
        """Get the bytes that a Memory refers to, read-only. `deadline` in Unix seconds.

        Raises MemoryLostError if the owner is gone, DeadlineExceededError, DataLossError if they came damaged, and what the
        owner answers: PermissionDeniedError, NotFoundError, ResourceExhaustedError, FailedPreconditionError, OutOfRangeError.
        """
        if memory.owner == self._store.address:
            return self._store.open(memory, self._clock()).view()
        late = DeadlineExceededError(f"{memory.size} bytes of Memory did not come from {memory.owner} in time", definite=False)
        remaining_s = deadline - self._clock()
        if remaining_s <= 0:
            raise late
        try:
            return await asyncio.wait_for(self._fetch_in_time(memory), remaining_s)
        except asyncio.TimeoutError:
            raise late from None

    async def hand_over(
        self, owner: str, descriptor: int, size: int, capability: fractos_pb2.Capability
    ) -> fractos_pb2.Memory | None:
        """Leave a sealed memfd at an owner of this host, for as long as this fetcher is open. None: it is on another host.

        Raises what the owner raises, MemoryLostError if it is gone.
        """
        mapping = None if self._streams_only else self._mapping(owner)
        return await mapping.hand_over(descriptor, size, capability) if mapping is not None else None

    async def close(self) -> None:
        """Hang up everywhere."""
        if self._sweep is not None:
            self._sweep.cancel()
        for mapping in list(self._mappings.values()):
            mapping.close()
        for stream in list(self._streams.values()):
            self._drop(stream)
        await asyncio.gather(*self._closing)

    @property
    def connections(self) -> int:
        """How many owners this node is connected with."""
        return len(self._mappings) + len(self._streams)

    async def _fetch_in_time(self, memory: fractos_pb2.Memory) -> MemoryView:
        """Fetch, and take as long as the emulated links do. What the machine takes for it is a part of that."""
        if self._network is None:
            return await self._fetch(memory)
        asked_at = await self._network.ask(memory.owner)
        view = await self._fetch(memory)
        try:
            await self._network.receive(memory.owner, memory.size, asked_at)
        except BaseException:
            view.close()
            raise
        return view

    async def _fetch(self, memory: fractos_pb2.Memory) -> MemoryView:
        mapping = None if self._streams_only else self._mapping(memory.owner)
        view = await mapping.fetch(memory) if mapping is not None else None
        if view is not None:
            self._traffic.received(memory.owner, UNIX, memory.size)
            return view
        stream = self._stream(memory.owner)
        try:
            view = await stream.fetch(memory)
        except MemoryLostError:
            self._drop(stream)
            raise
        self._traffic.received(memory.owner, STREAM, memory.size)
        return view

    def _mapping(self, owner: str) -> MemoryMapping | None:
        mapping = self._mappings.pop(owner, None) or memory_mapping.connect(owner, self._store.address, self._mapping_closed)
        if mapping is not None:
            self._mappings[owner] = mapping
            for idle in [one for one in self._mappings.values() if one.is_idle and one is not mapping]:
                if len(self._mappings) <= CONNECTIONS:
                    break
                idle.close()
        return mapping

    def _mapping_closed(self, mapping: MemoryMapping) -> None:
        if self._mappings.get(mapping.owner) is mapping:
            del self._mappings[mapping.owner]

    def _stream(self, owner: str) -> MemoryStream:
        stream = self._streams.pop(owner, None) or MemoryStream(owner, self._store.address)
        stream.used_at = self._loop.time()
        self._streams[owner] = stream
        if len(self._streams) > CONNECTIONS:
            self._drop_idle(self._loop.time(), len(self._streams) - CONNECTIONS)
        if self._sweep is None:
            self._sweep = self._loop.call_later(IDLE_S, self._swept)
        return stream

    def _swept(self) -> None:
        self._sweep = None
        self._drop_idle(self._loop.time() - IDLE_S, len(self._streams))
        if self._streams:
            self._sweep = self._loop.call_later(IDLE_S, self._swept)

    def _drop_idle(self, used_before: float, most: int) -> None:
        idle = [one for one in self._streams.values() if one.is_idle and one.used_at < used_before]
        for stream in idle[:most]:
            self._drop(stream)

    def _drop(self, stream: MemoryStream) -> None:
        if self._streams.get(stream.owner) is stream:
            del self._streams[stream.owner]
        task = self._loop.create_task(stream.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
