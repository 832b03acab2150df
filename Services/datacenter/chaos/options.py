"""What `chaos` is asked for: its flags."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from Services.datacenter.chaos.schedule import KINDS, Kind
from Services.datacenter.flags import number, whole_number

MOST_MINUTES = 24 * 60.0
MOST_CLIENTS = 64
DESCRIPTION = """\
Hits the running datacenter with faults while clients keep it busy, and checks every answer and every file. Exit code 1 if a
run was lost, an answer was wrong or anything was done twice. Files in storage are its own, of the client `chaos`. Ctrl-C undoes
the faults in force and shows the result so far.
"""


@dataclass(frozen=True)
class Options:
    """One chaos, as it was asked for."""

    minutes: float
    faults: tuple[Kind, ...]  # empty: all that this datacenter has processes for, but for zookeeper-all
    every_s: float
    seed: int
    clients: int
    report: Path | None

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Options:
        """The options of a command line; without a seed there is a new one."""
        seed = SystemRandom().randrange(10_000) if parsed.seed is None else parsed.seed
        return cls(parsed.minutes, parsed.faults, parsed.every, seed, parsed.clients, parsed.report)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "--minutes", type=number(0.01, MOST_MINUTES), default=1.0, metavar="M", help="for how long (default: %(default)g)"
    )
    parser.add_argument(
        "--faults",
        type=_faults,
        default=(),
        metavar="KINDS",
        help="with commas between: kill (a node), stop (a node, for 1 to 8 s), zookeeper (kill one server), zookeeper-all (stop"
        " every server, for 5 to 30 s); default: the first two, and zookeeper where `up` has started servers",
    )
    parser.add_argument(
        "--every", type=number(0.1, 3600), default=3.0, metavar="S", help="seconds between faults (default: %(default)g)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="draw the same faults and work as with this seed before")
    parser.add_argument(
        "--clients",
        type=whole_number(1, MOST_CLIENTS),
        default=4,
        metavar="K",
        help="how many clients keep it busy (default: %(default)s)",
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the result and all faults to a file, as JSON")


def _faults(text: str) -> tuple[Kind, ...]:
    words = [word.strip() for word in text.split(",")]
    if unknown := [word for word in words if word not in KINDS]:
        raise argparse.ArgumentTypeError(f"there is no fault {unknown[0]!r}; there is {', '.join(KINDS)}")
    return tuple(kind for kind in KINDS if kind in words)
