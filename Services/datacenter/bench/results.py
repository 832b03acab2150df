"""The result of a benchmark as one long table, in JSON and CSV. Pure."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any

from Services.datacenter.bench.measuring import Summary

Parameter = str | int | float
KEYS = ("bench", "variant", "parameters", "figure", "unit")
NONE: Mapping[str, Parameter] = MappingProxyType({})
FIGURES = tuple(one.name for one in fields(Summary))


@dataclass(frozen=True)
class Row:
    """One figure of one variant."""

    bench: str
    variant: str
    figure: str
    unit: str
    summary: Summary
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    def is_at(self, parameters: Mapping[str, Parameter]) -> bool:
        """Whether it was measured with these parameters, among others."""
        return all(self.parameters.get(name) == value for name, value in parameters.items())

    def as_json(self) -> dict[str, Any]:
        """The row as a flat object."""
        keys = {name: getattr(self, name) for name in KEYS if name != "parameters"}
        return {**keys, "parameters": dict(self.parameters), **asdict(self.summary)}

    @classmethod
    def of_json(cls, known: Mapping[str, Any]) -> Row:
        """The row of such an object."""
        summary = Summary(**{name: known[name] for name in FIGURES})
        keys = {name: known[name] for name in KEYS}
        return cls(summary=summary, **keys)


@dataclass(frozen=True)
class Outcome:
    """What one benchmark found."""

    bench: str
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()  # what a reader should know
    failures: tuple[str, ...] = ()  # what is not as it must be: the command fails
    began: str = ""  # ISO 8601
    took_s: float = 0.0
    quick: bool = False
    machine: Mapping[str, Parameter] = field(default_factory=dict)

    def as_json(self) -> str:
        """Everything."""
        return json.dumps({**vars(self), "rows": [row.as_json() for row in self.rows]}, indent=2) + "\n"

    @classmethod
    def of_json(cls, text: str) -> Outcome:
        """The outcome that a file holds. Raises ValueError, TypeError or LookupError for another file."""
        known = json.loads(text)
        rows = tuple(Row.of_json(row) for row in known.pop("rows"))
        known["notes"], known["failures"] = tuple(known["notes"]), tuple(known["failures"])
        return cls(rows=rows, **known)

    def as_csv(self) -> str:
        """The rows, a line each; parameters as `name=value` with semicolons between."""
        text = io.StringIO()
        writer = csv.DictWriter(text, (*KEYS, *FIGURES), lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            flat = row.as_json()
            flat["parameters"] = ";".join(f"{name}={value}" for name, value in row.parameters.items())
            writer.writerow(flat)
        return text.getvalue()

    def of(self, figure: str, variant: str | None = None, at: Mapping[str, Parameter] = NONE) -> list[Row]:
        """The rows with a figure, of a variant or of all, and with these parameters."""
        return [row for row in self.rows if row.figure == figure and variant in {None, row.variant} and row.is_at(at)]


def values_of(rows: Iterable[Row], parameter: str) -> list[Parameter]:
    """The values that a parameter takes, each once, in their order in the rows."""
    return list(dict.fromkeys(row.parameters[parameter] for row in rows if parameter in row.parameters))
