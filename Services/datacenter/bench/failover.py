"""`bench failover`: what benchmarks/failover.py finds, a program of its own that kills nodes in mid-run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from Services.datacenter.bench.charts import Chart, Table, number
from Services.datacenter.bench.context import Context
from Services.datacenter.bench.measuring import summarize
from Services.datacenter.bench.results import Outcome, Row
from Services.fractos.config import CODE_ROOT
from Services.fractos.errors import FailedPreconditionError

TITLE = "What a killed node costs"
ABOUT = """\
Runs of thirteen steps are in flight when the leader of a type is killed (SIGKILL) or stopped (SIGSTOP) in the middle of
them; a standby of its type lives. `added` is how much longer these runs took than undisturbed ones. Nothing may be
lost, wrong or done twice. The aim: a median of at most 0.5 s after a kill."""
PROGRAM = CODE_ROOT / "benchmarks/failover.py"
GRACE_S = 40.0  # until a datacenter of that program has ended
SECONDS_A_KILL = 6.0  # about, with starting the node again


def run(context: Context) -> Outcome:
    """Have the program measure. Raises FailedPreconditionError if it is not there or cannot go on."""
    if not PROGRAM.is_file():
        raise FailedPreconditionError(f"{PROGRAM} is not there: it comes with the source code of the project")
    kills = 1 if context.options.quick else max(2, min(10, int(context.left_s / 5 / SECONDS_A_KILL)))
    with tempfile.TemporaryDirectory(prefix="mockdc-bench-") as folder:
        file = Path(folder) / "failover.json"
        stops = 0 if context.options.quick else kills
        flags = [f"--kills={kills}", f"--stops={stops}", "--takeovers=0", "--restarts=0", f"--json={file}"]
        code = _run([sys.executable, str(PROGRAM), *flags], context)
        if not file.exists():
            raise FailedPreconditionError(f"`{PROGRAM.name} {' '.join(flags)}` ended with code {code}")
        found = json.loads(file.read_text(encoding="utf-8"))
    return outcome_of(found)


def outcome_of(found: Sequence[Mapping[str, Any]]) -> Outcome:
    """What is made of the series in the program's file. The runs of one kill count as one value, their median."""
    rows, failures = [], []
    for series in found:
        parameters = {"times": series["times"]}
        if by_time := series["added_by_time_s"]:
            added = summarize([one for runs in by_time for one in runs], [statistics.median(runs) for runs in by_time])
            rows.append(Row("failover", series["name"], "added", "s", added, parameters))
        if series["lost"] or series["wrong"] or series["duplicated"]:
            counts = f"{len(series['lost'])} lost, {series['wrong']} wrong, {series['duplicated']} done twice"
            failures.append(f"{series['name']}: {counts}")
    return Outcome("failover", tuple(rows), failures=tuple(failures))


def _run(command: list[str], context: Context) -> int:
    """Run the program, passing on what it says. It ends its nodes itself, also if this is interrupted."""
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stderr
            for line in process.stderr:
                context.say(line.strip())
            return process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(GRACE_S)
                except subprocess.TimeoutExpired:
                    process.kill()


def tables(outcome: Outcome) -> Sequence[Table]:
    """A row for each kind of trouble."""
    rows = []
    for row in outcome.of("added"):
        summary = row.summary
        figures = (summary.median, summary.q3, summary.p99, summary.highest)
        rows.append((row.variant, *map(number, figures), str(row.parameters["times"]), str(summary.n)))
    return [Table(("", "added, median, s", "75 %", "99 %", "highest", "times", "runs"), rows)]


def charts(outcome: Outcome) -> Sequence[Chart]:
    """None: the few figures are a table."""
    return []
