"""The timer of emulated links: nothing is early, everything comes in its order, with a timerfd and without."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from Services.fractos.transport import precise_timer
from Services.fractos.transport.precise_timer import PreciseTimer
from tests.waiting import eventually, on_event_loop


@pytest.fixture(params=["timerfd", "loop"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "loop":
        monkeypatch.setattr(precise_timer, "_timerfd", lambda: (-1, lambda when: None))


@contextmanager
def timer() -> Iterator[PreciseTimer]:
    made = PreciseTimer()
    try:
        yield made
    finally:
        made.close()
        made.close()


@on_event_loop
async def test_actions_come_in_their_order_and_not_early() -> None:
    with timer() as made:
        began, rung = time.monotonic(), []
        for name, after_s in (("third", 0.03), ("first", 0.0), ("second", 0.01), ("also third", 0.03)):
            made.at(began + after_s, lambda name=name: rung.append((name, time.monotonic() - began)))  # type: ignore[misc]
        await eventually(lambda: len(rung) == 4)
        assert [name for name, _ in rung] == ["first", "second", "third", "also third"]
        assert rung[1][1] >= 0.01
        assert rung[2][1] >= 0.03


@on_event_loop
async def test_waiting_for_what_has_passed_does_not_wait_and_else_until_then() -> None:
    with timer() as made:
        await made.until(time.monotonic() - 1)
        for _ in range(20):
            when = time.monotonic() + 0.0007
            await made.until(when)
            assert time.monotonic() >= when


@on_event_loop
async def test_nothing_is_called_after_the_end() -> None:
    rung: list[str] = []
    with timer() as made:
        made.at(time.monotonic() + 0.01, lambda: rung.append("late"))
    end = time.monotonic() + 0.05
    await eventually(lambda: time.monotonic() > end)
    assert not rung


@on_event_loop
async def test_an_action_that_fails_is_logged_and_stops_no_later_one(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("broken")

    rung: list[str] = []
    with timer() as made:
        now = time.monotonic()
        made.at(now + 0.001, fail)
        made.at(now + 0.001, lambda: rung.append("at the same time"))
        made.at(now + 0.02, lambda: rung.append("later"))
        await eventually(lambda: len(rung) == 2)
    assert "what a timer was set for failed" in caplog.text
    assert "ValueError: broken" in caplog.text
