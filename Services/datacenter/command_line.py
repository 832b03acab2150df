"""The command line of `run_datacenter.py`: commands, flags and their help."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from Services.datacenter import network, new
from Services.datacenter.bench import options as bench
from Services.datacenter.chaos import options as chaos
from Services.datacenter.clients import DAYS, LONGEST_DAYS
from Services.datacenter.completion import SHELLS
from Services.datacenter.dashboard import options as dashboard
from Services.datacenter.drawing import command as drawing
from Services.datacenter.flags import number, whole_number
from Services.datacenter.logs import SHOWN_LINES
from Services.datacenter.terminals import KINDS
from Services.datacenter.tracing import options as tracing
from Services.datacenter.tracing.finding import FEWEST_DIGITS, LAST
from Services.fractos.log_lines import LEVELS

EXAMPLES = """\
without a command: up

  python3 run_datacenter.py --setup        make what the datacenter needs
  python3 run_datacenter.py --setup --download-zookeeper
                                           the same, with ZooKeeper from Apache
  python3 run_datacenter.py                start it and return once it is ready
  python3 Applications/image_prediction_application.py
  python3 run_datacenter.py status
  python3 run_datacenter.py logs storage-0 -f
  python3 run_datacenter.py down

data_center_setup.cfg says which nodes there are and explains its keys.
"""
FETCHING = ("setup", "up", "demo")  # those that take --download-zookeeper
CHOOSING = ("setup", "up", "check", "demo")  # the commands that take --directory
EVERY_S = 1.0  # between two looks of `status --watch`


def make_parser() -> argparse.ArgumentParser:
    """All commands and flags, also for the completion of shells."""
    place = _shared()
    place.add_argument("--path", type=Path, metavar="FOLDER", help="the datacenter's folder (default: the one of this program)")
    choice = _shared()
    choice.add_argument(
        "--directory",
        choices=["zookeeper", "files"],
        help="how the nodes find one another, whatever the zookeeper keys in data_center_setup.cfg say",
    )
    start = _shared()
    start.add_argument(
        "--download-zookeeper",
        action="store_true",
        help="first download the ZooKeeper release that [ZooKeeper] download_url names, unless it is there",
    )
    start.add_argument(
        "--terminal",
        choices=["auto", *KINDS],
        help="what shows the nodes' logs: a window each of gnome-terminal or of one tmux session, or none; auto, the default"
        " of `up`, takes gnome-terminal on a screen, else tmux in a terminal; the logs are in logs/ in any case",
    )
    parser = argparse.ArgumentParser(
        prog="run_datacenter.py",
        description="Sets up, starts, watches and stops the datacenter.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[place, choice, start],
    )
    parser.add_argument("-s", "--setup", action="store_true", help="set up what is missing, without starting anything")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("up", parents=[place, choice, start], help="start the datacenter", description=UP)
    commands.add_parser("down", parents=[place], help="stop it", description=DOWN)
    status = commands.add_parser(
        "status", parents=[place], help="what runs; exit code 1 if anything is not ready", description=STATUS
    )
    status.add_argument("--json", action="store_true", help="for programs; with --watch an object a line")
    status.add_argument("--watch", action="store_true", help="again and again, until Ctrl-C; then the exit code is 0")
    status.add_argument(
        "--every", type=number(0.2, 3600), metavar="S", help=f"with --watch: seconds between two looks (default: {EVERY_S:g})"
    )
    log = commands.add_parser("logs", parents=[place], help="show the end of the logs", description=LOGS)
    log.add_argument("node", nargs="?", metavar="NODE", help="one node or ZooKeeper server (default: all nodes)")
    log.add_argument("-f", "--follow", action="store_true", help="go on with what is added, until Ctrl-C")
    log.add_argument(
        "--run",
        type=_run_id,
        metavar="RUN_ID",
        help=f"what concerns one run, at all nodes, in order of time; {FEWEST_DIGITS} digits of an end of its id do, or `last`",
    )
    log.add_argument(
        "--level", type=str.upper, choices=LEVELS, help="leave out what is less grave; the logs are merged in order of time"
    )
    log.add_argument(
        "--lines",
        type=whole_number(1, 1_000_000),
        metavar="N",
        help=f"how many at the most (default: {SHOWN_LINES} of each log; with --run all)",
    )
    commands.add_parser("check", parents=[place, choice], help="whether the datacenter could start here, and if not why")
    commands.add_parser("demo", parents=[place, choice, start], help="start it, classify pictures, stop it", description=DEMO)
    train = commands.add_parser("train", parents=[place], help="train a model on pictures of two kinds", description=TRAIN)
    train.add_argument(
        "--dataset",
        type=Path,
        required=True,
        metavar="FOLDER_OR_ZIP",
        help="a folder or zip file with a folder of pictures for each of two classes; it is only read",
    )
    train.add_argument(
        "--model", default="default", metavar="NAME", help="which model to make or replace (default: %(default)s)"
    )
    storm = commands.add_parser(
        "chaos", parents=[place], help="kill and stop nodes under load, and check every answer", description=chaos.DESCRIPTION
    )
    chaos.add_arguments(storm)
    page = commands.add_parser(
        "dashboard", parents=[place], help="serve a page that shows it as it runs", description=dashboard.DESCRIPTION
    )
    dashboard.add_arguments(page)
    measuring = commands.add_parser(
        "bench",
        help="measure a datacenter of its own, and write a report",
        description=bench.DESCRIPTION,
        epilog=bench.EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    bench.add_arguments(measuring)
    _add_clients(commands.add_parser("clients", parents=[place], help="who may use the datacenter", description=CLIENTS), place)
    links = commands.add_parser("network", help="show, change and cut the emulated links", description=network.DESCRIPTION)
    network.add_arguments(links, place)
    listed = commands.add_parser("runs", parents=[place], help="list runs", description=tracing.RUNS)
    tracing.add_runs_arguments(listed)
    traced = commands.add_parser("trace", parents=[place], help="tell what happened to a run", description=tracing.TRACE)
    tracing.add_trace_arguments(traced)
    drawing.add_arguments(
        commands.add_parser("graph", parents=[place], help="draw what a program would submit", description=drawing.DESCRIPTION)
    )
    making = commands.add_parser("new", help="begin a kind of node or an application", description=new.DESCRIPTION)
    new.add_arguments(making, place)
    completion = commands.add_parser("completion", help="have a shell complete commands and flags", description=COMPLETION)
    completion.add_argument("shell", choices=SHELLS)
    return parser


def parse(arguments: Sequence[str], folder: Path) -> argparse.Namespace:
    """Read a command line; `command` is the command, "setup" for --setup. Exits with status 2 and the usage if it is wrong."""
    parser = make_parser()
    words, after = _split(arguments)
    options = parser.parse_args(words, argparse.Namespace(path=folder, directory=None, terminal=None, download_zookeeper=False))
    if options.setup and options.command:
        parser.error(f"--setup is a command of its own; leave out {options.command!r} or --setup")
    options.command = options.command or ("setup" if options.setup else "up")
    if after:
        if options.command != "graph":
            parser.error(f"-- is for the arguments of a program that `graph` draws; leave it out with `{options.command}`")
        options.arguments += after
    options.terminal = options.terminal or ("auto" if options.command == "up" else "none")
    if options.directory and options.command not in CHOOSING:
        parser.error(f"--directory is for {', '.join(CHOOSING)}; `{options.command}` goes by what is there, so leave it out")
    if options.command == "status":
        if options.every and not options.watch:
            parser.error("--every is for `status --watch`; give both, or neither")
        options.every = options.every or EVERY_S
    if options.download_zookeeper and options.command not in FETCHING:
        parser.error(f"--download-zookeeper is for {', '.join(FETCHING)}; leave it out with `{options.command}`")
    return options


CLIENTS = """Adds, lists and revokes clients. A client's programs may do everything with its own files, and nothing with those
of others. What gives a program the right to it is a file that `add` makes: whoever reads it can do the same, so it is as secret
as a password. `up` and `--setup` add a client for the examples, `admin`."""
UP = "Sets up what is missing, starts the ZooKeeper servers and every node, and returns once all are ready."
COMPLETION = 'For .bashrc or .zshrc: eval "$(python3 run_datacenter.py completion bash)", or zsh.'
STATUS = """Shows every node and ZooKeeper server and what it does, who owns which folder, and the trained models. Exit code 1
if anything is not ready. docs/seeing.md explains each column and each field of --json."""
LOGS = """Shows the last lines of the logs of every node, or of one node or ZooKeeper server; with --run all lines about
one run, in order of time."""
DEMO = "Starts the datacenter, has the image prediction classify the example pictures, and stops what it has started."
TRAIN = "Trains a model for `predict` on your own pictures. The one of that name, if there is one, serves until it is complete."
REVOKE = "Has every node refuse what a client holds and what was derived from it. The datacenter must be running."
DOWN = "Stops what `up` has started, and nothing else."


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before a `--`, and those after it. Argparse alone drops them after a flag that stands in between."""
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    return words[:end], words[end + 1 :]


