"""The Memory of a node, served on loopback, without the rest of it. As a program: publishes an object, waits to be killed.

Usage: python -m tests.service.memory_node SIZE
Prints the Memory as base64. Its bytes are those of `pattern`.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import time
from collections.abc import Callable
from types import TracebackType

import grpc

from protos import fractos_pb2
from Services.fractos.errors import PermissionDeniedError
from Services.fractos.memory import MemoryStore
from Services.fractos.placement import Identity
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.grpc_channel import OPTIONS
from Services.fractos.transport.memory_fetcher import MemoryFetcher
from Services.fractos.transport.memory_passing import MemoryPassing
from Services.fractos.transport.memory_service import MemoryService
from Services.fractos.transport.memory_traffic import MemoryTraffic

RUN = b"r" * 16
SEAL = b"allowed"


def pattern(size: int) -> bytes:
    """Bytes that differ from place to place."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def issue(_: bytes, __: int, rights: int, ___: float) -> fractos_pb2.Capability:
    """A capability that `check` accepts for these rights."""
    return fractos_pb2.Capability(links=[bytes([rights])], seal=SEAL)


def check(memory: fractos_pb2.Memory, right: int, _: float) -> None:
    """Allow what `issue` issued."""
    capability = memory.capability
    if capability.seal != SEAL or not capability.links[0][0] & right:
        raise PermissionDeniedError(f"no right {right} to this Memory")


def may_create(metadata: tuple[tuple[str, str | bytes], ...]) -> float:
    """Allow who says so."""
    if dict(metadata).get("may-create") != "yes":
        raise PermissionDeniedError("may not create Memory: name a capability in mockdc-capability-bin")
    return time.time() + 60


class MemoryNode:
    """A context manager."""

    def __init__(
        self,
        limit_bytes: int = 1 << 30,
        streams_only: bool = False,
        network: Callable[[], NodeNetwork] | None = None,
    ) -> None:
        """`network` makes the emulated network that it is on."""
        self._limit_bytes = limit_bytes
        self._streams_only = streams_only
        self._make_network = network

    async def __aenter__(self) -> MemoryNode:
        self.server = grpc.aio.server(options=OPTIONS)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.traffic = MemoryTraffic()
        self.store = MemoryStore(
            self.address, self._limit_bytes, check=check, issue=issue, randomness=os.urandom, clock=time.time
        )
        self.network = network = self._make_network() if self._make_network else None
        self.fetcher = MemoryFetcher(self.store, time.time, self.traffic, network, streams_only=self._streams_only)
        self.passing = MemoryPassing(self.store, time.time, self.traffic, lambda capability: time.time() + 60, network)
        identity = Identity("storage", "storage-0", self.address)
        service = MemoryService(
            self.store, self.fetcher, identity, may_create, time.time, self.traffic, lambda address: True, network
        )
        self.server.add_generic_rpc_handlers((service.handler(),))
        await self.server.start()
        self.passing.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.fetcher.close()
        self.passing.close()
        await self.server.stop(None)
        self.store.close()
        if self.network is not None:
            self.network.close()

    def publish(self, data: bytes) -> fractos_pb2.Memory:
        """Keep bytes for the run."""
        return self.store.publish(data, run_id=RUN, began_at=1.0, expires_at=time.time() + 60)


async def main() -> None:
    async with MemoryNode() as node:
        memory = node.publish(pattern(int(sys.argv[1])))
        print(base64.b64encode(memory.SerializeToString()).decode(), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
