"""The steps of a trace as lines to scale: one a step in the order in which they began, between them the attempts. Pure.

A bar is made of three parts: on the wire, waiting at the node, at the device.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import NamedTuple

from rich.text import Text

from Services.datacenter.tracing.figures import cut, duration, size, wire
from Services.datacenter.tracing.parts import Attempt, Hop, Step
from Services.datacenter.tracing.trace import Trace

MOST_ROWS = 200  # of more steps the middle ones are left out
UNDONE_ROWS = 5  # of the steps of which nothing is known, the first ones
OPERATION_WIDTHS = (12, 28)  # the least and the most columns
SHORTEST_BAR = 8  # columns

CRITICAL, FAILED, ATTEMPT = "bold", "red", "yellow"


class Marks(NamedTuple):
    """What bars are drawn with."""

    wire: str
    wait: str
    device: str
    attempt: str  # where a further attempt began


BLOCKS = Marks("─", "░", "█", "│")
ASCII = Marks("-", ":", "#", "|")
STYLES = ("blue", "yellow", "green")  # of the three parts of a bar


def waterfall(trace: Trace, width: int, marks: Marks = BLOCKS) -> list[Text]:
    """The lines, none longer than `width`, which is at least 80."""
    scale = _Scale(trace, marks)
    columns = _Columns(trace, width)
    lines = [columns.heading()]
    undone = [step for step in trace.steps if step.state == "open"]
    rows: list[Attempt | Step] = [*(step for step in trace.steps if step.state != "open"), *undone[:UNDONE_ROWS]]
    rows += trace.attempts if len(trace.attempts) > 1 else ()
    rows.sort(key=_begin)
    left_out = len(rows) - MOST_ROWS
    for number, row in enumerate(rows):
        if left_out > 0 and MOST_ROWS // 2 <= number < MOST_ROWS // 2 + left_out:
            if number == MOST_ROWS // 2:
                lines.append(Text(f"  ... {left_out:,} lines more; --json has them all"))
            continue
        if isinstance(row, Attempt):
            lines += attempt_lines(trace, row, width)
        else:
            lines.append(columns.step(row) + scale.bar(row.hop, columns.bar_width))
    if len(undone) > UNDONE_ROWS:
        lines.append(Text(f"  ... and {len(undone) - UNDONE_ROWS:,} more: {_STATES['open']}"))
    return lines


def attempt_lines(trace: Trace, attempt: Attempt, width: int) -> list[Text]:
    """That an attempt began, and why."""
    since = duration(max(0.0, attempt.began_at - trace.submitted_at))
    is_first = attempt is trace.attempts[0]
    why = f"sent by {attempt.home}" if is_first else f"sent again by {attempt.home}, since {attempt.reason}"
    text = f"attempt {attempt.number} at {since}: {why}"
    lines = textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="    ")
    return [Text(line, style=ATTEMPT) for line in lines]


class _Columns:
    """How wide what stands before the bars is."""

    def __init__(self, trace: Trace, width: int) -> None:
        self._trace = trace
        self._critical = set(trace.critical_path)
        self._id = max(4, *(len(str(step.id)) for step in trace.steps)) if trace.steps else 4
        self._node = max([4, *(len(trace.node_of(step) or step.declared_node) for step in trace.steps)])
        self._attempt = 4 if len(trace.attempts) > 1 else 0
        fixed = 2 + self._id + 1 + self._node + 1 + self._attempt + sum(_FIGURES.values()) + len(_FIGURES) + 2
        longest = max([4, *(len(step.name) for step in trace.steps if step.hop is not None)])
        least, most = OPERATION_WIDTHS
        room = max(least, (width - fixed) // 2)
        self._operation = min(longest, most, room)
        self.bar_width = max(SHORTEST_BAR, width - fixed - self._operation - 1)

    def heading(self) -> Text:
        """What the columns are."""
        cells = [f"  {'step':>{self._id}}", f"{'node':<{self._node}}"]
        cells += [f"{'att':>{self._attempt - 1}}"] if self._attempt else []
        cells += [f"{'':<{self._operation}}", *(f"{name:>{width}}" for name, width in _FIGURES.items())]
        end = duration(self._trace.duration_s)
        return Text(f"{' '.join(cells)}  0{end:>{self.bar_width - 1}}", style="bold")

    def step(self, step: Step) -> Text:
        """What stands before the bar."""
        hop = step.hop
        mark = "*" if step.id in self._critical else " "
        node = self._trace.node_of(step) or step.declared_node
        cells = [f"{mark} {step.id:>{self._id}}", f"{node:<{self._node}}"]
        if self._attempt:
            cells.append(f"{_attempt(hop, self._trace.attempt):>{self._attempt - 1}}")
        style = FAILED if step.state == "failed" else CRITICAL if step.id in self._critical else ""
        if hop is None:
            return Text(" ".join([*cells, f"{step.operation or 'it'}: {_STATES[step.state]}"]), style=style)
        cells.append(cut(step.name, self._operation).ljust(self._operation))
        cells += [f"{figure:>{width}}" for figure, width in zip(_figures(hop), _FIGURES.values(), strict=True)]
        return Text.assemble((" ".join(cells), style), "  ")


@dataclass(frozen=True)
class _Scale:
    """Where in a bar a time is."""

    trace: Trace
    marks: Marks

    def bar(self, hop: Hop | None, width: int) -> Text:
        """Wire, waiting and device of a step, and where further attempts began."""
        cells: list[tuple[str, str]] = [(" ", "")] * width
        if hop is None:
            return Text()
        for attempt in self.trace.attempts[1:]:
            cells[self._cell(attempt.began_at, width)] = self.marks.attempt, ATTEMPT
        times = (hop.sent_at, hop.received_at, hop.started_at, hop.finished_at)
        for part in range(3):
            first, last = self._cell(times[part], width), self._cell(times[part + 1], width)
            for cell in range(first, max(first, last) + 1):
                cells[cell] = self.marks[part], STYLES[part]
        return Text.assemble(*((mark, style) for mark, style in cells))

    def _cell(self, at: float, width: int) -> int:
        share = (at - self.trace.submitted_at) / (self.trace.duration_s or 1.0)
        return min(width - 1, max(0, int(share * width)))


_FIGURES = {"wire": 7, "waited": 7, "device": 7, "in": 5, "out": 5}  # the columns of figures and their widths
_STATES = {"failed": "failed", "open": "not done, as far as is known"}


def _figures(hop: Hop) -> list[str]:
    return [wire(hop), duration(hop.waited_s), duration(hop.device_s), size(hop.request_bytes), size(hop.response_bytes)]


def _attempt(hop: Hop | None, last: int) -> str:
    """In brackets: done in an earlier one, of which the last one got it."""
    if hop is None:
        return ""
    return str(hop.attempt) if hop.attempt == last else f"({hop.attempt})"


def _begin(row: Attempt | Step) -> tuple[float, int]:
    if isinstance(row, Attempt):
        return row.began_at, -1
    return (min(row.hop.sent_at, row.hop.started_at) if row.hop is not None else float("inf")), row.id