def _add_clients(parser: argparse.ArgumentParser, place: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser(
        "add", parents=[place], help="let a new client in", description="Makes a client's capabilities, one for each service."
    )
    add.add_argument("name", metavar="NAME", help="the client_id; its files are in that folder of a storage node")
    add.add_argument(
        "--days",
        type=_days,
        default=DAYS,
        metavar="N",
        help=f"for how many days, 1 to {LONGEST_DAYS} (default: %(default)s)",
    )
    actions.add_parser("list", parents=[place], help="show all clients", description="Shows who may use the datacenter.")
    revoke = actions.add_parser("revoke", parents=[place], help="let a client in no more", description=REVOKE)
    revoke.add_argument("name", metavar="NAME", help="the client_id; its files stay where they are")


def _run_id(written: str) -> str:
    digits = written.replace("-", "").lower()
    if digits != LAST and not re.fullmatch(rf"[0-9a-f]{{{FEWEST_DIGITS},32}}", digits):
        raise argparse.ArgumentTypeError(f"{written!r} is no run id: give {FEWEST_DIGITS} to 32 hexadecimal digits, or {LAST}")
    return digits


def _days(written: str) -> int:
    days = int(written)
    if not 1 <= days <= LONGEST_DAYS:
        raise argparse.ArgumentTypeError(f"{days} days; give 1 to {LONGEST_DAYS}")
    return days


def _shared() -> argparse.ArgumentParser:
    """Flags for several commands. They have no defaults, which would overwrite what was given before the command."""
    return argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
