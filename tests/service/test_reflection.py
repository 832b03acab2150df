"""A client that has no proto files: what a node offers is asked from the node, and then called. Imports nothing of `protos`."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.nodes import Nodes, nodes

__all__ = ["nodes"]

TYPED = {
    "application-0": "mockdc.application.v1.Application",
    "storage-0": "mockdc.storage.v1.Storage",
    "math-0": "mockdc.math.v1.Math",
}


def call(channel: grpc.Channel, service: str, method: str, **fields: Any) -> Any:
    """Call a method by what the node itself says of it, with classes made from that alone."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    described = pool.FindServiceByName(service).FindMethodByName(method)
    invoke = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=GetMessageClass(described.input_type).SerializeToString,
        response_deserializer=GetMessageClass(described.output_type).FromString,
    )
    return invoke(GetMessageClass(described.input_type)(**fields), timeout=10)


@pytest.mark.parametrize("name", TYPED)
def test_every_method_that_a_node_offers_is_described(nodes: Nodes, name: str) -> None:
    with nodes.channel(name) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        assert {TYPED[name], "grpc.health.v1.Health", "mockdc.fractos.v1.Channel"} <= services
        pool = DescriptorPool(database)
        for service in services:
            methods = pool.FindServiceByName(service).methods
            assert methods
            for method in methods:
                assert GetMessageClass(method.input_type)().ByteSize() == 0
                assert GetMessageClass(method.output_type)().ByteSize() == 0


@pytest.mark.parametrize("name", TYPED)
def test_health_is_asked_without_its_proto_file(nodes: Nodes, name: str) -> None:
    with nodes.channel(name) as channel:
        answer = call(channel, "grpc.health.v1.Health", "Check")
        assert answer.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[answer.status].name == "SERVING"


def test_operations_are_called_without_their_proto_files(nodes: Nodes) -> None:
    with nodes.channel("math-0") as channel:
        answer = call(channel, "mockdc.math.v1.Math", "Factorial", n={"magnitude": bytes([20])})
        assert int.from_bytes(answer.value.magnitude, "big") == 2432902008176640000
    with nodes.channel("storage-0") as channel:
        storage = "mockdc.storage.v1.Storage"
        call(channel, storage, "WriteText", client_id="admin", name="reflected.txt", text="ä")
        assert call(channel, storage, "ReadText", client_id="admin", name="reflected.txt").text == "ä"
