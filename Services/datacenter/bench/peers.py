"""What `make bench-peers` has found, in the report. Measured by benchmarks/beside_peers.py, not by `bench`. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from Services.datacenter.bench.charts import Chart, Table, median, number
from Services.datacenter.bench.measuring import Summary
from Services.datacenter.bench.results import Outcome, Row, values_of

BENCH = "peers"
OURS = "ours"
MEASURED, RATIO, WORK = "measured", "ours / theirs", "work"
TITLE = "Beside others"
ABOUT = """\
The same works on this project, Ray, Ray's compiled graphs, Dask and raw gRPC, each with three workers in processes of
their own; how each is used is said in `benchmarks/peers/`. `ours / theirs` is that of one round: below 1 is quicker for
latencies and the array, above 1 more for chains per second."""


def row_of(system: str, figure: str, work: str, unit: str, summary: Summary) -> Row:
    """What a system has shown in a work: MEASURED, or RATIO."""
    return Row(BENCH, system, figure, unit, summary, {WORK: work})


def tables(outcome: Outcome) -> Sequence[Table]:
    """A table for each work, with a row for each system."""
    measured = outcome.of(MEASURED)
    return [_table(outcome, str(work)) for work in values_of(measured, WORK)]


def _table(outcome: Outcome, work: str) -> Table:
    rows = []
    for row in outcome.of(MEASURED, at={WORK: work}):
        summary = row.summary
        ratio = [one.summary for one in outcome.of(RATIO, row.variant, {WORK: work})]
        shown = f"{median(ratio[0])} ({_interval(ratio[0])})" if ratio else ""
        extremes = number(summary.lowest), number(summary.highest)
        rows.append((row.variant, median(summary), _interval(summary), *extremes, shown, str(summary.n)))
    return Table(("", "median", "95 %", "lowest", "highest", f"{RATIO} (95 %)", "rounds"), rows, work)


def _interval(summary: Summary) -> str:
    return f"{number(summary.low)} … {number(summary.high)}"


def charts(outcome: Outcome) -> Sequence[Chart]:
    """None: the few figures are a table."""
    return []
