"""The list of runs as a table that fits where it is shown. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from protos import application_pb2
from Services.datacenter.tables import NOTHING, Column, fitting
from Services.datacenter.tracing.figures import cut, duration, harmless, moment, zone
from Services.datacenter.tracing.finding import SHOWN_DIGITS
from Services.datacenter.tracing.story import STATE_STYLES
from Services.datacenter.tracing.trace import state_name

RANKS = {  # the columns of the list in their order; where there is no room, those with the highest figures are left out
    "run": 0, "graph": 3, "topology": 8, "client": 6, "state": 1, "submitted": 4, "took": 2, "steps": 5, "attempts": 7,
}  # fmt: skip
NUMBERS = {"took", "steps", "attempts"}
LONGEST_NAME = 40  # columns of a graph's name, or a client's


def runs_table(runs: Sequence[application_pb2.RunInfo], now: float, width: int | None) -> Table:
    """What fits into a width. Only names are ever cut: that of the graph to a quarter of it."""
    longest = LONGEST_NAME if width is None else min(LONGEST_NAME, width // 4)
    rows = [_cells(run, now, longest) for run in runs]
    titles = {"submitted": f"submitted ({zone(now)})"}
    columns = zip(RANKS.items(), zip(*rows, strict=True), strict=True)
    return fitting(
        [Column(titles.get(name, name), rank, list(cells), name in NUMBERS) for (name, rank), cells in columns], width
    )


def _cells(run: application_pb2.RunInfo, now: float, longest: int) -> tuple[Text, ...]:
    state = state_name(run.state)
    took = (run.ended_at or (now if state == "running" else run.submitted_at)) - run.submitted_at
    return (
        Text(run.run_id.hex()[-SHOWN_DIGITS:]),
        Text(cut(harmless(run.name), longest)),
        Text(run.topology),
        Text(cut(harmless(run.client), LONGEST_NAME)),
        Text(state, style=STATE_STYLES.get(state, "")),
        Text(moment(run.submitted_at, now)),
        Text(duration(max(0.0, took)) if run.ended_at or state == "running" else NOTHING),
        Text(str(run.steps)),
        Text(str(run.attempt)),
    )
