"""Every rpc that this project's nodes serve, called by somebody who has nothing: a new one is tested by being there."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor

import protos
from Services.fractos.transport.unary import CAPABILITY
from tests.nodes import Nodes, nodes

__all__ = ["nodes"]

NODES = ("application-0", "storage-0", "math-0")
NOT_HERE = {"Cnn"}  # no node of this type runs in these tests


def methods() -> Iterator[MethodDescriptor]:
    for info in pkgutil.iter_modules(protos.__path__):
        if info.name.endswith("_pb2"):
            for service in importlib.import_module(f"protos.{info.name}").DESCRIPTOR.services_by_name.values():
                yield from service.methods


def answers(address: str, method: MethodDescriptor, metadata: tuple[tuple[str, bytes], ...]) -> tuple[str, list[bytes]]:
    """The status of a call with one empty message, and what came back before. On the wire all kinds of calls are alike."""
    came: list[bytes] = []
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.stream_stream(f"/{method.containing_service.full_name}/{method.name}")
        try:
            came.extend(call(iter([b""]), metadata=metadata, timeout=30))
        except grpc.RpcError as error:
            return error.code().name, came
    return "OK", came


@pytest.mark.parametrize("method", [*methods()], ids=lambda method: method.full_name.removeprefix("mockdc."))
def test_whoever_has_nothing_gets_nothing(nodes: Nodes, method: MethodDescriptor) -> None:
    served = []
    for node in NODES:
        for metadata in ((), ((CAPABILITY, b""),), ((CAPABILITY, b"\xff\xff"),), ((CAPABILITY, bytes(40)),)):
            status, came = answers(nodes.address(node), method, metadata)
            assert (status, came) != ("OK", came), node
            # The first acknowledgement of a channel is a challenge: it is what a stranger is asked, not told.
            assert not came or method.name == "Connect", node
            served.append(status != "UNIMPLEMENTED")
    assert any(served) == (method.containing_service.name not in NOT_HERE)
    for node in NODES:
        assert nodes.processes[node].poll() is None
        assert "Traceback" not in nodes.log(node)
