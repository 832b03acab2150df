"""The command line of a node, the same for every `*_controller.py`. Read by `node.py`."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path

from Services.fractos.config import find_root
from Services.fractos.errors import ConfigurationError
from Services.fractos.output import LOG_BYTES, LogSettings, begin_logging, log_to_output


@dataclass(frozen=True)
class Options:
    """The command line of a node."""

    index: int | None  # None: the lowest that is free
    verbose: bool
    zookeeper: bool
    root: Path
    log: Path | None  # None: logs/<name>.log, which the node writes itself
    told_to_stop: Path | None


def parse(node_type: str) -> Options:
    """Read the command line. Exits with status 2 if it is wrong; raises ConfigurationError for a name of another type."""
    parser = argparse.ArgumentParser(description=f"A {node_type} node of the mock datacenter. Runs until Ctrl-C.")
    parser.add_argument("-n", "--name", help=f"{node_type}-<n> or <n>; by default the lowest n that is free")
    parser.add_argument("-v", "--verbose", action="store_true", help="show the log in the terminal as well")
    parser.add_argument(
        "-z",
        "--zookeeper",
        action="store_true",
        help="use ZooKeeper; by default what the datacenter uses, or files if it is formed",
    )
    parser.add_argument("--path", type=Path, help="the datacenter's folder; by default the one that this file lies in")
    parser.add_argument("--log", type=Path, help="where its output goes already; by default it logs to logs/<name>.log")
    parser.add_argument("--told-to-stop", type=Path, metavar="FILE", help="a file to make when a signal tells it to stop")
    given = parser.parse_args()
    return Options(
        index=_index(node_type, given.name) if given.name is not None else None,
        verbose=given.verbose,
        zookeeper=given.zookeeper,
        root=find_root(given.path or Path(sys.argv[0])),
        log=given.log,
        told_to_stop=given.told_to_stop,
    )


def log_to(options: Options, path: Path, settings: LogSettings) -> None:
    """Log to a file with a bound, to which the launcher may have sent the whole output, and to the terminal if asked to."""
    if options.log is not None:
        log_to_output(options.log, settings)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)]
    if options.verbose:
        handlers.append(logging.StreamHandler())
    begin_logging(handlers, path.stem, settings)


def _index(node_type: str, name: str) -> int:
    match = re.fullmatch(rf"(?:{re.escape(node_type)}-)?(0|[1-9][0-9]*)", name)
    if match is None:
        raise ConfigurationError(
            f"--name {name}: the name of a {node_type} node is {node_type}-<n> or <n>, for example {node_type}-0"
        )
    return int(match[1])
