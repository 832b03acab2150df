"""What a device call can learn while it runs: whether its answer is still wanted.

An Adaptor's method asks `current()` and hands `current().check` on to its Device, which knows nothing of runs: a long
computation calls it now and then, a long wait is made with `current().wait`. Both raise what the call then ends with. Made by
`device_threads.py`, an Interruption for each call.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar

from Services.fractos.errors import DeadlineExceededError, RunCancelledError


class Interruption:
    """Tells one call of `operation` that its run was stopped, or that its `deadline` (Unix time in seconds) has passed."""

    __slots__ = ("_cancelled", "_clock", "_gate", "deadline", "operation")

    def __init__(self, operation: str = "the call", deadline: float = math.inf, clock: Callable[[], float] = time.time) -> None:
        self.operation = operation
        self.deadline = deadline
        self._clock = clock
        self._cancelled = False
        self._gate = threading.Lock()  # locked until then; one is made for every call, and an Event takes ten times as long
        self._gate.acquire()

    def cancel(self) -> None:
        """Have the call's next `check`, and the `wait` that it is in, raise RunCancelledError. May be repeated."""
        self._cancelled = True
        self._open_gate()

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was stopped."""
        return self._cancelled

    def check(self) -> None:
        """Return if the answer is still wanted; raise RunCancelledError or DeadlineExceededError if not."""
        if self._cancelled:
            raise RunCancelledError(f"{self.operation} was interrupted, since nobody wants its answer any more", definite=False)
        if self._clock() > self.deadline:
            raise self._too_late()

    def check_time_for(self, seconds: float) -> None:
        """Raise DeadlineExceededError if the deadline passes within so many seconds."""
        left = self.deadline - self._clock()
        if seconds > left:
            raise DeadlineExceededError(
                f"{self.operation} would have to wait {seconds:.3g} s more, and its deadline passes in {max(0.0, left):.3g} s",
                definite=False,
            )

    def wait(self, seconds: float) -> None:
        """Sleep that long, but not past the moment when the answer is not wanted any more: then raise as `check` does."""
        left = self.deadline - self._clock()
        if self._gate.acquire(timeout=max(0.0, min(seconds, left, threading.TIMEOUT_MAX))):
            self._open_gate()
        self.check()
        if seconds > left:  # clocks differ by a little: the wait is over, though `check` did not see the deadline pass
            raise self._too_late()

    def _open_gate(self) -> None:
        with suppress(RuntimeError):  # it is open already
            self._gate.release()

    def _too_late(self) -> DeadlineExceededError:
        return DeadlineExceededError(f"the deadline passed while {self.operation} ran", definite=False)


_current: ContextVar[Interruption] = ContextVar("interruption")


def current() -> Interruption:
    """The Interruption of the call that this thread carries out; one that never interrupts outside a device thread.

    Threads that a device starts do not inherit it: hand it to them.
    """
    return _current.get(None) or Interruption()


def enter(interruption: Interruption) -> None:
    """Make it the current one of this thread."""
    _current.set(interruption)
