"""REPORT.md: made of all results in a folder, the newest of each benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from Services.datacenter.bench import peers
from Services.datacenter.bench.charts import Table
from Services.datacenter.bench.results import Outcome, Parameter
from Services.fractos.config import write_atomically

FILE = "REPORT.md"
INTRODUCTION = """\
# What the datacenter costs

Written by `python3 run_datacenter.py bench`; the figures are in [results](results/) as JSON and CSV, one line for each.
In a round every variant is measured once, so that a slow moment of the machine hits all of them. A figure is the median
of the medians of the rounds; the interval beside it, and the band around a line, is the 95 % confidence interval of that
median; quartiles and percentiles are those of all samples. Figures of different machines are not to be compared; ratios are.
"""


def write(out: Path, results: Path, modules: Mapping[str, ModuleType]) -> Path | None:
    """Write the report of all results that lie in a folder, and return its path; None if there are none.

    Those of `make bench-peers` are taken into it if they are there.
    """
    modules = {**modules, peers.BENCH: peers}
    outcomes = [found for bench in modules if (found := _read(results / f"{bench}.json"))]
    if not outcomes:
        return None
    path = out / FILE
    write_atomically(path, text_of(outcomes, modules, results.name))
    return path


def text_of(outcomes: list[Outcome], modules: Mapping[str, ModuleType], folder: str = "results") -> str:
    """The report. `folder` is where the plots are, seen from the report."""
    parts = [INTRODUCTION]
    if any(outcome.quick for outcome in outcomes):
        parts.append("**Some of it was measured with `--quick`: good to see that it works, not to compare.**\n")
    for outcome in outcomes:
        parts.append(_section(outcome, modules[outcome.bench], folder))
    parts.append(_machines(outcomes))
    return "\n".join(parts)


def _section(outcome: Outcome, module: ModuleType, folder: str) -> str:
    lines = [f"## {module.TITLE}\n", f"{module.ABOUT}\n"]
    if outcome.rows:
        lines += [f"{table.as_markdown()}\n" for table in module.tables(outcome)]
        for chart in module.charts(outcome):
            lines.append(f"![{chart.title}]({folder}/{chart.name}.png)\n\n[SVG]({folder}/{chart.name}.svg)\n")
    lines += [f"{note}\n" for note in outcome.notes]
    lines += [f"**{failure}**\n" for failure in outcome.failures]
    loose = sum(not row.summary.converged for row in outcome.rows)
    if loose:
        lines.append(f"{loose} figures, marked with ~, had not become as precise as asked for when the time was over.\n")
    return "\n".join(lines)


def _machines(outcomes: list[Outcome]) -> str:
    """The machine of each benchmark; one column where all ran on the same one."""
    keys = list(dict.fromkeys(key for outcome in outcomes for key in outcome.machine))
    described: dict[tuple[Parameter, ...], list[str]] = {}
    for outcome in outcomes:
        column = tuple(outcome.machine.get(key, "") for key in keys)
        described.setdefault(column, []).append(outcome.bench)
    heads = ("", *(", ".join(benches) for benches in described.values()))
    rows = [(key, *(str(column[index]) for column in described)) for index, key in enumerate(keys)]
    measured = [(outcome.bench, outcome.began, f"{outcome.took_s:.0f}", "yes" if outcome.quick else "") for outcome in outcomes]
    took = Table(("benchmark", "begun", "took, s", "quick"), measured)
    return f"## Where and when\n\n{Table(heads, rows).as_markdown()}\n\n{took.as_markdown()}\n"


def _read(path: Path) -> Outcome | None:
    """The results in a file; None if there are none, or they are of another version."""
    try:
        return Outcome.of_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, LookupError):
        return None
