"""`bench latency`: rings of 1 to 32 steps over three math nodes, beside one raw gRPC unary call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from Services.datacenter.bench.charts import Chart, Line, Table, median, number, point
from Services.datacenter.bench.context import Context
from Services.datacenter.bench.graphs import durations_ms, ring
from Services.datacenter.bench.measuring import Batch
from Services.datacenter.bench.own_datacenter import running
from Services.datacenter.bench.raw_call import raw_call
from Services.datacenter.bench.results import Outcome, Row

TITLE = "How long a step takes"
ABOUT = """\
Rings of steps that compute next to nothing, pinned to three math nodes in turn, so that every step is a hop; from
`datacenter.run()` to its result, in a process of its own. Beside it one raw gRPC unary call of 64 bytes between two
processes, with gRPC's own settings. `per step / raw call` is what a hop costs in units of that call, each round by
itself."""
LENGTHS = (1, 2, 4, 8, 16, 32)
QUICK_LENGTHS = (1, 4, 8)
CALLS = 20  # of a round
RAW = "raw gRPC call"


def run(context: Context) -> Outcome:
    """Measure."""
    lengths = QUICK_LENGTHS if context.options.quick else LENGTHS
    context.say("starting an application node and three math nodes")
    with running({"application": 1, "math": 3}) as own, raw_call() as plain:
        variants: dict[str, Batch] = {RAW: partial(plain.durations_ms, CALLS)}
        for length in lengths:
            variants[name_of(length)] = partial(durations_ms, partial(own.connection.run, ring(length)), CALLS)
        measured = context.measure("rings beside raw calls", variants)
    rows = [Row("latency", RAW, "duration", "ms", measured.summary(RAW))]
    for length in lengths:
        name, parameters = name_of(length), {"steps": length}
        whole, ratio = measured.summary(name), measured.ratio(name, RAW)
        rows.append(Row("latency", name, "duration", "ms", whole, parameters))
        rows.append(Row("latency", name, "per step", "ms", whole.scaled(1 / length), parameters))
        rows.append(Row("latency", name, "per step / raw call", "", ratio.scaled(1 / length), parameters))
    return Outcome("latency", tuple(rows))


def name_of(length: int) -> str:
    """What a ring is called in tables."""
    return f"ring of {length}"


def tables(outcome: Outcome) -> Sequence[Table]:
    """Percentiles, per step and as multiples of a raw call."""
    rows = []
    for row in outcome.of("duration"):
        whole = row.summary
        per_step, ratio = (outcome.of(figure, row.variant) for figure in ("per step", "per step / raw call"))
        rows.append(
            (
                row.variant,
                median(whole),
                *(number(value) for value in (whole.q1, whole.q3, whole.p99, whole.highest)),
                number(per_step[0].summary.median) if per_step else "",
                median(ratio[0].summary) if ratio else "",
                str(whole.n),
            )
        )
    heads = ("", "median, ms", "25 %", "75 %", "99 %", "highest", "per step, ms", "per step / raw call", "runs")
    return [Table(heads, tuple(rows))]


def charts(outcome: Outcome) -> Sequence[Chart]:
    """Milliseconds per step against the length of the ring."""
    steps = outcome.of("per step")
    raw = outcome.of("duration", RAW)[0]
    lengths = [float(row.parameters["steps"]) for row in steps]
    lines = (
        Line("a step of a ring", tuple(point(row.parameters["steps"], row.summary) for row in steps)),
        Line(RAW, tuple(point(length, raw.summary) for length in lengths), dashed=True),
    )
    return [Chart("latency", "Time per step", "steps in the ring", "ms per step", lines, log_x=True, x_ticks=tuple(lengths))]
