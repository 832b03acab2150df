"""The threads of a device: turns, limits, what is dropped, what is interrupted, what hangs."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from google.protobuf.message import Message

from protos import math_pb2
from Services.fractos.device_threads import Call, DeviceThreads, Outcome
from Services.fractos.errors import (
    DeadlineExceededError,
    FractosError,
    ResourceExhaustedError,
    RunCancelledError,
    UnavailableError,
)
from Services.fractos.interruption import Interruption, current
from tests.waiting import TIMEOUT_S, until

RESPONSE = math_pb2.PowerResponse()
FAR = math.inf


class Device:
    """Notes what began and how it ended; a call of `hold` goes on when `release` is set, whatever its run wants."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: dict[str, Outcome] = {}
        self.answers: list[str] = []
        self.release = threading.Event()

    def quick(self, name: str) -> Message:
        self.begun.append(name)
        return RESPONSE

    def hold(self, name: str) -> Message:
        self.begun.append(name)
        self.release.wait()
        return RESPONSE

    def wait(self, name: str) -> Message:
        self.begun.append(name)
        current().wait(TIMEOUT_S)
        raise AssertionError

    def has_begun(self, name: str) -> bool:
        return name in self.begun

    def has_ended(self, name: str) -> bool:
        return name in self.ended

    def error(self, name: str) -> BaseException | None:
        return self.ended[name].error


@pytest.fixture
def device() -> Iterator[Device]:
    made = Device()
    yield made
    made.release.set()


class Pool(DeviceThreads):
    """Calls `device.<kind>(name)`, and notes the outcome under the name."""

    def use(self, device: Device, kind: str, name: str, run: bytes = b"run", deadline: float = FAR) -> Call:
        return self.submit(
            run, f"test.{name}", deadline, partial(getattr(device, kind), name), partial(self.note, device, name)
        )

    @staticmethod
    def note(device: Device, name: str, outcome: Outcome) -> None:
        device.ended[name] = outcome
        device.answers.append(name)


@pytest.fixture
def make(device: Device) -> Iterator[Callable[..., Pool]]:
    pools: list[Pool] = []

    def made(threads: int, **settings: float) -> Pool:
        pools.append(Pool(threads, **settings))  # type: ignore[arg-type]
        return pools[-1]

    yield made
    device.release.set()
    for pool in pools:
        pool.close()


