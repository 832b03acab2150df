"""`bench data`: arrays of 1 KB to 256 MB through a chain of multiplications, beside the multiplications alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import numpy
import psutil

from Services.datacenter.bench.charts import Chart, Line, Table, median, number, point, size
from Services.datacenter.bench.context import Context
from Services.datacenter.bench.graphs import durations_ms
from Services.datacenter.bench.own_datacenter import running
from Services.datacenter.bench.results import Outcome, Row
from Services.fractos import Datacenter, TaskGraph

TITLE = "How fast data goes"
ABOUT = """\
An array of float64 that lies at `math-0` goes through four multiplications, on three math nodes in turn, one host. The
time is from `datacenter.run()` to the end of the last one; the rate is the size of the array times the steps, by the
time. Beside it as many multiplications in one process, each into a new array: what would be left if nothing had to
travel."""
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 256_000_000)  # bytes
QUICK_SIZES = (1_000, 1_000_000)
STEPS = 4
NODES = 3
COPIES = 2 * STEPS + 2  # of the array that there are at once, at the most: of ours, and what is freed but not yet given back
APART = 4  # times as much
OURS, BARE = "through the datacenter", "in one process"


def run(context: Context) -> Outcome:
    """Measure each size by itself, the small ones first."""
    sizes: tuple[int, ...] = QUICK_SIZES if context.options.quick else SIZES
    room = psutil.virtual_memory().available // COPIES
    left_out = [one for one in sizes if one > room]
    sizes = tuple(one for one in sizes if one <= room)
    rows: list[Row] = []
    context.say("starting an application node and three math nodes")
    with running({"application": 1, "math": NODES}, keys={"Memory": "limit_mb = 4096"}) as own:
        for index, size_bytes in enumerate(sizes):
            rows += _measure(context, own.connection, size_bytes, context.left_s / (len(sizes) - index))
    notes = tuple(f"{size(one)} was left out: this machine has no room for {COPIES} such arrays." for one in left_out)
    return Outcome("data", tuple(rows), notes)


def _measure(context: Context, datacenter: Datacenter, size_bytes: int, limit_s: float) -> list[Row]:
    array = numpy.arange(size_bytes // 8, dtype=numpy.float64)
    times = 10 if size_bytes <= 1_000_000 else 1
    source = datacenter.memory(array, node="math-0")
    ours = partial(durations_ms, partial(datacenter.run, chain(source), timeout_s=120), times)
    bare = partial(durations_ms, partial(multiply, array), times)
    measured = context.measure(size(size_bytes), {OURS: ours, BARE: bare}, limit_s)
    source.release()
    rows = []
    for variant in (OURS, BARE):
        rate = measured.derived(variant, lambda median_ms: STEPS * array.nbytes / median_ms / 1e6)
        parameters = {"bytes": size_bytes}
        rows.append(Row("data", variant, "duration", "ms", measured.summary(variant), parameters))
        rows.append(Row("data", variant, "rate", "GB/s", rate, parameters))
    return rows


def chain(source: object) -> TaskGraph:
    """The multiplications, pinned to the math nodes in turn."""
    graph = TaskGraph(f"chain of {STEPS}")
    value = source
    for index in range(STEPS):
        value = graph.node(f"math-{index % NODES}").scale(tensor=value, factor=1.5).tensor
    return graph


def multiply(array: numpy.ndarray) -> None:
    """As many multiplications here."""
    for _ in range(STEPS):
        array = array * 1.5


def tables(outcome: Outcome) -> Sequence[Table]:
    """A row for each size."""
    rows = []
    for ours in outcome.of("duration", OURS):
        at = {"bytes": ours.parameters["bytes"]}
        bare = outcome.of("duration", BARE, at)[0].summary
        rate = outcome.of("rate", OURS, at)[0].summary
        whole = ours.summary
        figures = (whole.q1, whole.q3, whole.p99, rate.median)
        rows.append((size(float(at["bytes"])), median(whole), *map(number, figures), median(bare), str(whole.n)))
    return [Table(("array", "median, ms", "25 %", "75 %", "99 %", "GB/s", "in one process, ms", "runs"), rows)]


def charts(outcome: Outcome) -> Sequence[Chart]:
    """The time against the size."""
    lines = []
    for variant in (OURS, BARE):
        rows = outcome.of("duration", variant)
        points = tuple(point(row.parameters["bytes"], row.summary) for row in rows)
        lines.append(Line(variant, points, dashed=variant == BARE))
    ticks = _apart([float(row.parameters["bytes"]) for row in outcome.of("duration", OURS)])
    title = f"An array through {STEPS} multiplications"
    names = tuple(map(size, ticks))
    return [Chart("data", title, "size of the array", "ms", lines, log_x=True, log_y=True, x_ticks=ticks, x_names=names)]


def _apart(ticks: Sequence[float]) -> Sequence[float]:
    """The ticks of a logarithmic axis whose names do not touch; the last one stays."""
    return [tick for tick, after in pairwise(ticks) if after >= APART * tick] + list(ticks[-1:])
