"""Neighbours that do a node no good: peers that send nonsense, a device that misbehaves. One run fails, the node lives on."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from protos import fractos_pb2, fractos_pb2_grpc, math_pb2, math_pb2_grpc, storage_pb2
from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.errors import DeadlineExceededError, FractosError, InternalError, ResourceExhaustedError
from Services.fractos.events import Event, FrameReceived
from Services.fractos.transport.grpc_channel import MAX_FRAMES_BYTES, ChannelServicer
from Services.fractos.transport.handshake import OPENER
from Services.fractos.values import from_big_integer, to_big_integer
from tests.nodes import Nodes, nodes, running
from tests.service.misbehaving_node import Conduct
from tests.service.strangers import opening_for, send
from tests.waiting import eventually, on_event_loop

__all__ = ["nodes"]

MISBEHAVING = "tests/service/misbehaving_node.py"


class Peer:
    """A Controller that is none: it sends what it likes, and is the home of the runs that it makes up."""

    def __init__(self, node: str, key: bytes, home: str, capability: fractos_pb2.Capability) -> None:
        self._capability = capability
        self._node = node
        self._key = key
        self._home = home
        self.completions: dict[bytes, fractos_pb2.Completion] = {}

    def take(self, *events: Event) -> None:
        """What the node sends home."""
        for event in events:
            assert isinstance(event, FrameReceived)
            self.completions[event.frame.completion.run_id] = event.frame.completion

    def request(self, operation: str, arguments: bytes) -> tuple[bytes, bytes]:
        """A run of one step: its id, and the frame that begins it."""
        run_id = uuid.uuid4().bytes
        step = fractos_pb2.Step(id=1, operation=operation, arguments=arguments, needs=1, output=True)
        step.capability.CopyFrom(self._capability)
        request = fractos_pb2.Request(
            run_id=run_id, attempt=1, deadline=time.time() + 30, home=self._home, steps=[step], sender=1, sent_at=time.time()
        )
        return run_id, fractos_pb2.Frame(request=request).SerializeToString()

    async def send(self, *frames: bytes) -> None:
        """Send frames over a channel of their own; return when the node has accepted them."""
        opening = opening_for(self._node)
        answers = await send(opening, self._node, lambda _, first: opening.proof(self._key, OPENER, first.challenge), *frames)
        assert answers[-1].accepted == len(frames)

    async def run(self, operation: str, arguments: bytes, *before: bytes) -> fractos_pb2.Completion:
        """Send a run, after other frames of the same batch, and wait for its end."""
        run_id, frame = self.request(operation, arguments)
        await self.send(*before, frame)
        await eventually(lambda: run_id in self.completions)
        return self.completions[run_id]

    async def is_served(self, *before: bytes) -> bool:
        """Whether the node does a run as it should."""
        arguments = math_pb2.PowerRequest(base=to_big_integer(3), exponent=to_big_integer(4)).SerializeToString()
        completion = await self.run("math.power", arguments, *before)
        output = completion.trail[-1].output if completion.trail else b""
        return from_big_integer(math_pb2.PowerResponse.FromString(output).value) == 81


@pytest.fixture(scope="module")
def address(nodes: Nodes) -> str:
    return nodes.address("math-0")


@asynccontextmanager
async def peer_of(nodes: Nodes, address: str) -> AsyncIterator[Peer]:
    server = grpc.aio.server()
    home = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    peer = Peer(address, nodes.key, home, nodes.authority().capability("math"))
    servicer = ChannelServicer("test", nodes.key, home, peer.take, time.time, lambda: 0)
    fractos_pb2_grpc.add_ChannelServicer_to_server(servicer, server)
    await server.start()
    try:
        yield peer
    finally:
        await server.stop(0)
    assert nodes.processes["math-0"].poll() is None
    assert "Traceback" not in nodes.log("math-0")


def math(**integers: int) -> bytes:
    """The arguments of an operation with these fields, which all have an integer each."""
    (name, value), *_ = integers.items()
    request = {"n": math_pb2.FactorialRequest, "value": math_pb2.ShiftLeftRequest}[name]
    serialized: bytes = request(**{name: to_big_integer(value)}).SerializeToString()
    return serialized


@pytest.mark.parametrize(
    ("operation", "arguments", "status", "says"),
    [
        ("math.divide", lambda: b"", "UNIMPLEMENTED", "math-0 is a math node; it has no math.divide"),
        ("", lambda: b"", "UNIMPLEMENTED", "it has no "),
        (
            "storage.delete",
            lambda: storage_pb2.DeleteRequest(client_id="a", name="b").SerializeToString(),
            "UNIMPLEMENTED",
            "no storage.",
        ),
        ("application.submit", lambda: b"", "UNIMPLEMENTED", "it has no application.submit"),
        ("math.factorial", lambda: b"\xff\xff", "INVALID_ARGUMENT", "the arguments of math.factorial do not parse"),
        ("math.factorial", lambda: math(n=-1), "OUT_OF_RANGE", "n is -1"),
        ("math.factorial", lambda: math(n=10**9), "OUT_OF_RANGE", "n is 1000000000"),
        ("math.factorial", lambda: math(n=1 << (8 * 65 << 20)), "OUT_OF_RANGE", "this operation takes up to 1,048,576"),
        ("math.shift_left", lambda: math(value=1 << (8 * 65 << 20)), "OUT_OF_RANGE", "this operation takes up to 262,144"),
    ],
    ids=[
        "unknown",
        "nameless",
        "another kind",
        "no device",
        "no message",
        "negative",
        "large result",
        "large",
        "large, inline",
    ],
)
def test_a_request_that_a_node_cannot_serve_fails_alone(
    nodes: Nodes, address: str, operation: str, arguments: Callable[[], bytes], status: str, says: str
) -> None:
    @on_event_loop
    async def fails() -> None:
        async with peer_of(nodes, address) as peer:
            bad_run, bad = peer.request(operation, arguments())
            assert await peer.is_served(bad)
            await eventually(lambda: bad_run in peer.completions)
            failure = peer.completions[bad_run].failure
            assert (failure.status, failure.node, failure.definite) == (status, "math-0", True)
            assert says in failure.message

    fails()


@on_event_loop
async def test_frames_for_others_and_frames_that_are_none_are_passed_over(nodes: Nodes, address: str) -> None:
    senseless = [
        b"no frame at all",
        b"\x0a\xff\xff\xff\xff\x0f",  # a Request that is longer than its frame
        fractos_pb2.Frame(completion=fractos_pb2.Completion(run_id=b"x", trail=[fractos_pb2.Hop(step=1)])).SerializeToString(),
        fractos_pb2.Frame(request=fractos_pb2.Request(run_id=b"x", home="nowhere")).SerializeToString(),
        fractos_pb2.Frame(
            finished=fractos_pb2.Finished(runs=[fractos_pb2.FinishedRun(run_id=b"x", drop=True)])
        ).SerializeToString(),
    ]
    async with peer_of(nodes, address) as peer:
        assert await peer.is_served(*senseless)


@on_event_loop
async def test_a_batch_beyond_every_limit_breaks_its_own_channel_only(nodes: Nodes, address: str) -> None:
    async with peer_of(nodes, address) as peer:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await peer.send(bytes(MAX_FRAMES_BYTES // 2), bytes(MAX_FRAMES_BYTES // 2))
        # gRPC tells the sender why, or only that it could not send on: whichever it learns first.
        assert caught.value.code() in {grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL}
        assert await peer.is_served()


# -- a device that misbehaves ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def misbehaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Ends well, although calls hang in its device."""
    root = tmp_path_factory.mktemp("misbehaving")
    with running(root, "application-0", "math-0", scripts={"math": MISBEHAVING}) as started:
        yield started


