"""`bench throughput`: three-step runs per second against how many are in flight, and their latency at half the best rate."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from Services.datacenter.bench.charts import Chart, Line, Table, median, number, point
from Services.datacenter.bench.context import Context
from Services.datacenter.bench.graphs import rate, ring
from Services.datacenter.bench.measuring import Batch
from Services.datacenter.bench.own_datacenter import running
from Services.datacenter.bench.results import Outcome, Row
from Services.fractos import Datacenter, TaskGraph
from Services.fractos.client import Run

TITLE = "How many runs a second"
ABOUT = """\
Runs of three steps, pinned to three math nodes, from one client. First a number of runs is kept in flight: each that
ends is followed by another. Then runs are submitted at half of the best rate that was found, whatever becomes of those
before (an open loop), and each one's time is taken from when it was due."""
IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
QUICK_IN_FLIGHT = (1, 16, 256)
STEPS = 3
ROUND_S, QUICK_ROUND_S = 0.5, 0.1  # how long a number is kept in flight in each round
OPEN_PART = 0.3  # of the time
HALF = "half of the best rate"
TICK_S = 0.001
SWITCH_S = 0.0005  # between threads


def run(context: Context) -> Outcome:
    """Measure."""
    quick = context.options.quick
    levels, seconds = (QUICK_IN_FLIGHT, QUICK_ROUND_S) if quick else (IN_FLIGHT, ROUND_S)
    graph = ring(STEPS)
    context.say("starting an application node and three math nodes")
    with running({"application": 1, "math": 3}) as own:
        variants: dict[str, Batch] = {}
        for level in levels:
            variants[str(level)] = partial(_one_rate, own.connection, graph, level, seconds)
        measured = context.measure("runs per second", variants, context.left_s * (1 - OPEN_PART))
        rows = [
            Row("throughput", "closed loop", "rate", "runs/s", measured.summary(str(level)), {"in flight": level})
            for level in levels
        ]
        best = max(row.summary.median for row in rows)
        opened = context.measure(HALF, {HALF: partial(open_loop, own.connection, graph, best / 2, 2 * seconds)})
    parameters = {"rate": round(best / 2)}
    rows.append(Row("throughput", HALF, "duration", "ms", opened.summary(HALF), parameters))
    return Outcome("throughput", tuple(rows))


def _one_rate(datacenter: Datacenter, graph: TaskGraph, in_flight: int, seconds: float) -> list[float]:
    return [rate(datacenter, graph, in_flight, seconds)]


def open_loop(datacenter: Datacenter, graph: TaskGraph, per_second: float, seconds: float) -> list[float]:
    """Submit at a rate and return how long each run took, in milliseconds, from when it was due."""
    durations: list[float] = []
    flying: deque[tuple[float, Run]] = deque()
    submitted = 0
    with _quick_turns():
        began = time.perf_counter()
        while (now := time.perf_counter()) < began + seconds or flying:
            while now < began + seconds and submitted < (now - began) * per_second:
                flying.append((began + submitted / per_second, datacenter.submit(graph, wait=True)))
                submitted += 1
            _take_ended(flying, durations)
            time.sleep(TICK_S)
    return durations


@contextmanager
def _quick_turns() -> Iterator[None]:
    """Have the connection's thread wait for its turn no longer than a run takes: Python's own interval is 5 ms."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _take_ended(flying: deque[tuple[float, Run]], durations: list[float]) -> None:
    """Take note of the runs that have ended; they do so nearly in the order of their submission."""
    while flying and flying[0][1].done():
        due, ended = flying.popleft()
        ended.result()
        durations.append((time.perf_counter() - due) * 1e3)


def tables(outcome: Outcome) -> Sequence[Table]:
    """The rates, then the latency at half of the best."""
    rates = [
        (
            str(row.parameters["in flight"]),
            median(row.summary),
            f"{number(row.summary.low)} … {number(row.summary.high)}",
            str(row.summary.n),
        )
        for row in outcome.of("rate")
    ]
    loop = [
        (
            str(row.parameters["rate"]),
            median(row.summary),
            *(number(value) for value in (row.summary.p99, row.summary.highest)),
            str(row.summary.n),
        )
        for row in outcome.of("duration")
    ]
    return [
        Table(("in flight", "runs/s", "95 %", "rounds"), rates),
        Table(("runs/s, open loop", "median, ms", "99 %", "highest", "runs"), loop),
    ]


def charts(outcome: Outcome) -> Sequence[Chart]:
    """Runs per second against runs in flight."""
    rows = outcome.of("rate")
    points = tuple(point(row.parameters["in flight"], row.summary) for row in rows)
    ticks = tuple(float(row.parameters["in flight"]) for row in rows)
    line = Line("three-step runs", points)
    return [Chart("throughput", "Three-step runs per second", "runs in flight", "runs/s", (line,), log_x=True, x_ticks=ticks)]
