"""What capabilities allow, found out a second time: link by link, without any code of the guard that is checked."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from typing import Any

from google.protobuf.message import Message

from protos import fractos_pb2

READ = 1


def why_not_call(
    key: bytes, step: fractos_pb2.Step, request: Message, node: str, now: float, revoked: Collection[bytes]
) -> str:
    """Why a node may not do the step of a client with these arguments, all of them filled in. Empty: it may.

    `step` as the client sent it, `revoked` by the ids of links, `key` of the node's type.
    """
    service = step.operation.partition(".")[0]
    seal = key
    for index, serialized in enumerate(step.capability.links):
        seal = hmac.digest(seal, serialized, "sha256")
        link = fractos_pb2.Link.FromString(serialized)
        complaints = (
            (bool(revoked) and hashlib.blake2b(seal, digest_size=16).digest() in revoked, "was revoked"),
            (link.service != ("" if index else service) or bool(link.object), f"is not for {service}"),
            ((bool(link.expires_at) or not index) and link.expires_at < now, "has expired"),
            (link.operation not in ("", step.operation), f"is for {link.operation}"),
            (link.node not in ("", node), f"is for {link.node}"),
        )
        why_not = next((text for applies, text in complaints if applies), "") or _why_not_arguments(link, request)
        if why_not:
            return f"link {index} {why_not}"
    if not step.capability.links:
        return "there is no capability"
    return "" if seal == step.capability.seal else "the seal is another one"


def _why_not_arguments(link: fractos_pb2.Link, request: Any) -> str:
    fields = request.DESCRIPTOR.fields_by_name
    if link.client_id and "client_id" in fields and request.client_id != link.client_id:
        return f"is for the files of {link.client_id}, not of {request.client_id}"
    wanted = type(request).FromString(link.arguments)
    for name in link.set:
        is_absent = fields[name].has_presence and wanted.HasField(name) != request.HasField(name)
        if is_absent or getattr(wanted, name) != getattr(request, name):
            return f"sets {name} to another value"
    return ""


def why_not_read(key: bytes, memory: fractos_pb2.Memory, now: float) -> str:
    """Why a process with this key may not let somebody read Memory. Empty: it may."""
    seal, begin, end = key, 0, -1
    for index, serialized in enumerate(memory.capability.links):
        seal = hmac.digest(seal, serialized, "sha256")
        link = fractos_pb2.Link.FromString(serialized)
        if not index:
            end = link.size
            if link.object != memory.object or link.service:
                return "it is for another object"
        if link.HasField("rights") and not link.rights & READ:
            return f"link {index} takes the right to read away"
        if link.expires_at and link.expires_at < now:
            return f"link {index} expired {now - link.expires_at:.2f} s ago"
        begin = max(begin, link.offset)
        end = min(end, link.offset + link.size) if link.HasField("size") else end
    if not begin <= memory.offset <= memory.offset + memory.size <= end:
        return f"it is for bytes {begin} to {end}"
    return "" if seal == memory.capability.seal else "the seal is another one"
