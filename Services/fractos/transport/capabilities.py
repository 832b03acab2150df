"""The service `Capabilities`: ends a capability at every node that may honour it. Made by each node at its start.

A revocation goes to this node's own guard, then into the directory, where nodes that start later find it, then to every node of
the type, each of which confirms it. Only then does the caller hear that it is done.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Protocol, TypeAlias

import grpc

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.directory.interface import Directory, Member
from Services.fractos.directory.revocations import ID_BYTES
from Services.fractos.errors import InvalidArgumentError, UnavailableError
from Services.fractos.placement import Identity
from Services.fractos.transport.call_proof import CallProver, CallVerifier
from Services.fractos.transport.fencing import Fencing
from Services.fractos.transport.grpc_channel import OPTIONS
from Services.fractos.transport.status import translated_errors

log = logging.getLogger(__name__)

CONFIRM_TIMEOUT_S = 2.0
FENCE_TIMEOUT_S = 1.0  # how long the directory may take to drop a node that no longer listens
CONFIRM = f"/{fractos_pb2.DESCRIPTOR.services_by_name['Capabilities'].full_name}/Confirm"

RevokeContext: TypeAlias = "grpc.aio.ServicerContext[fractos_pb2.RevokeRequest, fractos_pb2.RevokeResponse]"
ConfirmContext: TypeAlias = "grpc.aio.ServicerContext[fractos_pb2.ConfirmRequest, fractos_pb2.ConfirmResponse]"


class Verify(Protocol):
    """Checks a capability."""

    def __call__(self, capability: fractos_pb2.Capability) -> tuple[str, bytes, float]:
        """Return its service (empty: a Memory of this node), the id of its last link, and until when it is valid.

        The time is a Unix time in seconds. Raises PermissionDeniedError.
        """


class CapabilitiesServicer(fractos_pb2_grpc.CapabilitiesServicer):
    """Serves `Revoke` to whoever holds a capability and `Confirm` to the Controllers of the datacenter."""

    def __init__(
        self,
        identity: Identity,
        directory: Directory,
        prover: CallProver,
        verifier: CallVerifier,
        verify: Verify,
        take: Callable[[fractos_pb2.Revocation], None],
    ) -> None:
        """Make it on the event loop, once the node is listed. From when `take` returns this node honours a revocation."""
        self._identity = identity
        self._directory = directory
        self._prover = prover
        self._verifier = verifier
        self._verify = verify
        self._take = take
        self._fencing = Fencing(directory, identity.node_type, identity.id, asyncio.get_running_loop().time)
        self._channels: dict[str, grpc.aio.Channel] = {}  # by address, of nodes that have confirmed something
        self._closing: set[asyncio.Task[None]] = set()

    async def Revoke(self, request: fractos_pb2.RevokeRequest, context: RevokeContext) -> fractos_pb2.RevokeResponse:
        """End a capability and all that were derived from it; see the proto."""
        async with translated_errors(context, self._identity):
            service, id, expires_at = self._verify(request.capability)
            revocation = fractos_pb2.Revocation(service=service, id=id, expires_at=expires_at)
            self._take(revocation)
            if service:
                await self._spread(revocation)
            log.info("revoked %s of %s", id.hex(), service or "a Memory")
            return fractos_pb2.RevokeResponse()
        raise AssertionError("translated_errors ends the call")

    async def Confirm(self, request: fractos_pb2.ConfirmRequest, context: ConfirmContext) -> fractos_pb2.ConfirmResponse:
        """Take note of a revocation; see the proto."""
        async with translated_errors(context, self._identity):
            sender = self._verifier.check(context.invocation_metadata() or (), CONFIRM, request)
            revocation = request.revocation
            self._check(revocation)
            self._take(revocation)
            log.info("%s of %s is revoked, says %s", revocation.id.hex(), revocation.service, sender)
            return fractos_pb2.ConfirmResponse()
        raise AssertionError("translated_errors ends the call")

    async def close(self) -> None:
        """Close the connections to the other nodes."""
        for address in list(self._channels):
            self._drop(address, self._channels[address])
        await asyncio.gather(*self._closing)

    def _check(self, revocation: fractos_pb2.Revocation) -> None:
        if revocation.service != self._identity.node_type:
            raise InvalidArgumentError(
                f"the revocation is for nodes of type {revocation.service!r}, this is {self._identity.name}", field="revocation"
            )
        if len(revocation.id) != ID_BYTES or not math.isfinite(revocation.expires_at):
            raise InvalidArgumentError(
                f"the revocation's id has {len(revocation.id)} bytes, not {ID_BYTES}, or it expires at no time:"
                f" {revocation.expires_at}",
                field="revocation",
            )

    async def _spread(self, revocation: fractos_pb2.Revocation) -> None:
        """Have every node know. Raises UnavailableError, naming those that may not."""
        before = self._fencing.others()
        await self._directory.put_revocation(revocation)
        others = {**before, **self._fencing.others()}
        for address in self._channels.keys() - {member.address for member in others.values()}:
            self._drop(address, self._channels[address])
        troubles = await asyncio.gather(*(self._tell(member, revocation) for member in others.values()))
        if failed := [trouble for trouble in troubles if trouble]:
            raise UnavailableError(
                f"the capability is revoked, but may still be honoured where nobody confirmed it: {'; '.join(sorted(failed))};"
                " ask again",
                definite=False,
            )

    async def _tell(self, member: Member, revocation: fractos_pb2.Revocation) -> str:
        """Have one node confirm. Returns an empty text, or who did not and why."""
        request = fractos_pb2.ConfirmRequest(revocation=revocation)
        metadata = self._prover.metadata(member.address, CONFIRM, request)
        channel = self._channels.get(member.address)
        if channel is None:
            channel = self._channels[member.address] = grpc.aio.insecure_channel(member.address, OPTIONS)
        try:
            stub = fractos_pb2_grpc.CapabilitiesStub(channel)
            await stub.Confirm(request, metadata=metadata, timeout=CONFIRM_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            self._drop(member.address, channel)  # the next call must not wait for this one's back-off
            if await self._fencing.is_fenced(member, FENCE_TIMEOUT_S):
                log.info("%s at %s no longer runs: it need not confirm", member.name, member.address)
                return ""
            return f"{member.name} at {member.address} ({error.code().name}: {error.details()})"
        return ""

    def _drop(self, address: str, channel: grpc.aio.Channel) -> None:
        """Use a connection for no further call, and close it when those that others have begun on it are over."""
        if self._channels.get(address) is channel:
            del self._channels[address]
            task = asyncio.create_task(channel.close(CONFIRM_TIMEOUT_S))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
