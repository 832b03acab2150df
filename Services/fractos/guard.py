"""What a Controller checks capabilities with: its keys, and what was revoked. Pure.

Used by the engine for Requests, by the node's own unary service for direct calls, and by its Memory for every access.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from google.protobuf.message import Message

from protos import fractos_pb2
from Services.fractos.capability import ID_BYTES, Grant, Rights, verify
from Services.fractos.errors import InvalidArgumentError, PermissionDeniedError, ResourceExhaustedError
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.operations import Operation
from Services.fractos.schedule import Schedule

KEPT = 10_000  # chains that were verified lately
KEPT_BYTES = 16 << 20  # of them, as they came: whoever holds one can derive any number of long ones
REVOCATIONS = 100_000
FOR_ISSUED = (
    REVOCATIONS // 2
)  # of them are kept for capabilities as they were issued: anybody can derive more, and revoke those


class Guard:
    """The verifier of one node, for the operations of its type and for its own Memory. Lives on one event loop."""

    def __init__(self, service: str, key: bytes, memory_key: bytes = b"") -> None:
        """`key` is shared by all nodes of the type, `memory_key` is this process's own."""
        self._service = service
        self._key = key
        self._memory_key = memory_key
        self._grants: dict[bytes, Grant] = {}
        self._grants_bytes = 0
        self._revoked: dict[bytes, float] = {}  # by id: when the chain would have ended anyway
        self.expiry: Schedule[bytes] = Schedule(tick_s=1.0)  # when `expire` has something to do

    def grant(self, capability: fractos_pb2.Capability, now: float) -> Grant:
        """What a capability allows at Unix time `now`.

        Raises PermissionDeniedError if it is not valid, has expired or was revoked.
        """
        grant = self._valid(capability, now)
        self.check_revoked(grant.ids)
        return grant

    def _valid(self, capability: fractos_pb2.Capability, now: float) -> Grant:
        serialized = capability.SerializeToString()
        grant = self._grants.get(serialized)
        if grant is None:
            grant = self._verify(capability)
            self._keep(serialized, grant)
        if now >= grant.expires_at:
            raise PermissionDeniedError(
                f"the capability has expired {now - grant.expires_at:.0f} s ago; ask whoever gave it for a new one, or type:"
                " python3 run_datacenter.py clients add NAME"
            )
        return grant

    def check_revoked(self, ids: Sequence[bytes]) -> None:
        """Return if none of these links was revoked. Any thread may call this. Raises PermissionDeniedError."""
        if self._revoked and not self._revoked.keys().isdisjoint(ids):
            raise PermissionDeniedError("the capability, or one that it was derived from, was revoked")

    def verify_to_revoke(self, capability: fractos_pb2.Capability, now: float) -> tuple[str, bytes, float]:
        """The service of a valid capability (empty: a Memory of this node), the id of its last link, until when it is valid.

        One that is revoked already may be revoked again: who was told that not every node has confirmed it asks once more.

        Raises PermissionDeniedError: only what verifies can be revoked, by whoever holds it; ResourceExhaustedError if too many
        that were derived are revoked.
        """
        grant = self._valid(capability, now)
        *before, id = grant.ids
        self.check_revoked(before)
        is_issued = grant.service and not before
        if not is_issued and id not in self._revoked and len(self._revoked) >= REVOCATIONS - FOR_ISSUED:
            raise ResourceExhaustedError(
                f"{len(self._revoked)} revocations are remembered, and the rest of the room is kept for capabilities as they"
                " were issued; revoke the one that this was derived from, or wait until some expire"
            )
        return grant.service, id, grant.expires_at

    def check_call(
        self,
        capability: fractos_pb2.Capability,
        operation: Operation,
        request: Message,
        node: str,
        now: float,
        unseen: Sequence[str] = (),
    ) -> tuple[bytes, ...]:
        """Return if a call is allowed. `unseen` names arguments that are not in `request`: they are Memory and fetched later.

        Returns the ids of the links that allow it, for `check_revoked` when it begins. Raises PermissionDeniedError.
        """
        if not capability.links:
            raise PermissionDeniedError(
                f"{operation.path} needs a capability, and none came with it; connect(client_id=…) finds a client's,"
                " which is made by: python3 run_datacenter.py clients add NAME"
            )
        grant = self.grant(capability, now)
        grant.allow_call(operation, request, node, unseen)
        return grant.ids

    def client_of(self, capability: fractos_pb2.Capability, now: float) -> str:
        """Whose runs a capability allows to start, watch and end; empty: everybody's.

        Raises PermissionDeniedError.
        """
        if not capability.links:
            raise PermissionDeniedError(
                "to run graphs takes a capability, and none came along; connect(client_id=…) finds a client's, which is made"
                " by: python3 run_datacenter.py clients add NAME"
            )
        grant = self.grant(capability, now)
        if grant.service != self._service or grant.operations or grant.nodes or len(grant.client_ids) > 1:
            raise PermissionDeniedError(f"the capability is not one for running graphs, but for {grant.service or 'Memory'}")
        return grant.client_ids[0] if grant.client_ids else ""

    def check_memory(self, memory: fractos_pb2.Memory, right: Rights, now: float) -> None:
        """Return if a reference allows its holder to use the part that it names so. Raises PermissionDeniedError."""
        if not memory.capability.links:
            raise PermissionDeniedError("the reference to Memory comes without a capability")
        grant = self.grant(memory.capability, now)
        grant.allow_memory(memory.object, right, memory.offset, memory.size)

    def revoke(self, revocations: Iterable[fractos_pb2.Revocation]) -> None:
        """Take note that chains which go through these links are not valid any more. May be repeated.

        Raises InvalidArgumentError for what is no revocation, ResourceExhaustedError when too many are remembered: then of
        these none is.
        """
        revocations = list(revocations)
        if any(len(one.id) != ID_BYTES or not math.isfinite(one.expires_at) for one in revocations):
            raise InvalidArgumentError(f"a revocation has an id of {ID_BYTES} bytes and a time at which it expires")
        if len(self._revoked.keys() | {one.id for one in revocations}) > REVOCATIONS:
            raise ResourceExhaustedError(
                f"{REVOCATIONS} revocations are remembered, which is the limit; each goes when what it revokes expires"
            )
        for revocation in revocations:
            if self._revoked.get(revocation.id, 0.0) < revocation.expires_at:
                self._revoked[revocation.id] = revocation.expires_at
                self.expiry.add(revocation.id, revocation.expires_at + CLOCK_BOUND_S)

    def expire(self, now: float) -> None:
        """Forget revocations of what has expired, a while later: a clock that is set back must not make it valid again."""
        for id in self.expiry.pop_due(now):
            if self._revoked.get(id, now) + CLOCK_BOUND_S <= now:
                self._revoked.pop(id, None)

    def _keep(self, serialized: bytes, grant: Grant) -> None:
        if len(self._grants) >= KEPT or self._grants_bytes + len(serialized) > KEPT_BYTES:
            self._grants.clear()
            self._grants_bytes = 0
        self._grants[serialized] = grant
        self._grants_bytes += len(serialized)

    def _verify(self, capability: fractos_pb2.Capability) -> Grant:
        """The root of a chain does not say which key it was made with; that of a Memory differs from the service's."""
        try:
            grant = verify(self._key, capability)
            valid = bool(grant.service)
        except PermissionDeniedError:
            if not self._memory_key:
                raise
            grant = verify(self._memory_key, capability)
            valid = not grant.service
        if not valid or (grant.service and grant.service != self._service):
            raise PermissionDeniedError(
                f"the capability is for {grant.service or 'Memory'}, not for nodes of type {self._service}"
            )
        return grant
