"""The tables of the launcher: of nodes and servers while they start, of how they fare, of who owns what, of models."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from Services.datacenter.models import ModelStatus
from Services.datacenter.observation import NodeStatus, Observation, ServerStatus, SupervisorStatus
from Services.datacenter.processes import SUPERVISOR

COLOURS = {"ready": "green", "starting": "yellow", "stopping": "yellow", "restarting": "yellow", "dead": "red"}
NOTHING = "-"  # what is not known, or not there
GAP = 2  # columns of the terminal between two of a table

T = TypeVar("T")
V = TypeVar("V")


@dataclass(frozen=True)
class Column:
    """A column of a table that has to fit."""

    title: str
    rank: int  # where there is no room, the columns with the highest are left out
    cells: list[Text]
    right: bool


def fitting(columns: Sequence[Column], width: int | None) -> Table:
    """A table of the most important columns for which there is room, in the given order; without a width of all."""
    chosen = list(columns)
    if width is not None:
        chosen, left = [], width + GAP
        for column in sorted(columns, key=lambda one: one.rank):
            if all(cell.plain == NOTHING for cell in column.cells):
                continue
            left -= GAP + max(len(column.title), *(cell.cell_len for cell in column.cells))
            if left < 0:
                break
            chosen.append(column)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        if column in chosen:
            table.add_column(column.title, justify="right" if column.right else "left", no_wrap=True)
    for row in zip(*(column.cells for column in columns if column in chosen), strict=True):
        table.add_row(*row)
    return table


def status_tables(observation: Observation, root: Path, width: int | None) -> Iterator[Table]:
    """All that there is to see of a datacenter, within a width. Folders are told from `root` on."""
    supervisors = [_as_node(observation.supervisor)] if observation.supervisor else []
    yield fitting([figure.column([*observation.nodes, *supervisors]) for figure in NODE_FIGURES], width)
    if observation.zookeeper:
        yield fitting([figure.column(observation.zookeeper) for figure in SERVER_FIGURES], width)
    if owners := [node for node in observation.nodes if node.vitals.owns]:
        yield fitting([figure.column(owners) for figure in _owner_figures(root)], width)


def start_table(observation: Observation) -> Table:
    """Nodes and servers in short, as `up` shows them."""
    table = Table("node", "type", "role", "state", "address", "pid", box=None, pad_edge=False, header_style="bold")
    restarted = any(node.restarts for node in observation.nodes)
    if restarted:
        table.add_column("restarts")
    for server in observation.zookeeper:
        state, role = _state_and_role(server)
        table.add_row(server.server, "zookeeper", role, _coloured(state), server.address, str(server.pid or NOTHING))
    for node in observation.nodes:
        role = node.role if node.state == "ready" else ""
        count = [str(node.restarts)] if restarted else []
        address, pid = node.address or NOTHING, str(node.pid or NOTHING)
        table.add_row(node.node, node.type, role, _coloured(node.state), address, pid, *count)
    if supervisor := observation.supervisor:
        pid = str(supervisor.pid or NOTHING)
        table.add_row("supervisor", "supervisor", "", _coloured(supervisor.state), NOTHING, pid)
    return table


def models_table(models: Sequence[ModelStatus]) -> Table:
    """The trained models."""
    columns = "model", "classes", "accuracy", "loss", "held out", "trained with", "skipped"
    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for model in models:
        accuracy = f"{model.validation_accuracy:.1%}"
        counts = (f"{count:,}" for count in (model.validation_pictures, model.training_pictures, model.skipped_pictures))
        row = model.model, ", ".join(model.classes), accuracy, f"{model.validation_loss:.3f}", *counts
        table.add_row(*map(escape, row))
    return table


def age(seconds: float) -> str:
    """How long something has lived, in at most six characters up to 999 days."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def size(size_bytes: float) -> str:
    """A number of bytes, in powers of ten."""
    for power, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size_bytes >= power:
            return f"{size_bytes / power:,.{0 if size_bytes >= 10 * power else 1}f} {unit}"
    return f"{size_bytes:.0f} B"


def rate(per_s: float) -> str:
    """How often something happens in a second."""
    return f"{per_s:,.0f}" if per_s >= 10 or not per_s else f"{per_s:.1f}"


@dataclass(frozen=True)
class _Figure(Generic[T]):
    """What a column tells of each row."""

    title: str
    rank: int
    tell: Callable[[T], str | Text]
    right: bool = True

    def column(self, rows: Sequence[T]) -> Column:
        told = [self.tell(row) for row in rows]
        cells = [one if isinstance(one, Text) else Text(one) for one in told]
        return Column(self.title, self.rank, cells, self.right)


