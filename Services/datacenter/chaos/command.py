"""The command `chaos`: checks, runs the storm, shows and writes the report."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from Services.datacenter import layout
from Services.datacenter.chaos.credentials import let_in
from Services.datacenter.chaos.options import Options
from Services.datacenter.chaos.report import RECOVERY_COLUMNS, Report
from Services.datacenter.chaos.storm import Storm
from Services.datacenter.logs import node_log
from Services.datacenter.next_command import to_type
from Services.datacenter.processes import Processes
from Services.datacenter.screen import Screen
from Services.fractos.config import Configuration, write_atomically
from Services.fractos.errors import FailedPreconditionError, InvalidArgumentError
from Services.fractos.log_lines import TextFormatter
from Services.fractos.output import LOG_BYTES

INTERRUPTED = 130
LOG = "chaos"


def run_chaos(configuration: Configuration, options: Options, screen: Screen) -> int:
    """Run it and return the exit code: 0, 1 if anything was lost, wrong or duplicated, 130 after Ctrl-C if not.

    Raises FailedPreconditionError if the datacenter does not run or another chaos is at work in it.
    """
    if not Processes(configuration.root).living():
        raise FailedPreconditionError(
            f"the datacenter in {configuration.root} is not running; start it: {to_type(configuration.root)}"
        )
    if options.report:
        _check_writable(options.report.absolute())
    log = node_log(configuration, LOG)
    with alone(configuration.root), _logged(log), let_in(configuration, 60 * options.minutes):
        storm = Storm(configuration, options, screen)
        screen.say(f"seed {options.seed}: the same faults again with --seed {options.seed}; faults and failures are in {log}")
        report, interrupted = storm.run()
    show(report, screen)
    if options.report:
        write_atomically(options.report.absolute(), json.dumps(report.as_json(), indent=2) + "\n")
    if not report.passed:
        return 1
    return INTERRUPTED if interrupted else 0


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Keep a second chaos out; raises FailedPreconditionError. Locks a folder that is there, makes no file."""
    descriptor = os.open(layout.state(root), os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FailedPreconditionError(f"another chaos is at work in {root}; wait for its end") from error
        yield
    finally:
        os.close(descriptor)


def _check_writable(path: Path) -> None:
    """Now, and not after an hour."""
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InvalidArgumentError(f"--report {path}: no file can be written there; name one in a folder that you may write to")


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Log to a file meanwhile, within the bounds of other logs: what the client says would tear the line on the screen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(TextFormatter(LOG))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        handler.close()


def show(report: Report, screen: Screen) -> None:
    """Print the tables, and what is wrong."""
    screen.grid(("chaos", f"seed {report.seed}"), report.rows())
    if report.faults:
        screen.say("")
        screen.grid(RECOVERY_COLUMNS, report.recovery_rows())
    else:
        screen.say(
            "no fault was possible: a single node is killed only where it is started again (restart = on-failure); of several"
            " one is always spared"
        )
    for line in report.violation_lines():
        screen.say(line)
