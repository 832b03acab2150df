"""The model of a slower device: how long calls wait, what they share, and how many there are at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from Services.fractos.config import DeviceSettings
from Services.fractos.device_model import DeviceModel
from Services.fractos.errors import DeadlineExceededError, FractosError, RunCancelledError
from Services.fractos.interruption import Interruption, enter


def model(**settings: float) -> DeviceModel:
    made = DeviceModel.of(DeviceSettings(**settings))  # type: ignore[arg-type]
    assert made is not None
    return made


def at_once(*calls: Callable[[], None]) -> float:
    """Make calls in threads of their own. Returns how long all of them took, in seconds."""
    threads = [threading.Thread(target=call) for call in calls]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.monotonic() - began


def test_a_device_as_it_is_has_no_model() -> None:
    assert DeviceModel.of(DeviceSettings()) is None
    assert model(parallelism=9).parallelism == 9


def test_a_call_takes_the_latency_once_and_its_bytes_at_the_bandwidth() -> None:
    slow = model(latency_ms=30, bandwidth_mb_s=10)
    began = time.monotonic()
    slow.begin(200_000)
    assert time.monotonic() - began >= 0.030 + 0.020
    answered = time.monotonic()
    slow.end(400_000)
    assert time.monotonic() - answered >= 0.040


def test_calls_at_the_same_time_share_the_bandwidth_but_not_the_latency() -> None:
    slow = model(bandwidth_mb_s=10)
    assert at_once(*[lambda: slow.begin(200_000)] * 4) >= 4 * 0.020
    waiting = threading.Barrier(4)

    def wait() -> None:
        model(latency_ms=40).begin(0)
        waiting.wait(20)  # would break if they were made one after the other

    assert at_once(*[wait] * 4) >= 0.040


def wait_as(interruption: Interruption, slow: DeviceModel, size_bytes: int) -> list[FractosError]:
    """What a call of its own thread ended with that moves so many bytes."""
    errors: list[FractosError] = []

    def call() -> None:
        enter(interruption)
        try:
            slow.begin(size_bytes)
        except FractosError as error:
            errors.append(error)

    at_once(call)
    return errors


def test_a_call_that_would_be_too_late_is_refused_at_once_and_takes_no_bandwidth() -> None:
    slow = model(bandwidth_mb_s=1)
    for _ in range(20):
        (error,) = wait_as(Interruption("storage.read_bytes", time.time() + 30), slow, 60_000_000)
        assert isinstance(error, DeadlineExceededError)
        assert "storage.read_bytes would have to wait 60 s more, and its deadline passes in 30 s" in str(error)
    assert not wait_as(Interruption(deadline=time.time() + 20), slow, 1000)


def test_a_call_that_is_stopped_gives_back_the_bandwidth_that_it_has_not_used() -> None:
    slow = model(bandwidth_mb_s=1)
    for _ in range(20):
        stopped = Interruption("storage.read_bytes")
        stopped.cancel()
        (error,) = wait_as(stopped, slow, 60_000_000)
        assert isinstance(error, RunCancelledError)
    assert not wait_as(Interruption(deadline=time.time() + 20), slow, 1000)


def test_the_wait_ends_at_the_deadline() -> None:
    def call() -> None:
        enter(Interruption("storage.read_bytes", time.time() + 0.02))
        with pytest.raises(DeadlineExceededError, match=r"storage\.read_bytes"):
            model(latency_ms=60_000).begin(0)
        ended.set()

    ended = threading.Event()
    at_once(call)
    assert ended.is_set()
