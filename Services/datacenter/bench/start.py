"""`bench start`: how long a node and a datacenter take until they are ready, and what an idle node has of the memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import psutil

from Services.datacenter.bench.charts import Chart, Table, median, number
from Services.datacenter.bench.context import Context
from Services.datacenter.bench.measuring import summarize
from Services.datacenter.bench.own_datacenter import configuration_text, lend_model, started
from Services.datacenter.bench.results import Outcome, Row
from Services.fractos.errors import FailedPreconditionError

TITLE = "How long a start takes"
ABOUT = """\
From the start of the processes until all of them say that they serve; what `--setup` makes is there before. A node is
started alone, with a directory of files, and weighed when it has been idle for a while; the datacenter is the default
one, with a ZooKeeper ensemble of three servers and a trained model. A start is cold as far as processes go: the files are
in the machine's cache from the second one on."""
KINDS = ("math", "storage")
DEFAULT_NODES = {"cnn": 1, "math": 1, "application": 1, "storage": 1}
DEFAULT = "default datacenter, 3 ZooKeeper servers"
STARTS, QUICK_STARTS = 6, 1
IDLE_S = 2.0  # before a node is weighed
AIMS_S = {"math node": 1.0, "storage node": 1.0, DEFAULT: 15.0}
AIMS_MB = {"math node": 60.0, "storage node": 70.0}


def run(context: Context) -> Outcome:
    """Start each so many times, one after the other in each round."""
    starts = QUICK_STARTS if context.options.quick else STARTS
    start_s: dict[str, list[float]] = {}
    resident_mb: dict[str, list[float]] = {}
    notes: list[str] = []
    for number_of in range(1, starts + 1):
        for kind in KINDS:
            context.say(f"starting a {kind} node ({number_of} of {starts})")
            took_s, weighs_mb = _node(kind)
            start_s.setdefault(f"{kind} node", []).append(took_s)
            resident_mb.setdefault(f"{kind} node", []).append(weighs_mb)
    try:
        for number_of in range(1, starts + 1):
            context.say(f"starting the default datacenter ({number_of} of {starts})")
            start_s.setdefault(DEFAULT, []).append(_default_datacenter(context))
    except FailedPreconditionError as error:
        notes.append(f"Without the default datacenter: {error.message}")
    rows = [Row("start", name, "start", "s", summarize(found)) for name, found in start_s.items() if found]
    rows += [Row("start", name, "resident", "MB", summarize(found)) for name, found in resident_mb.items()]
    return Outcome("start", tuple(rows), tuple(notes))


def _node(kind: str) -> tuple[float, float]:
    """How many seconds a node alone takes until it is ready, and how many MB of it are resident when it is idle."""
    with started(configuration_text({kind: 1}), set_up_before=True) as own:
        time.sleep(IDLE_S)
        return own.up_s, psutil.Process(own.nodes[0].pid).memory_info().rss / 1e6


def _default_datacenter(context: Context) -> float:
    """Raises FailedPreconditionError without ZooKeeper or TensorFlow."""
    text = configuration_text(DEFAULT_NODES, {"ZooKeeper": "servers = 3"}, zookeeper=True)
    with started(text, partial(lend_model, context.model.folder), set_up_before=True) as own:
        return own.up_s


def tables(outcome: Outcome) -> Sequence[Table]:
    """A row for each thing that is started, with what is aimed at."""
    rows = []
    for row in outcome.of("start"):
        resident = [one.summary for one in outcome.of("resident", row.variant)]
        rows.append(
            (
                row.variant,
                median(row.summary),
                f"{number(row.summary.low)} … {number(row.summary.high)}",
                f"≤ {AIMS_S[row.variant]:g}",
                median(resident[0]) if resident else "",
                f"≤ {AIMS_MB[row.variant]:g}" if resident else "",
                str(row.summary.n),
            )
        )
    return [Table(("", "ready, s", "95 %", "aim", "idle, MB", "aim, MB", "starts"), rows)]


def charts(outcome: Outcome) -> Sequence[Chart]:
    """None: a few figures are a table."""
    return []
