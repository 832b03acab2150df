"""REPORT.md: made of all results in a folder, the newest of each benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from Services.datacenter.bench.charts import Table
from Services.datacenter.bench.results import Outcome, Parameter
from Services.fractos.config import write_atomically

FILE = "REPORT.md"
PEERS = "peers.json"  # of `make bench-peers`, if it lies among the results
INTRODUCTION = """\
# What the datacenter costs

Written by `python3 run_datacenter.py bench`; the figures are in [results](results/) as JSON and CSV, one line for each.
A figure is the median of all samples; the interval beside it, and the band around a line, is the 95 % confidence
interval of the median of rounds. In a round every variant is measured once, so that a slow moment of the machine hits
all of them. Figures of different machines are not to be compared; ratios are.
"""


def write(out: Path, results: Path, modules: Mapping[str, ModuleType]) -> Path | None:
    """Write the report of all results that lie in a folder, and return its path; None if there are none."""
    outcomes = [found for bench in modules if (found := _read(results / f"{bench}.json"))]
    if not outcomes:
        return None
    path = out / FILE
    write_atomically(path, text_of(outcomes, modules, _read_peers(results / PEERS), results.name))
    return path


def text_of(outcomes: list[Outcome], modules: Mapping[str, ModuleType], peers: Any = None, folder: str = "results") -> str:
    """The report. `folder` is where the plots are, seen from the report; `peers` what PEERS holds."""
    parts = [INTRODUCTION]
    if any(outcome.quick for outcome in outcomes):
        parts.append("**Some of it was measured with `--quick`: good to see that it works, not to compare.**\n")
    for outcome in outcomes:
        parts.append(_section(outcome, modules[outcome.bench], folder))
    if peers is not None:
        parts.append(f"## Beside others\n\n{_peers(peers)}\n")
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


def _read_peers(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _peers(known: Any) -> str:
    """Whatever shape it has: the long table, or an object of objects with figures."""
    rows = known.get("rows") if isinstance(known, dict) else known
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        keys = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in {"parameters"}]
        return Table(keys, [[_shown(row.get(key, "")) for key in keys] for row in rows]).as_markdown()
    if isinstance(known, dict) and all(isinstance(value, dict) for value in known.values()):
        keys = list(dict.fromkeys(key for value in known.values() for key in value))
        table = [[name, *(_shown(value.get(key, "")) for key in keys)] for name, value in known.items()]
        return Table(("", *keys), table).as_markdown()
    return f"```json\n{json.dumps(known, indent=2)}\n```"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
