"""The logs of the nodes and ZooKeeper servers: where they are, how they end, what is added to them."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable
from pathlib import Path

from Services.datacenter import ensemble
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
            f"there is no log in {configuration.logs_path} yet; start the datacenter: python3 run_datacenter.py"
        )
    known = [path.stem for path in configuration.logs_path.glob("*.log")]
    known += [server.name for server in ensemble.read_servers(configuration.root)]
    near = difflib.get_close_matches(name, known)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known)) or 'none yet'}"
    raise NotFoundError(f"there is no log of {name!r}; {hint}")


def show_logs(logs: dict[str, Path], *, follow: bool, write: Callable[[str], None]) -> None:
    """Write the last 50 lines of each log, and with `follow` whatever is added, until interrupted."""
    prefix = {name: f"{name:<{max(map(len, logs))}} | " if len(logs) > 1 else "" for name in logs}
    positions: dict[str, int] = {}
    for name, path in logs.items():
        positions[name] = path.stat().st_size
        for line in tail(path, SHOWN_LINES):
            write(f"{prefix[name]}{line}")
    while follow:
        for name, path in logs.items():
            lines, positions[name] = _added(path, positions[name])
            for line in lines:
                write(f"{prefix[name]}{line}")
        time.sleep(POLL_S)


def tail(path: Path, lines: int) -> list[str]:
    """The last lines of a text file, reading at most 64 KiB."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read(TAIL_BYTES).decode(errors="replace").splitlines()[-lines:]


def _added(path: Path, position: int) -> tuple[list[str], int]:
    """The whole lines that a file has got since `position`, and the position behind them."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return [], position  # about to be made anew
    with path.open("rb") as file:
        file.seek(position if size >= position else 0)  # smaller: the log was put aside and begun anew
        added = file.read()
        end = added.rfind(b"\n") + 1
        return added[:end].decode(errors="replace").splitlines(), file.tell() - len(added) + end