def test_runs_take_turns(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(1)
    pool.use(device, "hold", "first")
    for number in range(1000):
        pool.use(device, "quick", f"long {number}", b"long")
    for number in range(3):
        pool.use(device, "quick", f"short {number}", b"short")
    pool.use(device, "quick", "single", b"single")
    device.release.set()
    until(lambda: len(device.ended) == 1005)
    turns = ["first", "long 0", "short 0", "single", "long 1", "short 1", "long 2", "short 2", "long 3", "long 4"]
    assert device.begun[:10] == turns
    assert all(outcome.answer is RESPONSE for outcome in device.ended.values())


def test_as_many_calls_run_at_once_as_there_are_threads(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(3)
    for number in range(5):
        pool.use(device, "hold", str(number))
    until(lambda: len(device.begun) == 3)
    pool.use(device, "quick", "last", b"another")
    assert sorted(device.begun) == ["0", "1", "2"]
    device.release.set()
    until(lambda: len(device.ended) == 6)


def test_a_thread_is_begun_only_when_all_are_busy(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(4)
    before = threading.active_count()
    for number in range(20):
        pool.use(device, "quick", str(number))
        until(partial(device.has_ended, str(number)))
    assert threading.active_count() <= before + 2  # one that serves, one that watches


def test_a_dropped_run_leaves_the_line_and_is_not_answered(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(1)
    pool.use(device, "hold", "first", b"a")
    until(lambda: device.begun)
    for number in range(100):
        pool.use(device, "quick", f"b {number}", b"b")
    pool.use(device, "quick", "last", b"c")
    pool.drop({b"a", b"b", b"unknown"})
    device.release.set()
    until(lambda: "last" in device.ended)
    assert device.begun == ["first", "last"]
    assert list(device.ended) == ["last"]


def test_a_dropped_run_interrupts_what_it_has_running(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(2)
    raised: list[BaseException] = []

    def work() -> Message:
        device.begun.append("waits")
        try:
            current().wait(TIMEOUT_S)
        except FractosError as error:
            raised.append(error)
            raise
        raise AssertionError

    pool.submit(b"run", "math.power", FAR, work, partial(pool.note, device, "waits"))
    until(lambda: device.begun)
    pool.drop({b"run"})
    until(lambda: raised)
    assert isinstance(raised[0], RunCancelledError)
    assert "math.power was interrupted" in str(raised[0])
    pool.use(device, "quick", "next")
    until(lambda: device.ended)
    assert list(device.ended) == ["next"]


def test_one_call_is_cancelled_and_its_neighbours_are_not(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(1)
    running = pool.use(device, "wait", "running")
    until(lambda: device.begun)
    cancelled = pool.use(device, "quick", "cancelled")
    pool.use(device, "quick", "kept")
    alone = pool.use(device, "quick", "alone", b"another")
    for call in (cancelled, alone, running):
        pool.cancel(call)
        pool.cancel(call)
    until(lambda: "kept" in device.ended)
    pool.cancel(running)
    assert device.begun == ["running", "kept"]
    assert list(device.ended) == ["kept"]


def test_the_deadline_interrupts_what_runs_and_keeps_back_what_waits(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(1)
    deadline = time.time() + 0.05
    pool.use(device, "wait", "runs", deadline=deadline)
    pool.use(device, "quick", "waits", deadline=deadline)
    until(lambda: len(device.ended) == 2)
    assert device.begun == ["runs"]
    runs, waits = device.error("runs"), device.error("waits")
    assert isinstance(runs, DeadlineExceededError)
    assert isinstance(waits, DeadlineExceededError)
    assert (runs.message, runs.definite) == ("the deadline passed while test.runs ran", False)
    assert (waits.message, waits.definite) == ("the deadline passed while test.waits waited for the device", True)


@pytest.mark.parametrize("error", [ZeroDivisionError("as asked"), SystemExit(3), KeyboardInterrupt(), StopIteration()])
def test_whatever_a_call_raises_ends_that_call_only(device: Device, make: Callable[..., Pool], error: BaseException) -> None:
    pool = make(1)

    def fail() -> Message:
        raise error

    pool.submit(b"run", "math.power", FAR, fail, partial(pool.note, device, "fails"))
    pool.use(device, "quick", "next")
    until(lambda: len(device.ended) == 2)
    assert device.error("fails") is error
    assert device.ended["next"].answer is RESPONSE


def test_a_listener_that_fails_costs_no_thread(
    device: Device, make: Callable[..., Pool], caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(1)

    def refuse(outcome: Outcome) -> None:
        raise ZeroDivisionError

    pool.submit(b"run", "math.power", FAR, partial(device.quick, "first"), refuse)
    pool.use(device, "quick", "next")
    until(lambda: device.ended)
    assert "could not tell how math.power ended" in caplog.text


def test_a_call_that_hangs_is_abandoned_and_its_late_answer_ignored(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(1, grace_s=0.02)
    pool.use(device, "hold", "hangs", b"a", time.time() + 0.02)
    pool.use(device, "hold", "dropped", b"b")
    until(lambda: device.begun == ["hangs", "dropped"])
    pool.drop({b"b"})
    pool.use(device, "quick", "next", b"c")
    until(lambda: "next" in device.ended)
    error = device.error("hangs")
    assert isinstance(error, DeadlineExceededError)
    assert not error.definite
    assert "test.hangs did not return within 0.02 s after the deadline" in error.message
    device.release.set()
    until(lambda: device_threads() == 1)  # those that came back are not needed any more
    assert device.answers == ["hangs", "next"]


def device_threads() -> int:
    return sum(thread.name == "device" for thread in threading.enumerate())


def test_what_is_abandoned_is_replaced_only_if_something_waits(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(2, grace_s=0.02, most_abandoned=3)
    for number in range(2):
        pool.use(device, "hold", f"hangs {number}", b"hangs", time.time() + 0.02)
    until(lambda: len(device.begun) == 2)
    for number in range(5):
        pool.use(device, "quick", f"waits {number}", b"waits")
    pool.drop({b"waits"})
    until(lambda: len(device.ended) == 2)
    until(lambda: device_threads() == 2)  # those of earlier tests may be about to end


def test_of_those_that_hang_at_once_no_more_than_the_limit_are_abandoned(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(2, grace_s=0.02, most_abandoned=1)
    for number in range(2):
        pool.use(device, "hold", f"hangs {number}")
    until(lambda: len(device.begun) == 2)
    pool.use(device, "quick", "waits", b"another")
    pool.drop({b"run"})
    until(lambda: device.ended)
    assert str(device.error("waits")).startswith("1 calls hang")
    device.release.set()
    until(partial(accepts, pool, device))


def test_so_many_may_hang_and_no_more(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(2, grace_s=0.05, most_abandoned=3)
    for number in range(3):
        pool.use(device, "hold", f"hangs {number}", b"%d" % number)
        until(partial(device.has_begun, f"hangs {number}"))
        if number == 2:  # it has a thread left for one that holds it well within its time, and none for who waits
            pool.use(device, "hold", "in time", b"in time")
            until(lambda: "in time" in device.begun)
            pool.use(device, "quick", "waits", b"waits")
        pool.drop({b"%d" % number})
    until(lambda: device.ended)
    waits = device.error("waits")
    assert isinstance(waits, ResourceExhaustedError)
    with pytest.raises(ResourceExhaustedError, match="3 calls hang in the device, which is the limit") as caught:
        pool.use(device, "quick", "refused")
    assert caught.value.definite
    assert not caught.value.retryable
    device.release.set()
    until(lambda: "in time" in device.ended)
    until(partial(accepts, pool, device))
    until(lambda: "again" in device.ended)
    assert sorted(device.ended) == ["again", "in time", "waits"]


def accepts(pool: Pool, device: Device) -> bool:
    try:
        pool.use(device, "quick", "again")
    except ResourceExhaustedError:
        return False
    return True


def test_closing_interrupts_and_forgets(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(1)
    pool.use(device, "wait", "running", b"a")
    pool.use(device, "quick", "waiting", b"b")
    until(lambda: device.begun)
    pool.close()
    pool.close()
    assert device.begun == ["running"]
    assert not device.ended
    with pytest.raises(UnavailableError, match="the node is stopping"):
        pool.use(device, "quick", "late")


def test_closing_waits_for_what_has_begun(device: Device, make: Callable[..., Pool]) -> None:
    pool = make(1)
    tidied: list[bool] = []

    def work() -> Message:
        device.begun.append("tidies up")
        try:
            current().wait(TIMEOUT_S)
        finally:
            device.release.wait(0.05)  # the device takes its time
            tidied.append(True)
        raise AssertionError

    pool.submit(b"run", "math.power", FAR, work, partial(pool.note, device, "tidies up"))
    until(lambda: device.begun)
    pool.close()
    assert tidied


def test_closing_leaves_behind_what_hangs(device: Device, make: Callable[..., Pool], caplog: pytest.LogCaptureFixture) -> None:
    pool = make(1)
    pool.use(device, "hold", "hangs")
    until(lambda: device.begun)
    pool.close(timeout_s=0.01)
    assert "left behind in the device, since they did not end: test.hangs" in caplog.text
    device.release.set()
    assert not device.ended


def test_without_a_thread_to_be_had_those_that_there_are_go_on(
    device: Device, make: Callable[..., Pool], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(2)
    pool.use(device, "hold", "first")
    until(lambda: device.begun)

    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", none_left)
        pool.use(device, "quick", "second")
    assert "could not begin a thread for the device: can't start new thread" in caplog.text
    device.release.set()
    until(lambda: len(device.ended) == 2)


def test_nothing_interrupts_outside_a_device_thread() -> None:
    current().check()
    current().wait(0.0)


def test_a_wait_is_as_long_as_it_says_or_ends_with_the_reason() -> None:
    begun = time.monotonic()
    Interruption("x", time.time() + TIMEOUT_S).wait(0.02)
    assert time.monotonic() - begun >= 0.02
    stopped_clock = Interruption("x", 10.0, lambda: 9.999)
    with pytest.raises(DeadlineExceededError):
        stopped_clock.wait(1.0)
    interruption = Interruption("x", math.inf)
    interruption.cancel()
    interruption.cancel()
    for ask in (interruption.check, lambda: interruption.wait(math.inf), lambda: interruption.wait(0.0)):
        with pytest.raises(RunCancelledError):
            ask()


def test_every_thread_that_waits_is_interrupted() -> None:
    interruption = Interruption("x")
    raised: list[FractosError] = []

    def wait() -> None:
        try:
            interruption.wait(math.inf)
        except FractosError as error:
            raised.append(error)

    threads = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    interruption.cancel()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert [type(error) for error in raised] == [RunCancelledError] * 3
