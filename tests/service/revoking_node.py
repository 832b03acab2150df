"""A node that serves `Capabilities` and nothing else, in this process or in one of its own.

Usage: python -m tests.service.revoking_node KIND ADDRESS DATACENTER INDEX: prints its address, then waits to be killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import Directory, DirectoryRecord
from Services.fractos.errors import PermissionDeniedError
from Services.fractos.placement import Identity
from Services.fractos.transport.call_proof import CallProver, CallVerifier
from Services.fractos.transport.capabilities import CapabilitiesServicer

KEY = bytes(range(32))
EXPIRES_AT = 4e9


def capability(number: int, service: str = "math") -> fractos_pb2.Capability:
    """One that every such node takes for good: its seal is its id."""
    return fractos_pb2.Capability(links=[service.encode()], seal=number.to_bytes(16, "big"))


def revocation(number: int, service: str = "math") -> fractos_pb2.Revocation:
    """What it is revoked with."""
    return fractos_pb2.Revocation(service=service, id=number.to_bytes(16, "big"), expires_at=EXPIRES_AT)


@dataclass
class RevokingNode:
    """The node, and what it takes note of."""

    address: str
    directory: Directory
    taken: list[fractos_pb2.Revocation] = field(default_factory=list)

    def verify(self, capability: fractos_pb2.Capability) -> tuple[str, bytes, float]:
        """The capability's service, id and expiry."""
        if not capability.links:
            raise PermissionDeniedError("the capability is not one of this node")
        return capability.links[0].decode(), capability.seal, EXPIRES_AT

    async def revoke(self, capability: fractos_pb2.Capability) -> None:
        """Ask this node to revoke. Raises AioRpcError."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            stub = fractos_pb2_grpc.CapabilitiesStub(channel)
            await stub.Revoke(fractos_pb2.RevokeRequest(capability=capability), timeout=30)


@asynccontextmanager
async def revoking_node(
    record: DirectoryRecord, index: int, node_type: str = "math", key: bytes = KEY
) -> AsyncIterator[RevokingNode]:
    """List a node and serve."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    directory = open_directory(record)
    await directory.start()
    node = RevokingNode(address, directory)
    member = await directory.register(node_type, index, id=str(uuid.uuid4()), address=address, pid=os.getpid(), log="")
    servicer = CapabilitiesServicer(
        Identity(node_type, member.name, address, "", member.id),
        directory,
        CallProver(record.datacenter, key, member.name, time.time, os.urandom),
        CallVerifier(record.datacenter, key, address, time.time),
        node.verify,
        node.taken.append,
    )
    fractos_pb2_grpc.add_CapabilitiesServicer_to_server(servicer, server)
    await server.start()
    try:
        yield node
    finally:
        await directory.close()
        await servicer.close()
        await server.stop(0)


async def _main() -> None:
    kind, address, datacenter, index = sys.argv[1:]
    async with revoking_node(DirectoryRecord(kind, address, datacenter), int(index)) as node:
        print(node.address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
