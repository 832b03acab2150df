"""The gRPC service Traffic of a node: what has gone to each other one, as frames and as Memory. Made by `node.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import grpc

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.memory import MemoryStore
from Services.fractos.placement import Identity
from Services.fractos.transport.memory_traffic import STREAM, UNIX, MemoryTraffic
from Services.fractos.transport.status import translated_errors
from Services.fractos.transport.unary import Metadata

Context: TypeAlias = "grpc.aio.ServicerContext[fractos_pb2.CountRequest, fractos_pb2.CountResponse]"


class Counters:
    """What one node has sent, and the Memory that it holds."""

    def __init__(self, frames: Mapping[str, list[int]], memory: MemoryTraffic, store: MemoryStore) -> None:
        """`frames`: how many, and of how many bytes, by address."""
        self._frames = frames
        self._memory = memory
        self._store = store

    @property
    def memory_limit_bytes(self) -> int:
        """How much Memory the node may hold."""
        return self._store.limit_bytes

    def count(self) -> fractos_pb2.CountResponse:
        """What the counters say now."""
        memory = self._memory.as_dict()["sent"]
        store = self._store
        response = fractos_pb2.CountResponse(memory_objects=store.objects, memory_bytes=store.used_bytes)
        for peer in sorted(self._frames.keys() | memory.keys()):
            frames, frame_bytes = self._frames.get(peer, (0, 0))
            ways = memory.get(peer, {})
            response.links.add(
                peer=peer,
                frames_sent=frames,
                frame_bytes_sent=frame_bytes,
                memory_mapped=ways.get(UNIX, 0),
                memory_streamed=ways.get(STREAM, 0),
            )
        return response


class TrafficServicer(fractos_pb2_grpc.TrafficServicer):
    """Answers from the counters of one node."""

    def __init__(self, identity: Identity, may_see: Callable[[Metadata], object], counters: Counters) -> None:
        """`may_see(metadata)` raises PermissionDeniedError."""
        self._identity = identity
        self._may_see = may_see
        self._counters = counters

    async def Count(self, request: fractos_pb2.CountRequest, context: Context) -> fractos_pb2.CountResponse:
        """What this node has sent, and what it holds."""
        async with translated_errors(context, self._identity):
            self._may_see(context.invocation_metadata() or ())
            return self._counters.count()
        raise AssertionError("translated_errors ends the call")
