"""Completion in real shells on a terminal: what Tab makes of the beginning of a command."""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from Services.fractos.config import CODE_ROOT
from tests.terminal import started

SHELLS = ("bash", "zsh")
FLAGS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"]}
PREPARE = {
    "bash": "bind 'set enable-bracketed-paste off'",
    "zsh": "unsetopt zle_bracketed_paste; autoload -Uz compinit; compinit -u -D",
}
PATIENCE_S = 20.0


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._seen = ""

    def type(self, text: str) -> None:
        os.write(self._leader, text.encode())

    def until(self, expected: str) -> str:
        """Wait until something is shown, and return all that was up to then."""
        deadline = time.monotonic() + PATIENCE_S
        while expected not in self._seen:
            assert time.monotonic() < deadline, f"{expected!r} is not in {self._seen!r}"
            if select.select([self._leader], [], [], 0.1)[0]:
                self._seen += os.read(self._leader, 65536).decode(errors="replace")
        before, _, self._seen = self._seen.partition(expected)
        return before


@contextmanager
def shell(name: str, folder: Path) -> Iterator[Terminal]:
    """A shell in the project's folder that has read the completion, with all that it keeps in another folder."""
    program = shutil.which(name)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(f"there is no {name}")
        pytest.skip(f"there is no {name}")
    environment = {"TERM": "dumb", "HOME": str(folder), "PS1": "> ", "HISTFILE": ""}
    with started([program, *FLAGS[name]], environment, CODE_ROOT) as (_, leader):
        terminal = Terminal(leader)
        terminal.type(f'{PREPARE[name]}; eval "$({sys.executable} run_datacenter.py completion {name})"; echo rea""dy\n')
        terminal.until("ready")
        yield terminal


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("program", ["./run_datacenter.py", "python3 run_datacenter.py"])
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("stat", "status"),
        ("up --direct", "up --directory"),
        ("up --directory fi", "up --directory files"),
        ("train --dataset bench", "train --dataset benchmarks"),
        ("clients rev", "clients revoke"),
        ("new app", "new application"),
    ],
)
def test_tab_completes(name: str, program: str, typed: str, completed: str, tmp_path: Path) -> None:
    with shell(name, tmp_path) as terminal:
        terminal.type(f"{program} {typed}\t")
        terminal.until(f"{program} {completed}")


@pytest.mark.parametrize("name", SHELLS)
def test_python_completes_other_files_as_before(name: str, tmp_path: Path) -> None:
    with shell(name, tmp_path) as terminal:
        terminal.type("python3 Applications/shift_l\t")
        terminal.until("python3 Applications/shift_left.py")
