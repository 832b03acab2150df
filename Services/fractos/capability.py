"""Capabilities: made, narrowed by whoever holds them, verified by whoever has the key. Pure.

A capability is a chain of links, each sealed with an HMAC under the seal before, the first under a key: the macaroons of
Birgisson et al. (NDSS 2014). Whoever holds the last seal can add a link but take none away, since no seal leads back to the
one before.
A link only ever takes something away, so the order of the checks does not matter: a chain allows what all of its links allow.
Used by `guard.py`, by clients and by nodes that make Memory.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from protos import fractos_pb2
from Services.fractos.errors import InvalidArgumentError, PermissionDeniedError
from Services.fractos.operations import Operation

KEY_BYTES = 32
NONCE_BYTES = 12
OBJECT_BYTES = 16
ID_BYTES = 16  # of a link, by which it is revoked
MAX_LINKS = 16
MAX_CHAIN_BYTES = 64 << 10
ALGORITHM = "sha256"


class Rights(IntFlag):
    """What may be done with a Memory object."""

    READ = 1
    WRITE = 2
    RELEASE = 4


NO_RIGHT = Rights(0)
EVERY_RIGHT = Rights.READ | Rights.WRITE | Rights.RELEASE


def issue_for_service(
    key: bytes,
    nonce: bytes,
    *,
    service: str,
    expires_at: float,
    client_id: str = "",
    operation: str = "",
    node: str = "",
) -> fractos_pb2.Capability:
    """The right to the operations of a node type until a Unix time, with a `client_id` to those on that client's files.

    `key` is the service's, `nonce` 12 random bytes.
    """
    _check_key(key)
    root = fractos_pb2.Link(
        nonce=nonce, expires_at=expires_at, service=service, client_id=client_id, operation=operation, node=node
    )
    return _sealed(fractos_pb2.Capability(), key, root)


def issue_for_memory(
    key: bytes, nonce: bytes, *, object: bytes, size: int, rights: Rights, expires_at: float
) -> fractos_pb2.Capability:
    """The right to a Memory object of `size` bytes until a Unix time. `key` is that of the process that holds it."""
    _check_key(key)
    root = fractos_pb2.Link(nonce=nonce, expires_at=expires_at, object=object, size=size, rights=int(rights))
    return _sealed(fractos_pb2.Capability(), key, root)


def narrow(
    capability: fractos_pb2.Capability,
    nonce: bytes,
    *,
    expires_at: float = 0.0,
    operation: str = "",
    node: str = "",
    client_id: str = "",
    arguments: Message | None = None,
    set: Iterable[str] = (),
    offset: int | None = None,
    size: int | None = None,
    rights: Rights | None = None,
) -> fractos_pb2.Capability:
    """A capability that allows no more than `capability`, and only what is given here. Nobody has to be asked.

    `set` names the fields of `arguments`, a request message, whose values are set from now on: it may hold no others, and the
    operation must be known. `offset` counts in the whole object; who is given a part of it cannot release it. What is not
    given stays as it was. Raises InvalidArgumentError if there is no capability to narrow, for a time that is none, for
    arguments that are not set, or if the chain would become too long.
    """
    if not capability.links:
        raise InvalidArgumentError("there is no capability to narrow: it has no links")
    if not 0 <= expires_at < math.inf:
        raise InvalidArgumentError(f"a capability cannot expire at {expires_at}; give a Unix time in seconds, or nothing")
    names = tuple(set)
    unset = [field.name for field, _ in arguments.ListFields() if field.name not in names] if arguments is not None else []
    if unset:
        raise InvalidArgumentError(
            f"the argument {unset[0]} has a value but is not to be set; name it in `set` or leave it out"
        )
    link = fractos_pb2.Link(
        nonce=nonce,
        expires_at=expires_at,
        operation=operation,
        node=node,
        client_id=client_id,
        arguments=arguments.SerializeToString() if arguments is not None and names else b"",
        set=names,
        offset=offset,
        size=size,
        rights=int(rights) if rights is not None else None,
    )
    return _sealed(capability, capability.seal, link)


def _sealed(before: fractos_pb2.Capability, key: bytes, link: fractos_pb2.Link) -> fractos_pb2.Capability:
    if len(link.nonce) != NONCE_BYTES:
        raise InvalidArgumentError(f"a link needs {NONCE_BYTES} random bytes, not {len(link.nonce)}")
    links = [*before.links, link.SerializeToString()]
    if len(links) > MAX_LINKS or sum(map(len, links)) > MAX_CHAIN_BYTES:
        raise InvalidArgumentError(
            f"the capability would have more than {MAX_LINKS} links or more than {MAX_CHAIN_BYTES} bytes; narrow one that was"
            " narrowed less often, with smaller arguments"
        )
    return fractos_pb2.Capability(links=links, seal=hmac.digest(key, links[-1], ALGORITHM))


def _check_key(key: bytes) -> None:
    """With an empty key everybody could make capabilities, and HMAC would take it."""
    if len(key) != KEY_BYTES:
        raise InvalidArgumentError(f"a key has {KEY_BYTES} bytes, not {len(key)}")


@dataclass(frozen=True)
class Grant:
    """What a chain allows that was verified."""

    service: str  # of a Memory: empty
    expires_at: float  # Unix time in seconds
    ids: tuple[bytes, ...]  # of the links, by which they can be revoked
    operations: tuple[str, ...] = ()  # an operation has to be all of these,
    nodes: tuple[str, ...] = ()  # at a node that is all of these,
    client_ids: tuple[str, ...] = ()  # for a client that is all of these
    settings: tuple[tuple[bytes, tuple[str, ...]], ...] = ()  # request messages, and which of their fields are set
    object: bytes = b""
    offset: int = 0
    end: int = 0
    rights: Rights = NO_RIGHT
    _parsed: dict[str, tuple[tuple[Message, tuple[str, ...]], ...]] = field(default_factory=dict, repr=False, compare=False)

    def allow_call(self, operation: Operation, request: Message, node: str, unseen: Sequence[str] = ()) -> None:
        """Return if the call is allowed. `unseen` are arguments that are not in `request`: their values are fetched later.

        Raises PermissionDeniedError that names what is not.
        """
        if operation.node_type != self.service:
            raise PermissionDeniedError(f"the capability is for {self.service or 'Memory'}, not for {operation.path}")
        for only in self.operations:
            if only != operation.path:
                raise PermissionDeniedError(f"the capability is for {only}, not for {operation.path}")
        for only in self.nodes:
            if only != node:
                raise PermissionDeniedError(f"the capability is for node {only}, not for {node}")
        if self.client_ids and operation.has_client:
            self._allow_client(operation, request, unseen)
        if self.settings:
            self._allow_arguments(operation, request, unseen)

    def allow_memory(self, object: bytes, right: Rights, offset: int, size: int) -> None:
        """Return if `size` bytes of an object from `offset` on may be used so. Raises PermissionDeniedError."""
        if object != self.object or not object:
            raise PermissionDeniedError("the capability is not for this Memory")
        if not right or right & ~self.rights:
            raise PermissionDeniedError(f"the capability does not include the right to {str(right.name).lower()} this Memory")
        if not self.offset <= offset <= offset + size <= self.end:
            raise PermissionDeniedError(
                f"the capability is for bytes {self.offset} to {self.end}, not for {offset} to {offset + size} of this Memory"
            )

    def _allow_client(self, operation: Operation, request: Any, unseen: Sequence[str]) -> None:
        for only in self.client_ids:
            if request.client_id != only or "client_id" in unseen:
                raise PermissionDeniedError(
                    f"the capability is for the files of client {only!r}, not for {operation.path} of"
                    f" client_id {request.client_id!r}; connect with that client's own: connect(client_id=…)",
                    field="client_id",
                )

    def _allow_arguments(self, operation: Operation, request: Message, unseen: Sequence[str]) -> None:
        settings = self._parsed.get(operation.path)
        if settings is None:
            settings = self._parsed[operation.path] = tuple(_parse_setting(operation, *setting) for setting in self.settings)
        for wanted, names in settings:
            for name in names:
                if name in unseen or not _equal(wanted, request, name):
                    raise PermissionDeniedError(f"the capability has the argument {name} set to another value", field=name)


def _parse_setting(operation: Operation, arguments: bytes, names: tuple[str, ...]) -> tuple[Message, tuple[str, ...]]:
    try:
        wanted = operation.request_class.FromString(arguments)
    except DecodeError:
        raise _no_such_arguments(operation) from None
    # What this verifier cannot compare, or was not told to, may have been meant to restrict: then nothing is allowed.
    strange = len(UnknownFieldSet(wanted)) or any(field.name not in names for field, _ in wanted.ListFields())
    if strange or any(name not in wanted.DESCRIPTOR.fields_by_name for name in names):
        raise _no_such_arguments(operation)
    return wanted, names


def _no_such_arguments(operation: Operation) -> PermissionDeniedError:
    return PermissionDeniedError(f"the capability sets arguments that {operation.path} does not have; ask for a new one")


def _equal(wanted: Message, request: Message, name: str) -> bool:
    present = wanted.DESCRIPTOR.fields_by_name[name].has_presence
    if present and wanted.HasField(name) != request.HasField(name):
        return False
    return bool(getattr(wanted, name) == getattr(request, name))


def verify(key: bytes, capability: fractos_pb2.Capability) -> Grant:
    """What a chain allows, if it was made with this key. Does not look at the time, nor at what was revoked.

    Raises PermissionDeniedError: also for a restriction that this verifier does not know.
    """
    _check_key(key)
    links = list(capability.links)
    if not 0 < len(links) <= MAX_LINKS or sum(map(len, links)) > MAX_CHAIN_BYTES:
        raise _invalid()
    seals = []
    seal = key
    for serialized in links:
        seal = hmac.digest(seal, serialized, ALGORITHM)
        seals.append(seal)
    if not hmac.compare_digest(seal, capability.seal):
        raise _invalid()
    # From here on everything was written by somebody who held the seal before it.
    parsed = [_parse(serialized) for serialized in links]
    ids = tuple(hashlib.blake2b(one, digest_size=ID_BYTES).digest() for one in seals)
    return _combine(parsed, ids)


def _parse(serialized: bytes) -> fractos_pb2.Link:
    try:
        link = fractos_pb2.Link.FromString(serialized)
    except DecodeError:
        raise _invalid() from None
    if len(link.nonce) != NONCE_BYTES or not 0 <= link.expires_at < math.inf or len(UnknownFieldSet(link)):
        raise _invalid()
    return link


def _combine(links: list[fractos_pb2.Link], ids: tuple[bytes, ...]) -> Grant:
    """What all links allow."""
    root = links[0]
    if not root.expires_at or bool(root.service) == bool(root.object):
        raise _invalid()
    for link in links[1:]:
        if link.service or link.object:
            raise _invalid()
    expires_at = min([link.expires_at for link in links if link.expires_at])
    return (_combine_memory if root.object else _combine_service)(links, ids, expires_at)


def _combine_service(links: list[fractos_pb2.Link], ids: tuple[bytes, ...], expires_at: float) -> Grant:
    operations: list[str] = []
    nodes: list[str] = []
    client_ids: list[str] = []
    settings: list[tuple[bytes, tuple[str, ...]]] = []
    for link in links:  # once, with each field read once: that is most of what a verification takes, after the seals
        if link.HasField("offset") or link.HasField("size") or link.HasField("rights"):
            raise _invalid()
        for said, heard in ((link.operation, operations), (link.node, nodes), (link.client_id, client_ids)):
            if said and said not in heard:
                heard.append(said)
        names, arguments = link.set, link.arguments
        if names:
            if not operations:  # whoever named one later would choose what the arguments mean
                raise _invalid()
            settings.append((arguments, tuple(names)))
        elif arguments:
            raise _invalid()
    service = links[0].service
    return Grant(service, expires_at, ids, tuple(operations), tuple(nodes), tuple(client_ids), tuple(settings))


def _combine_memory(links: list[fractos_pb2.Link], ids: tuple[bytes, ...], expires_at: float) -> Grant:
    root = links[0]
    if len(root.object) != OBJECT_BYTES or not root.HasField("size") or not root.HasField("rights") or root.offset:
        raise _invalid()
    if any(link.operation or link.node or link.client_id or link.arguments or link.set for link in links):
        raise _invalid()
    offset, end, rights = 0, root.size, Rights(root.rights & EVERY_RIGHT)
    for link in links[1:]:
        new_offset = link.offset if link.HasField("offset") else offset
        new_end = new_offset + link.size if link.HasField("size") else end
        if not offset <= new_offset <= new_end <= end:
            raise _invalid()
        offset, end = new_offset, new_end
        if link.HasField("rights"):
            rights &= Rights(link.rights & EVERY_RIGHT)
    if (offset, end) != (0, root.size):
        rights &= ~Rights.RELEASE  # which would free the rest as well
    return Grant("", expires_at, ids, object=root.object, offset=offset, end=end, rights=rights)


def _invalid() -> PermissionDeniedError:
    return PermissionDeniedError(
        "the capability is not valid: it was made with another key (for another datacenter, service or process), or was changed"
        " on the way; ask whoever gave it for a new one, or type: python3 run_datacenter.py clients add NAME"
    )
