"""The Controller on an event loop, with a device that does as it is told and a transport that only takes notes."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from google.protobuf.message import Message

from protos import fractos_pb2, math_pb2
from Services.fractos.adaptor import Adaptor, inline
from Services.fractos.config import DeviceSettings
from Services.fractos.controller import Controller
from Services.fractos.device_model import DeviceModel
from Services.fractos.engine import Engine
from Services.fractos.errors import DeadlineExceededError, FractosError, NotFoundError, UnavailableError
from Services.fractos.events import FrameReceived
from Services.fractos.graph import TaskGraph, default_catalogue
from Services.fractos.interruption import current
from Services.fractos.placement import Identity
from Services.fractos.plan import make_plan
from Services.fractos.transport.interface import Transport
from Services.fractos.values import from_big_integer, to_big_integer
from Services.StorageNode.Storage_Adaptor.storage_adaptor import StorageAdaptor
from tests.waiting import eventually, on_event_loop

PATIENCE_S = 10.0


ERRORS = [ZeroDivisionError("as asked"), NotFoundError("no such number"), SystemExit(3), asyncio.CancelledError("why not")]


class Notes(Transport):
    """Keeps what it should send."""

    def __init__(self) -> None:
        self.sent: list[fractos_pb2.Frame] = []

    def send(self, address: str, frame: fractos_pb2.Frame) -> None:
        self.sent.append(frame)

    def flush(self) -> None:
        pass

    def release(self, address: str) -> None:
        pass

    def keep(self, address: str) -> None:
        pass

    async def close(self) -> None:
        pass


class Device(Adaptor):
    """One thread. `power` waits until it may go on or is interrupted; `factorial` raises what n asks for."""

    node_type = "math"
    threads = 1

    def __init__(self) -> None:
        super().__init__(default_catalogue())
        self.may_go_on = threading.Event()
        self.begun: list[int] = []
        self.interrupted: list[int] = []

    def power(self, request: math_pb2.PowerRequest) -> math_pb2.PowerResponse:
        base = from_big_integer(request.base)
        self.begun.append(base)
        while not self.may_go_on.is_set():
            try:
                current().wait(0.005)
            except FractosError:
                self.interrupted.append(base)
                raise
        return math_pb2.PowerResponse(value=request.base)

    def crop(self, request: math_pb2.CropRequest) -> math_pb2.CropResponse:
        raise AssertionError

    def similarity(self, request: math_pb2.SimilarityRequest) -> math_pb2.SimilarityResponse:
        raise AssertionError

    def scale(self, request: math_pb2.ScaleRequest) -> math_pb2.ScaleResponse:
        raise AssertionError

    @inline
    def shift_left(self, request: math_pb2.ShiftLeftRequest) -> math_pb2.ShiftLeftResponse:
        self.begun.append(threading.get_ident())
        return math_pb2.ShiftLeftResponse(value=request.value)

    def factorial(self, request: math_pb2.FactorialRequest) -> math_pb2.FactorialResponse:
        raise ERRORS[from_big_integer(request.n)]

    def binomial(self, request: math_pb2.BinomialRequest) -> math_pb2.BinomialResponse:
        return math_pb2.PowerResponse()  # type: ignore[return-value]

    def binomial_expansion(self, request: math_pb2.BinomialExpansionRequest) -> math_pb2.BinomialExpansionResponse:
        raise AssertionError


def make(latency_ms: float = 0.0) -> tuple[Controller, Device, Notes]:
    device, notes = Device(), Notes()
    engine = Engine(Identity("math", "math-0", "here"), default_catalogue())
    return Controller(engine, device, notes, model=DeviceModel.of(DeviceSettings(latency_ms))), device, notes


def arriving(graph: TaskGraph, run: bytes, timeout_s: float = PATIENCE_S) -> FrameReceived:
    request = fractos_pb2.Request.FromString(make_plan(graph.serialized(), default_catalogue()).openings[0])
    request.run_id, request.attempt, request.deadline, request.home = run, 1, time.time() + timeout_s, "home"
    return FrameReceived(fractos_pb2.Frame(request=request))


def append(text: str) -> TaskGraph:
    graph = TaskGraph("append")
    graph.storage.append_text(client_id="admin", name="a", text=text)
    return graph


def power(base: int) -> TaskGraph:
    graph = TaskGraph("power")
    graph.math.power(base=base, exponent=1)
    return graph


def dropping(run: bytes) -> FrameReceived:
    finished = fractos_pb2.Finished(runs=[fractos_pb2.FinishedRun(run_id=run, deadline=time.time() + 1, drop=True)])
    return FrameReceived(fractos_pb2.Frame(finished=finished))


def unary(controller: Controller, path: str, timeout_s: float = PATIENCE_S, **arguments: int) -> asyncio.Future[Message]:
    operation = default_catalogue().get(path)
    assert operation is not None
    request = operation.request_class(**{name: to_big_integer(value) for name, value in arguments.items()})
    return asyncio.ensure_future(controller.call(operation, request, time.time() + timeout_s, fractos_pb2.Capability()))


@on_event_loop
async def test_a_call_that_waits_past_its_deadline_is_not_begun() -> None:
    controller, device, notes = make()
    controller.feed(arriving(power(1), b"first"))
    await eventually(lambda: device.begun == [1])
    deadline = time.time() + 0.05
    controller.feed(arriving(power(2), b"second", timeout_s=0.05))
    call = unary(controller, "math.power", 0.05, base=3)
    await eventually(lambda: time.time() > deadline + 0.01)
    device.may_go_on.set()
    with pytest.raises(DeadlineExceededError):
        await call
    await eventually(lambda: len(notes.sent) == 2)
    assert [frame.completion.failure.status for frame in notes.sent] == ["", "DEADLINE_EXCEEDED"]
    assert device.begun == [1]
    await controller.close()


@on_event_loop
async def test_a_stopped_run_frees_the_device_for_others() -> None:
    controller, device, notes = make()
    for number in (1, 2, 3):
        controller.feed(arriving(power(number), b"run %d" % number))
    await eventually(lambda: device.begun == [1])
    controller.feed(dropping(b"run 2"))
    controller.feed(dropping(b"run 1"))
    await eventually(lambda: device.begun == [1, 3])
    device.may_go_on.set()
    await eventually(lambda: notes.sent)
    assert device.interrupted == [1]
    assert [frame.completion.run_id for frame in notes.sent] == [b"run 3"]
    await controller.close()


@on_event_loop
async def test_a_caller_that_hangs_up_frees_the_device_for_others() -> None:
    controller, device, notes = make()
    running, waiting = unary(controller, "math.power", base=1), unary(controller, "math.power", base=2)
    await eventually(lambda: device.begun == [1])
    controller.feed(arriving(power(3), b"run"))
    waiting.cancel()
    running.cancel()
    await eventually(lambda: device.begun == [1, 3])
    device.may_go_on.set()
    await eventually(lambda: notes.sent)
    assert device.interrupted == [1]
    await controller.close()


@on_event_loop
async def test_a_run_of_many_steps_does_not_keep_one_of_a_single_step_waiting() -> None:
    controller, device, notes = make()
    many = TaskGraph("many")
    for base in range(100, 200):
        many.math.power(base=base, exponent=1)
    for opening in make_plan(many.serialized(), default_catalogue()).openings:
        request = fractos_pb2.Request.FromString(opening)
        request.run_id, request.attempt, request.deadline, request.home = b"many", 1, time.time() + PATIENCE_S, "home"
        controller.feed(FrameReceived(fractos_pb2.Frame(request=request)))
    controller.feed(arriving(power(1), b"single"))
    call = unary(controller, "math.power", base=2)
    await eventually(lambda: device.begun)
    device.may_go_on.set()
    await call
    await eventually(lambda: len(notes.sent) == 101)
    assert {1, 2} <= set(device.begun[:4])
    await controller.close()


@on_event_loop
async def test_a_slower_device_takes_that_much_longer_and_keeps_nothing_on_the_event_loop() -> None:
    controller, device, notes = make(latency_ms=50)
    graph = TaskGraph("inline")
    graph.math.shift_left(value=1, bits=1)
    controller.feed(arriving(graph, b"run"))
    assert not device.begun
    await eventually(lambda: notes.sent)
    (hop,) = notes.sent[0].completion.trail
    assert hop.finished_at - hop.started_at >= 0.05
    await unary(controller, "math.shift_left", value=1, bits=1)
    assert threading.get_ident() not in device.begun
    await controller.close()


@on_event_loop
async def test_the_delay_of_a_slower_device_ends_with_its_run() -> None:
    controller, device, notes = make(latency_ms=PATIENCE_S * 1e3)
    controller.feed(arriving(power(1), b"late", timeout_s=0.02))
    controller.feed(arriving(power(2), b"stopped"))
    await eventually(lambda: notes.sent)
    controller.feed(dropping(b"stopped"))
    with pytest.raises(DeadlineExceededError):
        await unary(controller, "math.power", 0.02, base=3)
    await controller.close()
    (frame,) = notes.sent
    assert (frame.completion.run_id, frame.completion.failure.status) == (b"late", "DEADLINE_EXCEEDED")
    assert not device.begun


@on_event_loop
async def test_a_device_that_takes_no_more_fails_a_run_at_once() -> None:
    controller, _, notes = make()
    await controller.close()
    controller.feed(arriving(power(1), b"run"))
    assert notes.sent[0].completion.failure.status == "UNAVAILABLE"
    with pytest.raises(UnavailableError):
        await unary(controller, "math.power", base=1)


@on_event_loop
async def test_a_failure_that_is_remembered_keeps_no_arguments() -> None:
    controller, _, notes = make()
    graph = TaskGraph("fails")
    graph.math.factorial(n=0)
    controller.feed(arriving(graph, b"run"))
    await eventually(lambda: notes.sent)
    assert ERRORS[0].__traceback__ is None
    await controller.close()


@on_event_loop
async def test_inline_operations_run_on_the_event_loop() -> None:
    controller, device, notes = make()
    graph = TaskGraph("chain")
    value: object = 1
    for _ in range(50):
        value = graph.math.shift_left(value=value, bits=1).value
    controller.feed(arriving(graph, b"run"))
    assert device.begun == [threading.get_ident()]
    assert notes.sent[0].completion.failure.status == "UNAVAILABLE"  # nobody is listed for the second step
    await controller.close()


@on_event_loop
async def test_a_node_that_was_started_again_does_a_remembered_step_once(tmp_path: Path) -> None:
    """The next attempt of a run has the same steps; another run has others."""
    for attempt, run in ((1, b"run"), (2, b"run"), (1, b"another run")):
        adaptor, notes = StorageAdaptor.create(default_catalogue(), tmp_path, tmp_path), Notes()
        controller = Controller(Engine(Identity("storage", "storage-0", "here"), default_catalogue()), adaptor, notes)
        event = arriving(append("+"), run)
        event.frame.request.attempt = attempt
        controller.feed(event)
        await eventually(partial(len, notes.sent))
        assert not notes.sent[0].completion.HasField("failure")
        await controller.close()
        adaptor.stop()
    assert (tmp_path / "admin" / "a").read_text() == "++"


@pytest.mark.parametrize(
    ("operation", "arguments", "status", "says"),
    [
        ("factorial", {"n": 1}, "NOT_FOUND", "no such number"),
        ("factorial", {"n": 0}, "INTERNAL", "ZeroDivisionError: as asked"),
        ("factorial", {"n": 2}, "INTERNAL", "math.factorial raised SystemExit(3)"),
        ("factorial", {"n": 3}, "INTERNAL", "math.factorial raised CancelledError(why not)"),
        ("binomial", {"n": 1, "k": 1}, "INTERNAL", "returned PowerResponse, not BinomialResponse"),
    ],
)
def test_what_an_adaptor_does_wrong_fails_one_run(operation: str, arguments: dict[str, int], status: str, says: str) -> None:
    @on_event_loop
    async def fails() -> None:
        controller, _, notes = make()
        graph = TaskGraph("fails")
        getattr(graph.math, operation)(**arguments)
        controller.feed(arriving(graph, b"run"))
        await eventually(lambda: notes.sent)
        failure = notes.sent[0].completion.failure
        assert failure.status == status
        assert says in failure.message
        with pytest.raises(Exception, match=re.escape(says.removeprefix("ZeroDivisionError: "))):
            await unary(controller, f"math.{operation}", **arguments)
        await controller.close()

    fails()


@on_event_loop
async def test_a_device_moves_requests_and_responses_at_its_bandwidth() -> None:
    device, notes = Device(), Notes()
    engine = Engine(Identity("math", "math-0", "here"), default_catalogue())
    model = DeviceModel.of(DeviceSettings(bandwidth_mb_s=0.001))
    controller = Controller(engine, device, notes, model=model)
    graph = TaskGraph("slow")
    graph.math.shift_left(value=1 << 400, bits=1)
    controller.feed(arriving(graph, b"run"))
    await eventually(lambda: notes.sent)
    (hop,) = notes.sent[0].completion.trail
    assert hop.finished_at - hop.started_at >= (hop.request_bytes + hop.response_bytes) / 1000
    assert hop.request_bytes > 50
    await controller.close()


@on_event_loop
async def test_a_device_carries_out_as_many_calls_at_once_as_it_is_to() -> None:
    device, notes = Device(), Notes()
    engine = Engine(Identity("math", "math-0", "here"), default_catalogue())
    controller = Controller(engine, device, notes, model=DeviceModel.of(DeviceSettings(parallelism=3)))
    calls = [unary(controller, "math.power", base=base) for base in range(5)]
    await eventually(lambda: len(device.begun) == 3)
    device.may_go_on.set()
    for call in calls:
        await call
    assert len(device.begun) == 5
    await controller.close()
