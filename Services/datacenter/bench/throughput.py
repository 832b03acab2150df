"""`bench throughput`: three-step runs per second against how many are in flight, and their latency at half the best rate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from Services.datacenter.bench.charts import Chart, Line, Table, median, number, point
from Services.datacenter.bench.context import Context
from Services.datacenter.bench.graphs import rate, ring
from Services.datacenter.bench.measuring import Batch
from Services.datacenter.bench.open_loop import latencies_ms
from Services.datacenter.bench.own_datacenter import running
from Services.datacenter.bench.results import Outcome, Row
from Services.fractos import Datacenter, TaskGraph

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
        opened = context.measure(HALF, {HALF: partial(latencies_ms, own.connection, graph, best / 2, 2 * seconds)})
    parameters = {"rate": round(best / 2)}
    rows.append(Row("throughput", HALF, "duration", "ms", opened.summary(HALF), parameters))
    return Outcome("throughput", tuple(rows))


def _one_rate(datacenter: Datacenter, graph: TaskGraph, in_flight: int, seconds: float) -> list[float]:
    return [rate(datacenter, graph, in_flight, seconds)]


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
