"""What the launcher shows: lines, tables and progress, live on a terminal and as plain lines anywhere else."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from Services.datacenter.models import ModelStatus
from Services.datacenter.observation import Observation
from Services.datacenter.tables import models_table, start_table, status_tables

PIPED_WIDTH = 200  # columns; no address is cut where there is no terminal
PIPED_EVERY_S = 5.0  # how often a line that changes is printed there
LINE_EVERY_S = 0.2  # and on a terminal


class Screen:
    """The standard output, or the standard error. Programs that read it get plain lines."""

    def __init__(self, file: TextIO | None = None) -> None:
        file = file or sys.stdout
        self._terminal = file.isatty()
        self._console = Console(
            file=file, width=None if self._terminal else PIPED_WIDTH, highlight=False, emoji=False, soft_wrap=not self._terminal
        )

    @property
    def is_live(self) -> bool:
        """Whether what was shown can be replaced: on a terminal."""
        return self._console.is_terminal

    @property
    def width(self) -> int | None:
        """The columns of the terminal; None where there is none, so that nothing has to be left out."""
        return self._console.width if self._terminal else None

    def say(self, text: str, hang: int = 4) -> None:
        """Print one message. On a terminal what does not fit goes on in the next line, `hang` columns further in."""
        if self._terminal:
            text = "\n".join(_wrapped(line, self._console.width, hang) for line in text.splitlines())
        self._console.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a message that must not be overlooked."""
        if self._terminal:
            text = _wrapped(text, self._console.width, 4)
        self._console.print(text, style="bold yellow", markup=False, soft_wrap=True)

    def command(self, text: str) -> None:
        """Print a command on a line of its own, whole, so that it can be copied."""
        self._console.print(f"  {text}", markup=False, soft_wrap=True)

    def show(self, what: RenderableType) -> None:
        """Print a table or a line that was laid out by others."""
        self._console.print(what, soft_wrap=isinstance(what, Text))

    def table(self, observation: Observation) -> None:
        """Print the table of nodes and servers."""
        self._console.print(start_table(observation))

    def status(self, observation: Observation, root: Path) -> None:
        """Print all that there is to see of the datacenter in folder `root`."""
        self._console.print(self._status(observation, root))

    @contextmanager
    def live_status(self, root: Path) -> Iterator[Callable[[str, Observation], None]]:
        """Show a datacenter again and again: call what this gives with a heading and every observation."""
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False) as live:
                yield lambda heading, observation: live.update(
                    Group(Text(heading, "bold"), "", self._status(observation, root)), refresh=True
                )
        else:
            yield lambda heading, observation: self._console.print(heading, self._status(observation, root), "", sep="\n")

    def _status(self, observation: Observation, root: Path) -> Group:
        tables = list(status_tables(observation, root, self.width))
        return Group(tables[0], *(part for table in tables[1:] for part in ("", table)))

    def models(self, models: Sequence[ModelStatus]) -> None:
        """Print the table of models, if there are any."""
        if models:
            self._console.print("", models_table(models), sep="\n")

    @contextmanager
    def watching(self) -> Iterator[Callable[[Observation], None]]:
        """Show how a datacenter comes up: call what this gives with every observation."""
        began = time.monotonic()
        if self._console.is_terminal:
            with Live(console=self._console, transient=True, auto_refresh=False) as live:
                # Without the supervisor, which is started last.
                yield lambda observation: live.update(start_table(replace(observation, supervisor=None)), refresh=True)
        else:
            shown: dict[str, str] = {}
            yield lambda observation: self._tell(observation, shown, began)

    @contextmanager
    def steps(self, title: str) -> Iterator[Callable[[int, int, str], None]]:
        """Show the progress of a task: call what this gives with the steps done, all steps and how it stands."""
        if self._console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
            with Progress(*columns, TextColumn("{task.fields[note]}"), console=self._console) as progress:
                task = progress.add_task(title, total=None, note="")
                yield lambda done, total, note: progress.update(task, completed=done, total=total, note=note)
        else:
            self.say(f"{title} ...")
            yield lambda done, total, note: self.say(f"{title}: {done}/{total} {note}".rstrip())

    @contextmanager
    def line(self) -> Iterator[Callable[[str], None]]:
        """Show how something stands in one line: call what this gives with each new text. In a pipe a few are printed."""
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False) as live:
                yield _sometimes(
                    LINE_EVERY_S, lambda text: live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
                )
        else:
            yield _sometimes(PIPED_EVERY_S, self.say)

    def grid(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table of plain texts."""
        table = Table(*columns, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*map(escape, row))
        self._console.print(table)

    def _tell(self, observation: Observation, shown: dict[str, str], began: float) -> None:
        """Print a line for each node and server whose state is another than `shown`, which it brings up to date."""
        states = [(server.server, server.role, server.address) for server in observation.zookeeper]
        states += [(node.node, node.state, node.address or "") for node in observation.nodes]
        for name, state, address in states:
            if shown.get(name) != state and state not in {"dead", "restarting", "starting"}:
                self.say(f"{time.monotonic() - began:5.1f} s  {name} is {state} at {address}")
            shown[name] = state


def _sometimes(every_s: float, show: Callable[[str], None]) -> Callable[[str], None]:
    """What shows a text unless it did so less than `every_s` ago."""
    shown_at = float("-inf")

    def show_some(text: str) -> None:
        nonlocal shown_at
        if time.monotonic() >= shown_at + every_s:
            shown_at = time.monotonic()
            show(text)

    return show_some


def _wrapped(line: str, width: int, hang: int) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + hang)
    return textwrap.fill(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
