"""`bench scale`: the time to start many nodes, and what they cost a run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from Services.datacenter.bench.charts import Chart, Table, median, number
from Services.datacenter.bench.context import Context
from Services.datacenter.bench.graphs import durations_ms, ring
from Services.datacenter.bench.measuring import Batch, summarize
from Services.datacenter.bench.own_datacenter import OwnDatacenter, running
from Services.datacenter.bench.results import Outcome, Row

TITLE = "What many nodes cost"
ABOUT = """\
Two datacenters side by side, one of an application node and three math nodes, one of many. How long each takes to start
until all nodes are ready, and how long a run of three steps on three math nodes takes in each. The aim for 100 nodes on
two cores: started within 60 s, and runs within 1.2 times those of four nodes."""
FEW = 4
QUICK_NODES = 6
CALLS = 20  # of a round


def run(context: Context) -> Outcome:
    """Measure."""
    many = QUICK_NODES if context.options.quick else context.options.nodes
    context.say(f"starting {FEW} nodes")
    with running({"application": 1, "math": FEW - 1}) as small:
        context.say(f"starting {many} nodes")
        with running({"application": 1, "math": many - 1}, keys={"DataCenter": "start_timeout_s = 600"}) as large:
            variants: dict[str, Batch] = {name_of(FEW): _runs(small), name_of(many): _runs(large)}
            measured = context.measure("runs in both", variants)
            starts = {FEW: small.up_s, many: large.up_s}
    rows = []
    for nodes, up_s in starts.items():
        name, parameters = name_of(nodes), {"nodes": nodes}
        rows.append(Row("scale", name, "start", "s", summarize([up_s]), parameters))
        rows.append(Row("scale", name, "duration", "ms", measured.summary(name), parameters))
        rows.append(Row("scale", name, f"by {name_of(FEW)}", "", measured.ratio(name, name_of(FEW)), parameters))
    return Outcome("scale", tuple(rows))


def _runs(own: OwnDatacenter) -> Batch:
    return partial(durations_ms, partial(own.connection.run, ring(3)), CALLS)


def name_of(nodes: int) -> str:
    """What a datacenter is called in tables."""
    return f"{nodes} nodes"


def tables(outcome: Outcome) -> Sequence[Table]:
    """A row for each datacenter."""
    rows = []
    for row in outcome.of("duration"):
        start = outcome.of("start", row.variant)[0].summary
        ratio = outcome.of(f"by {name_of(FEW)}", row.variant)[0].summary
        figures = (row.summary.q1, row.summary.q3, row.summary.p99)
        rows.append((row.variant, median(start), median(row.summary), *map(number, figures), median(ratio), str(row.summary.n)))
    return [Table(("", "start, s", "run, ms", "25 %", "75 %", "99 %", f"by {FEW} nodes", "runs"), rows)]


def charts(outcome: Outcome) -> Sequence[Chart]:
    """None: two datacenters are a table."""
    return []
