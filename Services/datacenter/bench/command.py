"""The command `bench`: measures, and writes what was found as soon as a benchmark is done."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType

from Services.datacenter.bench import data, failover, image, latency, machine, plots, report, scale, start, throughput, topology
from Services.datacenter.bench.context import Context, temporary_model
from Services.datacenter.bench.options import Options
from Services.datacenter.bench.results import Outcome, Parameter
from Services.datacenter.screen import Screen
from Services.fractos.config import write_atomically
from Services.fractos.errors import FractosError, InvalidArgumentError

INTERRUPTED = 130
MODULES: Mapping[str, ModuleType] = {
    "topology": topology,
    "latency": latency,
    "throughput": throughput,
    "data": data,
    "image": image,
    "failover": failover,
    "start": start,
    "scale": scale,
}


def run_bench(options: Options, screen: Screen) -> int:
    """Run the benchmarks and return the exit code: 0, 1 if one failed or found what must not be, 130 after Ctrl-C.

    Raises InvalidArgumentError, before anything is measured, for a folder that cannot be written to.
    """
    results = options.out / "results"
    _check_writable(results)
    failures: list[str] = []
    interrupted = False
    described = machine.describe()
    try:
        for number, bench in enumerate(options.benches, 1):
            place = f"{number}/{len(options.benches)} " if len(options.benches) > 1 else ""
            with screen.line() as tell, temporary_model() as model:
                outcome = _measure(Context(bench, options, model, tell, place), described)
            write(outcome, results)
            for table in MODULES[bench].tables(outcome):
                screen.grid(table.heads, table.rows)
            for line in (*outcome.notes, *outcome.failures):
                screen.say(line)
            failures += outcome.failures
    except KeyboardInterrupt:
        screen.say("interrupted; what was started has been stopped")
        interrupted = True
    if written := report.write(options.out, results, MODULES):
        screen.say(f"the report is {written}, the figures are in {results}")
    if interrupted:
        return INTERRUPTED
    return 1 if failures else 0


def _measure(context: Context, described: Mapping[str, Parameter]) -> Outcome:
    """One benchmark, in datacenters of its own. One that cannot be done fails, and the others go on."""
    began, clock = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.monotonic()
    try:
        outcome: Outcome = MODULES[context.bench].run(context)
    except FractosError as error:
        outcome = Outcome(context.bench, (), failures=(f"{context.bench} could not be measured: {error}",))
    took_s = round(time.monotonic() - clock, 1)
    return replace(outcome, began=began, took_s=took_s, quick=context.options.quick, machine=described)


def write(outcome: Outcome, results: Path) -> None:
    """Write the rows and the plots of a benchmark into a folder. Where it has measured nothing, what is there stays."""
    if not outcome.rows:
        return
    write_atomically(results / f"{outcome.bench}.json", outcome.as_json())
    write_atomically(results / f"{outcome.bench}.csv", outcome.as_csv())
    for chart in MODULES[outcome.bench].charts(outcome):
        plots.draw(chart, results)


def _check_writable(folder: Path) -> None:
    """Make the folder; raises InvalidArgumentError now, and not after an hour."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        allowed = os.access(folder, os.W_OK | os.X_OK) and os.access(folder.parent, os.W_OK | os.X_OK)
    except OSError:
        allowed = False
    if not allowed:
        raise InvalidArgumentError(
            f"--out {folder.parent}: results cannot be written there; name a folder that you may write to", field="out"
        )
