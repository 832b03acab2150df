"""What clients can do who do not use this project's client: any call with any capability, and graphs made by hand."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ParamSpec

import grpc
from google.protobuf.message import Message

from protos import application_pb2, application_pb2_grpc, fractos_pb2
from Services.fractos.graph import default_catalogue
from Services.fractos.operations import Operation
from Services.fractos.transport.unary import CAPABILITY
from tests.nodes import Nodes

TIMEOUT_S = 30.0
Parameters = ParamSpec("Parameters")
Metadata = tuple[tuple[str, bytes], ...]


def operation(path: str) -> Operation:
    """One of the catalogue."""
    found = default_catalogue().get(path)
    assert found is not None
    return found


def carried(capability: fractos_pb2.Capability | None) -> Metadata:
    """The metadata of a call."""
    return () if capability is None else ((CAPABILITY, capability.SerializeToString()),)


def call(nodes: Nodes, node: str, path: str, request: Message, capability: fractos_pb2.Capability | None) -> Any:
    """Call an operation of a node directly. Raises RpcError."""
    what = operation(path)
    with grpc.insecure_channel(nodes.address(node)) as channel:
        method = channel.unary_unary(
            what.rpc,
            request_serializer=what.request_class.SerializeToString,
            response_deserializer=what.response_class.FromString,
        )
        return method(request, metadata=carried(capability), timeout=TIMEOUT_S)


def status_of(attempt: Callable[Parameters, object], *args: Parameters.args, **more: Parameters.kwargs) -> str:
    """The name of the status that an attempt ends with."""
    try:
        attempt(*args, **more)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def step(id: int, path: str, arguments: bytes | Message, capability: fractos_pb2.Capability, **more: Any) -> fractos_pb2.Step:
    """A step of a graph, whatever the arguments are."""
    serialized = arguments if isinstance(arguments, bytes) else arguments.SerializeToString()
    made = fractos_pb2.Step(id=id, operation=path, arguments=serialized, output=True, **more)
    made.capability.CopyFrom(capability)
    return made


def run(nodes: Nodes, client_id: str, steps: Iterable[fractos_pb2.Step]) -> application_pb2.RunResult:
    """Submit a graph made by hand as a client, and wait for its end. Raises RpcError if it is refused."""
    graph = fractos_pb2.Graph(name="by hand", steps=steps).SerializeToString()
    request = application_pb2.SubmitRequest(run_id=uuid.uuid4().bytes, graph=graph, timeout_s=TIMEOUT_S)
    with nodes.channel("application-0", client_id) as channel:
        stub = application_pb2_grpc.ApplicationStub(channel)
        stub.Submit(request, timeout=TIMEOUT_S)
        *_, last = stub.Watch(application_pb2.WatchRequest(run_id=request.run_id), timeout=TIMEOUT_S)
        result: application_pb2.RunResult = last.result
        return result


def outcome(nodes: Nodes, client_id: str, *steps: fractos_pb2.Step) -> str:
    """The status of a graph made by hand: of its submission, or of how its run ended."""
    ended: list[application_pb2.RunResult] = []
    refused = status_of(lambda: ended.append(run(nodes, client_id, steps)))
    return refused if refused != "OK" else ended[0].failure.status or "OK"


def some_arguments(what: Operation, **given: Any) -> dict[str, Any]:
    """A value for every argument of an operation, as Python has it."""
    values: dict[str, Any] = {}
    for name, field in what.arguments().items():
        if name in given:
            values[name] = given[name]
        elif field.message_type is fractos_pb2.Tensor.DESCRIPTOR:
            values[name] = fractos_pb2.Tensor(dtype="uint8", shape=[4], data=b"evil")
        elif field.message_type is not None:
            values[name] = fractos_pb2.BigInteger(magnitude=b"\x07")
        else:
            values[name] = {field.TYPE_STRING: "evil", field.TYPE_BYTES: b"evil"}.get(field.type, 1)
    return values


def files_of(folder: Path) -> dict[str, bytes]:
    """All that is in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