def _known(value: V | None, form: Callable[[V], str]) -> str:
    return NOTHING if value is None else form(value)


def _count(number: int) -> str:
    return f"{number:,}"


# The first six columns of both are those that `up` shows, in that order: scripts rely on it.
NODE_FIGURES: tuple[_Figure[NodeStatus], ...] = (
    _Figure("node", 0, lambda node: node.node, right=False),
    _Figure("type", 12, lambda node: node.type, right=False),
    _Figure("role", 2, lambda node: node.role if node.state == "ready" and node.address else NOTHING, right=False),
    _Figure("state", 1, lambda node: _coloured(node.state), right=False),
    _Figure("address", 11, lambda node: node.address or NOTHING, right=False),
    _Figure("pid", 13, lambda node: str(node.pid or NOTHING)),
    _Figure("restarts", 3, lambda node: str(node.restarts or NOTHING)),
    _Figure("up", 9, lambda node: _known(node.vitals.started_at, lambda at: age(time.time() - at))),
    _Figure("cpu", 4, lambda node: _known(node.vitals.cpu_percent, lambda percent: f"{percent:.0f}%")),
    _Figure("memory", 5, lambda node: _known(node.vitals.resident_bytes, size)),
    _Figure("waiting", 6, lambda node: _known(node.vitals.steps_waiting, _count)),
    _Figure("running", 10, lambda node: _known(node.vitals.steps_running, _count)),
    _Figure("steps/s", 7, lambda node: _known(node.vitals.steps_per_s, rate)),
    _Figure("runs/s", 8, lambda node: _known(node.vitals.runs_per_s, rate)),
    _Figure("steps", 15, lambda node: _known(node.vitals.steps_done, _count)),
    _Figure("runs", 16, lambda node: _known(node.vitals.runs_ended, _count)),
    _Figure("failed", 14, lambda node: _known(_first(node.vitals.steps_failed, node.vitals.runs_failed), _count)),
)
SERVER_FIGURES: tuple[_Figure[ServerStatus], ...] = (
    _Figure("server", 0, lambda server: server.server, right=False),
    _Figure("type", 10, lambda _: "zookeeper", right=False),
    _Figure("role", 2, lambda server: _state_and_role(server)[1] or NOTHING, right=False),
    _Figure("state", 1, lambda server: _coloured(_state_and_role(server)[0]), right=False),
    _Figure("address", 5, lambda server: server.address, right=False),
    _Figure("pid", 9, lambda server: str(server.pid or NOTHING)),
    _Figure("latency", 3, lambda server: _known(server.figures.latency_avg_ms, lambda ms: f"{ms:.1f} ms")),
    _Figure("slowest", 4, lambda server: _known(server.figures.latency_max_ms, lambda ms: f"{ms:.0f} ms")),
    _Figure("waiting", 6, lambda server: _known(server.figures.outstanding, _count)),
    _Figure("connections", 7, lambda server: _known(server.figures.connections, _count)),
    _Figure("znodes", 8, lambda server: _known(server.figures.znodes, _count)),
)


def _owner_figures(root: Path) -> tuple[_Figure[NodeStatus], ...]:
    return (
        _Figure("owned folder", 0, lambda node: _from(root, node.vitals.owns or NOTHING), right=False),
        _Figure("owner", 1, lambda node: node.node, right=False),
        _Figure("epoch", 2, lambda node: _known(node.vitals.epoch, str)),
        _Figure("journal", 3, lambda node: _known(node.vitals.journal_bytes, size)),
        _Figure("runs in flight", 4, lambda node: _known(node.vitals.runs_in_flight, _count)),
    )


def _first(*values: V | None) -> V | None:
    return next((value for value in values if value is not None), None)


def _from(root: Path, path: str) -> str:
    return str(Path(path).relative_to(root)) if Path(path).is_relative_to(root) else path


def _as_node(supervisor: SupervisorStatus) -> NodeStatus:
    """A row for the supervisor among those of the nodes."""
    return NodeStatus(SUPERVISOR, SUPERVISOR, "standby", supervisor.state, None, supervisor.pid, supervisor.log)


def _state_and_role(server: ServerStatus) -> tuple[str, str]:
    return (server.role, "") if server.role in COLOURS else ("ready", server.role)


def _coloured(state: str) -> Text:
    return Text(state, COLOURS[state])