@pytest.fixture(scope="module")
def datacenter(misbehaving: Nodes) -> Iterator[Datacenter]:
    with connect(misbehaving.root) as connected:
        yield connected


def conduct(operation: str, what: Conduct) -> TaskGraph:
    graph = TaskGraph(what.name)
    if operation == "factorial":
        graph.math.factorial(n=what)
    else:
        graph.math.shift_left(value=0, bits=what)
    return graph


def assert_serves(datacenter: Datacenter) -> None:
    graph = TaskGraph("good")
    inline = graph.math.shift_left(value=0, bits=Conduct.ANSWER)
    base = graph.math.power(base=7, exponent=0, after=inline)
    assert datacenter.run(graph)[base].value == 7


@pytest.mark.parametrize("operation", ["factorial", "shift_left"])
@pytest.mark.parametrize(
    ("what", "kind", "says"),
    [
        (Conduct.RAISE, InternalError, "ZeroDivisionError: as asked"),
        (Conduct.EXIT, InternalError, "raised SystemExit(3)"),
        (Conduct.RETURN_NOTHING, InternalError, "returned NoneType, not"),
        (Conduct.RETURN_ANOTHER_TYPE, InternalError, "returned PowerResponse, not"),
        (Conduct.RETURN_TOO_MUCH, ResourceExhaustedError, "the limit is 67108864 (64 MiB)"),
    ],
)
def test_what_a_device_does_wrong_fails_one_run(
    misbehaving: Nodes, datacenter: Datacenter, operation: str, what: Conduct, kind: type[FractosError], says: str
) -> None:
    graph = conduct(operation, what)
    graph.output(graph.steps[0])  # so that a large one has to come here
    with pytest.raises(kind) as caught:
        datacenter.run(graph)
    assert says in caught.value.message
    assert (caught.value.context.node, caught.value.context.operation) == ("math-0", f"math.{operation}")
    assert_serves(datacenter)
    assert misbehaving.processes["math-0"].poll() is None


def test_calls_that_hang_end_by_their_deadlines_and_others_go_on(misbehaving: Nodes, datacenter: Datacenter) -> None:
    hanging = [datacenter.submit(conduct("factorial", Conduct.HANG), timeout_s=0.3) for _ in range(3)]
    with misbehaving.channel("math-0") as channel, pytest.raises(grpc.RpcError) as refused:
        request = math_pb2.FactorialRequest(n=to_big_integer(Conduct.HANG))
        math_pb2_grpc.MathStub(channel).Factorial(request, timeout=0.3)
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    for run in hanging:
        with pytest.raises(DeadlineExceededError):
            run.result()
    assert_serves(datacenter)
    assert "math.factorial hangs and is abandoned" in misbehaving.log("math-0")


def test_a_slower_device_by_configuration(tmp_path: Path) -> None:
    with (
        running(tmp_path, "application-0", "math-0", keys={"math": "device_latency_ms = 150.5"}) as nodes,
        connect(nodes.root) as datacenter,
    ):
        graph = TaskGraph("slow")
        step = graph.math.shift_left(value=3, bits=1)
        last = graph.math.factorial(n=step.value)
        result = datacenter.run(graph)
        assert result[last].value == 720
        assert all(hop.finished_at - hop.started_at >= 0.1505 for hop in result.trail)
        with pytest.raises(DeadlineExceededError):
            datacenter.run(graph, timeout_s=0.05)
