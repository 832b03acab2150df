"""Runs that are submitted by the clock, whatever becomes of those before. Used by `bench throughput` and benchmarks/tail.py."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from Services.fractos import Datacenter, TaskGraph
from Services.fractos.client import Run

SWITCH_S = 0.0005  # between this process's threads: Python's own, 5 ms, would be seen in the times


def latencies_ms(datacenter: Datacenter, graph: TaskGraph, per_second: float, seconds: float) -> list[float]:
    """Submit so many runs a second for so long; return the milliseconds of each from when it was due to when its result came.

    Raises what a run has failed with.
    """
    flying: queue.SimpleQueue[tuple[float, Run] | None] = queue.SimpleQueue()

    def collect() -> list[float]:
        # In the order of submission: one that overtakes another is counted as late as that, never too early.
        took = []
        while (one := flying.get()) is not None:
            due, run = one
            run.result()
            took.append((time.perf_counter() - due) * 1e3)
        return took

    with _quick_turns(), ThreadPoolExecutor(1) as threads:
        collected = threads.submit(collect)
        try:
            began = time.perf_counter()
            for number in range(max(int(per_second * seconds), 1)):
                due = began + number / per_second
                if (left_s := due - time.perf_counter()) > 0:
                    time.sleep(left_s)
                flying.put((due, datacenter.submit(graph, wait=True)))
        finally:
            flying.put(None)
        return collected.result()


@contextmanager
def _quick_turns() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
