"""Draws charts as SVG and PNG files. Imports matplotlib when the first one is drawn: no other command needs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from Services.datacenter.bench.charts import Chart, HeatMap, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind people can tell apart; markers tell lines apart without any colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "bench",  # the same figures give the same file
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#d9d9d9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}
INCHES = (7.0, 4.2)
DPI = 150
LARGEST_FACTOR = 4.0  # the end of the scale of a heat map


def draw(chart: Chart | HeatMap, folder: Path) -> list[Path]:
    """Write a chart as `<name>.svg` and `<name>.png`; return the files."""
    import matplotlib as mpl  # noqa: PLC0415
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=INCHES, layout="constrained")
        FigureCanvasAgg(figure)
        if isinstance(chart, Chart):
            _lines(figure, chart)
        else:
            _heat_map(figure, chart)
        files = [folder / f"{chart.name}.{kind}" for kind in ("svg", "png")]
        for file in files:
            figure.savefig(file, dpi=DPI, metadata={"Date": None} if file.suffix == ".svg" else None)
    return files


def _lines(figure: Figure, chart: Chart) -> None:
    axes = figure.add_subplot()
    for index, line in enumerate(chart.lines):
        _line(axes, line, COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)])
    axes.set_title(chart.title)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    if chart.log_x:
        axes.set_xscale("log")
    if chart.log_y:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, place: f"{value:,g}")
    else:
        axes.set_ylim(bottom=0)
    if chart.x_ticks:
        names = chart.x_names or [f"{tick:,g}" for tick in chart.x_ticks]
        axes.set_xticks(list(chart.x_ticks), names, minor=False)
        axes.set_xticks([], minor=True)
    if len(chart.lines) > 1:
        figure.legend(loc="outside lower center", ncols=min(len(chart.lines), 4), frameon=False)


def _line(axes: Axes, line: Line, colour: str, marker: str) -> None:
    """A line with its confidence intervals as a band."""
    x, median, low, high = zip(*line.points, strict=True)
    style = "--" if line.dashed else "-"
    axes.plot(x, median, style, color=colour, marker="" if line.dashed else marker, markersize=5, label=line.label)
    axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def _heat_map(figure: Figure, chart: HeatMap) -> None:
    from matplotlib.colors import LogNorm  # noqa: PLC0415

    rows, columns = len(chart.panels), len(chart.panels[0])
    figure.set_size_inches(2.0 + columns * (0.6 + 0.55 * len(chart.x_names)), 1.3 + rows * (0.5 + 0.4 * len(chart.y_names)))
    norm = LogNorm(1 / LARGEST_FACTOR, LARGEST_FACTOR)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes, panel in zip(grid.flat, (panel for row in chart.panels for panel in row), strict=True):
        shown = axes.imshow(panel.values, norm=norm, cmap="PuOr_r", origin="lower", aspect="auto")
        axes.set_title(panel.title, fontsize=9)
        axes.set_xticks(range(len(chart.x_names)), chart.x_names)
        axes.set_yticks(range(len(chart.y_names)), chart.y_names)
        axes.grid(visible=False)
        axes.tick_params(length=0)
        _write_values(axes, panel.values)
    figure.suptitle(chart.title)
    figure.supxlabel(chart.x_label, fontsize=10)
    figure.supylabel(chart.y_label, fontsize=10)
    bar = figure.colorbar(shown, ax=grid.ravel().tolist(), label="times as long", ticks=[0.25, 0.5, 1, 2, 4])
    bar.ax.set_yticklabels(["¼", "½", "1", "2", "4"])
    bar.ax.minorticks_off()


def _write_values(axes: Axes, values: Sequence[Sequence[float]]) -> None:
    for row, cells in enumerate(values):
        for column, value in enumerate(cells):
            if math.isnan(value):
                continue
            strong = value > LARGEST_FACTOR * 0.6 or value < 1 / (LARGEST_FACTOR * 0.6)
            colour = "white" if strong else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=9)
