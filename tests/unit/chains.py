"""Chains that tests begin with, and what anybody can make of them who has a key or the last seal, without this project."""

from __future__ import annotations

import hmac
from typing import Any

import pytest

from protos import fractos_pb2, storage_pb2
from Services.fractos.capability import EVERY_RIGHT, Rights, issue_for_memory, issue_for_service, narrow, verify
from Services.fractos.errors import PermissionDeniedError
from tests.unit.derivations import EXPIRES_AT, KEY, OBJECT, SIZE, nonce

TENSOR = fractos_pb2.Tensor(dtype="uint8", shape=[1], data=b"\0")


def storage(**root: Any) -> fractos_pb2.Capability:
    return issue_for_service(KEY, nonce(0), service="storage", expires_at=EXPIRES_AT, **root)


def memory(rights: Rights = EVERY_RIGHT) -> fractos_pb2.Capability:
    return issue_for_memory(KEY, nonce(0), object=OBJECT, size=SIZE, rights=rights, expires_at=EXPIRES_AT)


def step() -> fractos_pb2.Capability:
    """A chain of three: ann's files, then one operation with two of its arguments set, then one node."""
    write = narrow(
        narrow(storage(), nonce(1), client_id="ann"),
        nonce(2),
        operation="storage.write_text",
        arguments=storage_pb2.WriteTextRequest(name="a", text="x"),
        set=["name", "text"],
    )
    return narrow(write, nonce(3), node="storage-0")


def sealed(key: bytes, *links: bytes) -> fractos_pb2.Capability:
    """A chain as anybody can make it who has the key, of links that this project does not make."""
    seal = key
    for link in links:
        seal = hmac.digest(seal, link, "sha256")
    return fractos_pb2.Capability(links=links, seal=seal)


def extended(capability: fractos_pb2.Capability, link: fractos_pb2.Link | bytes) -> fractos_pb2.Capability:
    """A chain as its holder can extend it without asking `narrow`."""
    serialized = link if isinstance(link, bytes) else link.SerializeToString()
    return fractos_pb2.Capability(
        links=[*capability.links, serialized], seal=hmac.digest(capability.seal, serialized, "sha256")
    )


def refuse(capability: fractos_pb2.Capability, key: bytes = KEY) -> None:
    """The chain is worth nothing."""
    with pytest.raises(PermissionDeniedError, match="the capability is not valid"):
        verify(key, capability)
