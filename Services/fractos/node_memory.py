"""The Memory of one node, put together: where it is, how others get at it, what it is checked with. Used by `node.py`."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import TypeAlias

import grpc

from protos import fractos_pb2
from Services.fractos.call_memory import NodeMemory
from Services.fractos.capability import NONCE_BYTES, Rights, issue_for_memory
from Services.fractos.config import Configuration
from Services.fractos.errors import PermissionDeniedError
from Services.fractos.guard import Guard
from Services.fractos.memory import MemoryStore
from Services.fractos.memory_pool import BlockPool
from Services.fractos.memory_reuse import can_reuse
from Services.fractos.placement import Identity
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.memory_fetcher import MemoryFetcher
from Services.fractos.transport.memory_passing import MemoryPassing
from Services.fractos.transport.memory_service import MemoryService
from Services.fractos.transport.memory_traffic import MemoryTraffic
from Services.fractos.transport.unary import Metadata, capability_of

IsNode: TypeAlias = Callable[[str], bool]

EXPIRE_S = 1.0  # how often what has expired is freed
LONGEST_S = 24 * 3600.0  # how long a client may keep an object


class NodeMemoryServer:
    """One node's Memory at work. Lives on the event loop."""

    def __init__(
        self,
        configuration: Configuration,
        identity: Identity,
        guard: Guard,
        memory_key: bytes,
        is_node: IsNode,
        network: NodeNetwork,
    ) -> None:
        """`memory_key`: what the guard checks references to this node's Memory with. `is_node` knows the others' addresses."""
        self._guard = guard
        self._memory_key = memory_key
        self._name = identity.name
        self._is_open = configuration.authorization == "open"
        self.traffic = MemoryTraffic()
        self.store = MemoryStore(
            identity.address,
            configuration.memory.limit_mb << 20,
            check=guard.check_memory,
            issue=self._issue,
            randomness=secrets.token_bytes,
            clock=time.time,
            pool=BlockPool(time.monotonic) if can_reuse() else None,
            name=identity.name,
        )
        self._fetcher = MemoryFetcher(self.store, time.time, self.traffic, network)
        self._passing = MemoryPassing(self.store, time.time, self.traffic, self._may_leave, network)
        self._service = MemoryService(
            self.store, self._fetcher, identity, self.may_use, time.time, self.traffic, is_node, network
        )
        self._expiring: asyncio.Task[None] | None = None
        self.for_calls = NodeMemory(self.store, self._fetcher, configuration.memory.inline_limit)

    def attach(self, server: grpc.aio.Server) -> None:
        """Offer the Memory on a server that has not started, and to this host's processes from now on."""
        server.add_generic_rpc_handlers((self._service.handler(),))
        self._passing.start()
        self._expiring = asyncio.create_task(self._expire(), name="freeing what has expired")

    async def close(self) -> None:
        """Hang up and free everything."""
        if self._expiring is not None:
            self._expiring.cancel()
        self._passing.close()
        await self._fetcher.close()
        self.store.close()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_S)
            self.store.expire(time.time())
            if self.store.kept_bytes:
                await asyncio.to_thread(self.store.trim)

    def _issue(self, number: bytes, size: int, rights: Rights, expires_at: float) -> fractos_pb2.Capability:
        nonce = secrets.token_bytes(NONCE_BYTES)
        return issue_for_memory(self._memory_key, nonce, object=number, size=size, rights=rights, expires_at=expires_at)

    def may_use(self, metadata: Metadata) -> float:
        """Until when an object of a client may live: whoever may call this node's operations may leave Memory here.

        Raises PermissionDeniedError.
        """
        return self._may_leave(capability_of(metadata))

    def _may_leave(self, capability: fractos_pb2.Capability) -> float:
        now = time.time()
        if self._is_open:
            return now + LONGEST_S
        if not capability.links:
            raise PermissionDeniedError(
                "to leave Memory at a node takes a capability for its operations; connect(client_id=…) finds a client's, which"
                " is made by: python3 run_datacenter.py clients add NAME"
            )
        grant = self._guard.grant(capability, now)
        elsewhere = [node for node in grant.nodes if node != self._name]
        if not grant.service or grant.operations or elsewhere:
            raise PermissionDeniedError(
                f"the capability is for {', '.join((*grant.operations, *elsewhere)) or 'Memory'}: nothing can be left here"
            )
        return min(grant.expires_at, now + LONGEST_S)
