"""What each of those that the project is measured beside does when it is asked: the same works for all. No program itself.

A peer's program prints "ready" once its results are right. Then every line on stdin asks for one measurement and is answered
with one number: `latency STEPS TIMES`, `rate RUNS`, `large STEPS TIMES`. It ends when stdin is closed.
"""

from __future__ import annotations

import signal
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy

WORKERS = 3
IN_FLIGHT = 256
LARGE = 1 << 20  # float64 elements: 8 MiB


class Peer(ABC):
    """One system with three workers in processes of their own. Steps go over the workers in turn."""

    @abstractmethod
    def chain(self, steps: int) -> int:
        """Shift 1 to the left by one bit, so many times, and bring the result here."""

    @abstractmethod
    def rate(self, runs: int) -> float:
        """Three-step chains per second, with up to IN_FLIGHT at a time where the system can."""

    @abstractmethod
    def large(self, array: numpy.ndarray, steps: int) -> None:
        """Hand the array in and multiply it by 1.0, so many times; the result may stay where it was made."""

    def serve(self) -> None:
        """Measure what is asked for on stdin."""
        array = numpy.arange(LARGE, dtype=numpy.float64)
        for steps in (1, 3, 8):
            if (found := self.chain(steps)) != 1 << steps:
                raise SystemExit(f"a chain of {steps} gave {found}, not {1 << steps}")
        self.large(array, 3)
        print("ready", flush=True)
        for line in sys.stdin:
            work, *numbers = line.split()
            print(self.measured(work, [int(number) for number in numbers], array), flush=True)

    def measured(self, work: str, numbers: list[int], array: numpy.ndarray) -> float:
        """Measure one work: milliseconds, or chains per second."""
        if work == "rate":
            return self.rate(*numbers)
        steps, times = numbers
        if work == "large":
            return median_ms(lambda: self.large(array, steps), times)
        return median_ms(lambda: self.chain(steps), times)


def median_ms(work: Callable[[], object], times: int) -> float:
    """Its median duration, in milliseconds, after once unmeasured: something may have to be compiled."""
    work()
    durations = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations) * 1e3


def leave_interruption_to_the_asker() -> None:
    """Ctrl-C goes to all processes of a terminal: this one, and its workers, end when stdin is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
