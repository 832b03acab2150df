"""Programs on a terminal of their own, as a person sees them."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COLUMNS, LINES = 80, 24
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])(?:;\d+)*m")


@dataclass(frozen=True)
class Shown:
    """What a program wrote, and how it ended."""

    raw: str
    code: int

    @property
    def lines(self) -> list[str]:
        """The lines as one reads them."""
        return [CONTROL.sub("", line).rstrip() for line in re.split(r"[\r\n]+", self.raw)]

    @property
    def is_coloured(self) -> bool:
        """Whether anything is not in the terminal's own colours."""
        return COLOUR.search(self.raw) is not None


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], cwd: Path | None = None, columns: int = COLUMNS
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A program on a terminal, and our end of that. It is killed if it still runs at the end."""
    leader, follower = pty.openpty()
    kept = {key: value for key, value in os.environ.items() if key not in {"NO_COLOR", "COLUMNS", "LINES"}}
    try:
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**kept, "TERM": "xterm", **environment},
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        )
        os.close(follower)
        with process:
            try:
                yield process, leader
            finally:
                process.kill()
    finally:
        os.close(leader)


def show(command: Sequence[str], columns: int = COLUMNS, **environment: str) -> Shown:
    """Run a program to its end on a terminal."""
    with started(command, environment, columns=columns) as (process, leader):
        written = read_all(leader)
        process.wait()
    return Shown(written.decode(), process.returncode)


def read_all(leader: int) -> bytes:
    """What is written to a terminal until the last program that has it open closes it."""
    written = b""
    try:
        while piece := os.read(leader, 65536):
            written += piece
    except OSError:  # how Linux says that the other side was closed
        pass
    return written
