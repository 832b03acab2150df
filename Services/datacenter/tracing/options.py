"""The flags of `runs` and `trace`."""

from __future__ import annotations

import argparse
from pathlib import Path

from protos import application_pb2
from Services.datacenter.flags import whole_number

RUNS = """Lists runs of all clients, the newest first: those under way and those that ended lately. `trace` tells more about
one; the end of its id, as it is shown here, is enough."""
TRACE = """Tells what happened to a run: which node did which step when, what waited for what, what went over the network, why
it was sent again, and why it failed. Steps on the critical path, which decided when it ended, are marked."""
STATES = {
    "running": application_pb2.RUNNING,
    "succeeded": application_pb2.SUCCEEDED,
    "failed": application_pb2.FAILED,
    "cancelled": application_pb2.CANCELLED,
}
MOST_LISTED = 10_000


def add_runs_arguments(parser: argparse.ArgumentParser) -> None:
    """Which runs to list, and how."""
    parser.add_argument("--state", choices=tuple(STATES), help="only runs in this state")
    parser.add_argument(
        "--limit",
        type=whole_number(1, MOST_LISTED),
        default=20,
        metavar="N",
        help=f"how many at most, 1 to {MOST_LISTED} (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="for programs")


def add_trace_arguments(parser: argparse.ArgumentParser) -> None:
    """Which run, and in which form."""
    parser.add_argument(
        "run", metavar="RUN", help="its id, 6 or more digits of the beginning or end of that, or `last` for the newest run"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs")
    form.add_argument(
        "--perfetto", type=Path, metavar="FILE", help="write a file to be opened in ui.perfetto.dev; - is the standard output"
    )
    form.add_argument("--html", type=Path, metavar="FILE", help="write a page with drawings, which needs nothing but a browser")
