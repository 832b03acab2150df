"""Tables and charts as values: what each benchmark makes of its rows. Pure; `plots.py` draws them, `report.py` writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from Services.datacenter.bench.measuring import Summary
from Services.datacenter.bench.results import Parameter

Point = tuple[float, float, float, float]  # x, median, and its confidence interval


@dataclass(frozen=True)
class Table:
    """A table of the report."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def as_markdown(self) -> str:
        """The first column names things, the others hold figures."""
        lines = [f"**{self.title}**\n"] if self.title else []
        lines += [f"| {' | '.join(self.heads)} |", f"|---|{'---:|' * (len(self.heads) - 1)}"]
        return "\n".join(lines + [f"| {' | '.join(row)} |" for row in self.rows])


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    label: str
    points: Sequence[Point]
    dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over a common axis."""

    name: str  # of the files
    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    log_x: bool = False
    log_y: bool = False
    x_ticks: Sequence[float] = ()
    x_names: Sequence[str] = ()  # what the ticks are called, if not by their numbers


@dataclass(frozen=True)
class Panel:
    """One grid of a heat map."""

    title: str
    values: Sequence[Sequence[float]]  # by row, the first at the bottom


@dataclass(frozen=True)
class HeatMap:
    """Ratios over a grid, in rows of panels, the first row on top: 1 is neutral, the scale is logarithmic."""

    name: str
    title: str
    x_label: str
    y_label: str
    x_names: Sequence[str]
    y_names: Sequence[str]
    panels: Sequence[Sequence[Panel]]


def point(x: Parameter, summary: Summary) -> Point:
    """A point of a line."""
    return float(x), summary.median, summary.low, summary.high


def number(value: float) -> str:
    """A figure with three digits that count."""
    if value == 0 or not abs(value) < float("inf"):
        return f"{value:g}"
    digits = max(0, 2 - _exponent(value))
    return f"{value:,.{digits}f}"


def median(summary: Summary) -> str:
    """A median, marked if it is not as precise as was asked for."""
    return f"{'' if summary.converged else '~'}{number(summary.median)}"


def size(size_bytes: float) -> str:
    """A number of bytes as people write it, in powers of ten."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.3g} {unit}"
    return f"{size_bytes:.0f} B"


def _exponent(value: float) -> int:
    return int(f"{value:.2e}".partition("e")[2])
