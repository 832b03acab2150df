"""What every node offers to any gRPC client: its typed service, health, reflection, standard errors, a guarded channel."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import grpc
import psutil
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from protos import math_pb2, math_pb2_grpc, storage_pb2, storage_pb2_grpc
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.values import from_big_integer, to_big_integer
from tests.nodes import CONTROLLERS, ROOT, Nodes, nodes

__all__ = ["nodes"]

CLIENT = "admin"


def test_health_says_serving_on_every_node(nodes: Nodes) -> None:
    for name in nodes.processes:
        with nodes.channel(name) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                health_pb2.HealthCheckRequest.SerializeToString,
                health_pb2.HealthCheckResponse.FromString,
            )
            answer = check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_is_enough_to_find_an_operation(nodes: Nodes) -> None:
    with nodes.channel("storage-0") as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert "mockdc.storage.v1.Storage" in database.get_services()
        method = DescriptorPool(database).FindServiceByName("mockdc.storage.v1.Storage").FindMethodByName("ReadImage")
        assert [field.name for field in method.input_type.fields] == ["client_id", "name", "width", "height"]


def test_typed_unary_calls_reach_the_device(nodes: Nodes) -> None:
    with nodes.channel("math-0") as channel:
        math = math_pb2_grpc.MathStub(channel)
        assert from_big_integer(math.Factorial(math_pb2.FactorialRequest(n=to_big_integer(20))).value) == 2432902008176640000
        shifted = math.ShiftLeft(math_pb2.ShiftLeftRequest(value=to_big_integer(-3), bits=to_big_integer(4)))
        assert from_big_integer(shifted.value) == -48
    with nodes.channel("storage-0") as channel:
        storage = storage_pb2_grpc.StorageStub(channel)
        storage.WriteText(storage_pb2.WriteTextRequest(client_id=CLIENT, name="a/b.txt", text="ä"))
        assert storage.ReadText(storage_pb2.ReadTextRequest(client_id=CLIENT, name="a/b.txt")).text == "ä"
        assert list(storage.List(storage_pb2.ListRequest(client_id=CLIENT, prefix="a/")).names) == ["a/b.txt"]


def test_errors_are_standard_statuses_with_details(nodes: Nodes) -> None:
    with nodes.channel("math-0") as channel, pytest.raises(grpc.RpcError) as caught:
        math_pb2_grpc.MathStub(channel).Factorial(math_pb2.FactorialRequest(n=to_big_integer(-1)))
    assert caught.value.code() == grpc.StatusCode.OUT_OF_RANGE
    assert isinstance(caught.value, grpc.Call)
    status = rpc_status.from_call(caught.value)
    assert status is not None
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(request)
    assert (info.reason, info.domain, info.metadata["node"]) == ("OutOfRange", "mockdc", "math-0")
    assert request.field_violations[0].field == "n"


def start_by_hand(nodes: Nodes, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a math controller that is expected to refuse."""
    command = [sys.executable, str(ROOT / CONTROLLERS["math"]), "--path", str(nodes.root), *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("flags", "code", "says"),
    [
        (("-n", "math-0"), 1, "math-0"),
        (("-n", "storage-1"), 2, "math-<n> or <n>, for example math-0"),
        (("-n", "-1"), 2, "math-<n> or <n>"),
        (("-z",), 2, "uses files"),
        (("--nonsense",), 2, "unrecognized arguments"),
    ],
)
def test_a_node_that_cannot_start_says_why(nodes: Nodes, flags: tuple[str, ...], code: int, says: str) -> None:
    ended = start_by_hand(nodes, *flags)
    assert ended.returncode == code
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_stopped_while_it_starts_ends_quietly(tmp_path: Path, number: signal.Signals) -> None:
    nowhere = DirectoryRecord("zookeeper", "127.0.0.1:9", "test")
    nodes = Nodes(tmp_path, nowhere)
    command = [sys.executable, str(ROOT / CONTROLLERS["math"]), "--path", str(nodes.root), "--log", "x.log", "-v"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 20
        while not psutil.Process(process.pid).net_connections("tcp"):  # it listens, so it handles signals
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        _, written = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in written


def test_a_node_started_by_hand_takes_the_lowest_free_name_and_logs_under_it(nodes: Nodes) -> None:
    command = [sys.executable, str(ROOT / CONTROLLERS["math"]), "--path", str(nodes.root), "-v"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "math-2 is ready" in process.stderr.readline()
        (member,) = [member for member in nodes.members() if member.pid == process.pid]
        assert member.name == "math-2"
        assert member.log == str(nodes.root / "logs/math-2.log")
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 0
    assert "math-2 is ready" in (nodes.root / "logs/math-2.log").read_text()
    assert "math-2" not in {member.name for member in nodes.members()}
