"""A timer that is right to a tenth of a millisecond, where the event loop's own counts whole ones. Used by `emulation.py`.

On Linux it is a timerfd (https://man7.org/linux/man-pages/man2/timerfd_create.2.html) that the loop watches.
"""

from __future__ import annotations

import asyncio
import ctypes
import heapq
import itertools
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger(__name__)

ABSOLUTE = 1  # TFD_TIMER_ABSTIME
TICK_S = 0.001  # how exact the event loop's own timers are

Set = Callable[[float], None]


class PreciseTimer:
    """Lives on the event loop. Times are those of `time.monotonic`, in seconds."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()  # of two that are due at once the earlier one comes first
        self._handle: asyncio.TimerHandle | None = None
        self._descriptor, self._set = _timerfd()
        if self._descriptor >= 0:
            self._loop.add_reader(self._descriptor, self._ring)

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Call `action` at a time, and not earlier. What it raises is logged."""
        heapq.heappush(self._due, (when, next(self._numbers), action))
        if self._due[0][0] == when:
            self._arm(when)

    async def until(self, when: float) -> None:
        """Wait until a time; not at all if that has passed."""
        if when <= time.monotonic():
            return
        reached: asyncio.Future[None] = self._loop.create_future()
        self.at(when, lambda: None if reached.done() else reached.set_result(None))
        await reached

    def close(self) -> None:
        """Call nothing more. May be repeated."""
        self._due.clear()
        if self._handle is not None:
            self._handle.cancel()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _arm(self, when: float) -> None:
        if self._descriptor >= 0:
            self._set(when)
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_later(max(TICK_S, when - time.monotonic()), self._ring)

    def _ring(self) -> None:
        if self._descriptor >= 0:
            with suppress(BlockingIOError):  # it was set anew meanwhile
                os.read(self._descriptor, 8)
        now = time.monotonic()
        try:
            while self._due and self._due[0][0] <= now:
                _do(heapq.heappop(self._due)[2])
        finally:
            if self._due:
                self._arm(self._due[0][0])


def _do(action: Callable[[], None]) -> None:
    try:
        action()
    except Exception:  # one defect must not stop all that comes later
        log.exception("what a timer was set for failed")


def _timerfd() -> tuple[int, Set]:
    """A descriptor, or -1 where there is none, and what sets the time at which it becomes readable."""
    if sys.version_info >= (3, 13) and sys.platform == "linux":
        descriptor = os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)
        return descriptor, lambda when: _set(os.timerfd_settime_ns, descriptor, when)
    return _timerfd_of_libc() if sys.platform == "linux" else (-1, lambda when: None)


def _set(settime: Callable[..., object], descriptor: int, when: float) -> None:
    settime(descriptor, flags=ABSOLUTE, initial=max(1, int(when * 1e9)))


def _timerfd_of_libc() -> tuple[int, Set]:
    """The same before Python 3.13."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)

    def set_time(when: float) -> None:
        seconds, nanoseconds = divmod(max(1, int(when * 1e9)), 10**9)
        setting = (ctypes.c_long * 4)(0, 0, seconds, nanoseconds)  # the interval, then the time
        libc.timerfd_settime(descriptor, ABSOLUTE, setting, None)

    return descriptor, set_time
