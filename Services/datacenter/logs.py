"""The logs of the nodes and ZooKeeper servers: where they are, how they end, what is added to them."""

from __future__ import annotations

import difflib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from Services.datacenter import ensemble
from Services.datacenter.next_command import to_type
from Services.fractos.config import Configuration
from Services.fractos.errors import NotFoundError

SHOWN_LINES = 50
TAIL_BYTES = 64 * 1024
POLL_S = 0.2


def node_log(configuration: Configuration, name: str) -> Path:
    """The log of a node."""
    return configuration.logs_path / f"{name}.log"


def logs_of(configuration: Configuration, name: str) -> list[Path]:
    """The logs of one node or server that exist: a server has one of Java and one of ZooKeeper."""
    paths = [node_log(configuration, name)]
    for server in ensemble.read_servers(configuration.root):
        if server.name == name:
            paths = [server.output, server.log]
    return [path for path in paths if path.exists()]


def choose_logs(configuration: Configuration, name: str | None) -> dict[str, Path]:
    """The logs to show, by what to call them: one node's or server's, or those of all nodes.

    Raises NotFoundError, naming near misses, if there is none.
    """
    if name is None:
        found = {path.stem: path for path in sorted(configuration.logs_path.glob("*.log"))}
    else:
        found = {path.name: path for path in logs_of(configuration, name)}
    if found:
        return found
    if name is None:
        raise NotFoundError(
            f"there is no log in {configuration.logs_path} yet; start the datacenter: {to_type(configuration.root)}"
        )
    known = [path.stem for path in configuration.logs_path.glob("*.log")]
    known += [server.name for server in ensemble.read_servers(configuration.root)]
    near = difflib.get_close_matches(name, known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known)) or 'none yet'}"
    raise NotFoundError(f"there is no log of {name!r}; {hint}")


def show_logs(logs: dict[str, Path], *, follow: bool, write: Callable[[str], None], lines: int = SHOWN_LINES) -> None:
    """Write the last lines of each log, and with `follow` whatever is added, until interrupted."""
    prefix = {name: f"{name:<{max(map(len, logs))}} | " if len(logs) > 1 else "" for name in logs}
    files = {name: LogFile(path) for name, path in logs.items()}
    for name, path in logs.items():
        files[name].skip()
        for line in tail(path, lines):
            write(f"{prefix[name]}{line}")
    while follow:
        for name, file in files.items():
            for line in file.added():
                write(f"{prefix[name]}{line}")
        time.sleep(POLL_S)


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a text file, reading at most 64 KiB unless that many lines take more."""
    size_bytes = path.stat().st_size
    piece_bytes = TAIL_BYTES
    with path.open("rb") as file:
        while True:
            file.seek(max(0, size_bytes - piece_bytes))
            found = file.read(piece_bytes).decode(errors="replace").splitlines()
            if len(found) > lines or piece_bytes >= size_bytes:
                return found[-lines:]
            piece_bytes *= 2


class LogFile:
    """Reads a log from its beginning or from its present end, and then what is added to it, also when it is begun anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = self._position = 0

    def existing(self) -> Iterator[str]:
        """Every whole line that there is, those first that were put aside. To be read to its end, and before `added`."""
        aside = self._aside()
        if aside.exists():
            with aside.open(encoding="utf-8", errors="replace") as file:
                yield from (line.rstrip("\n") for line in file)
        with self._path.open("rb") as file:
            self._inode = os.fstat(file.fileno()).st_ino
            for line in file:
                if line.endswith(b"\n"):
                    self._position += len(line)
                    yield line[:-1].decode(errors="replace")

    def skip(self) -> None:
        """Begin at the present end."""
        status = self._path.stat()
        self._inode, self._position = status.st_ino, status.st_size

    def added(self) -> list[str]:
        """The whole lines that were added since the last call."""
        lines: list[str] = []
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return lines  # about to be made anew
        if status.st_ino != self._inode:  # what was read so far has been put aside
            aside = self._aside()
            if aside.exists() and aside.stat().st_ino == self._inode:
                lines = self._read(aside)
            self._inode, self._position = status.st_ino, 0
        elif status.st_size < self._position:
            self._position = 0
        return lines + self._read(self._path)

    def _read(self, path: Path) -> list[str]:
        with path.open("rb") as file:
            file.seek(self._position)
            added = file.read()
        end = added.rfind(b"\n") + 1
        self._position += end
        return added[:end].decode(errors="replace").splitlines()

    def _aside(self) -> Path:
        return self._path.with_name(f"{self._path.name}.1")
