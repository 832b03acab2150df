"""Terminals that show the nodes' logs: windows of gnome-terminal or of one tmux session.

They only show: a node runs the same with or without, and closing its terminal ends nothing but the view. `down` ends the views,
which close the windows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from Services.datacenter import layout, logs
from Services.datacenter.processes import TERMINALS, Processes
from Services.datacenter.screen import Screen
from Services.fractos.config import Configuration
from Services.fractos.errors import FailedPreconditionError

Kind = Literal["gnome-terminal", "tmux", "none"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SESSION = "mockdc"
SHOWN_LINES = "50"
PATIENCE_S = 20.0  # for a terminal program to open a window
CLOSING_S = 2.0
POLL_S = 0.02


def choose(asked: str, environment: Mapping[str, str], *, on_terminal: bool) -> Kind:
    """Return the kind of terminal that `asked` means: "auto" is the first that would be seen here.

    Raises FailedPreconditionError if another is asked for and cannot be had here.
    """
    display = bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))
    if asked == "auto":
        seen: dict[Kind, bool] = {"gnome-terminal": display, "tmux": on_terminal}
        return next((kind for kind, is_seen in seen.items() if is_seen and shutil.which(kind)), "none")
    kind = next(one for one in KINDS if one == asked)
    if kind != "none" and shutil.which(kind) is None:
        raise FailedPreconditionError(
            f"--terminal {kind}: there is no {kind} in PATH; install it, or take --terminal none and look with"
            " `python3 run_datacenter.py logs -f`"
        )
    if kind == "gnome-terminal" and not display:
        raise FailedPreconditionError(
            "--terminal gnome-terminal: neither DISPLAY nor WAYLAND_DISPLAY is set, so there is no screen for it;"
            " take --terminal tmux or none"
        )
    return kind


def show(kind: Kind, configuration: Configuration, screen: Screen) -> None:
    """Open a terminal for every node whose section has `verbose = True`, unless there is one that shows its log.

    What fails here is said and is no error: the nodes run.
    """
    if kind == "none":
        return
    processes = Processes(configuration.root)
    verbose = {one.node_type for one in configuration.controllers if one.verbose}
    wanted = {node.name: logs.node_log(configuration, node.name) for node in configuration.nodes if node.node_type in verbose}
    shown = processes.showing()
    missing = {name: log for name, log in wanted.items() if str(log) not in shown and log.exists()}
    try:
        for name, log in missing.items():
            view = ["env", *(f"{key}={value}" for key, value in processes.mark(TERMINALS).items())]
            view += ["tail", "-n", SHOWN_LINES, "-F", str(log)]
            opening = gnome_terminal(name, view) if kind == "gnome-terminal" else tmux(configuration.root, name, view)
            _run(opening, configuration.root)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        screen.say(f"no terminals: {kind}: {str(said).strip()}; the logs are in {configuration.logs_path}")
        return
    if not wanted:
        screen.say("no terminals: no section of the configuration has verbose = True")
    elif kind == "tmux":
        socket = layout.terminal_socket(configuration.root)
        screen.say("the nodes' logs are shown in tmux (leave it with Ctrl-b d; closing a window stops no node):")
        screen.command(f"cd {configuration.root} && tmux -S {socket.relative_to(configuration.root)} attach")


def close(root: Path) -> None:
    """Wait until the tmux server has ended, whose views have been ended, and delete its socket; windows of others stay."""
    socket = layout.terminal_socket(root)
    deadline = time.monotonic() + CLOSING_S
    while socket.exists():
        if not _answers(root, "list-sessions"):
            socket.unlink(missing_ok=True)
        elif time.monotonic() > deadline:
            return
        else:
            time.sleep(POLL_S)


def gnome_terminal(name: str, view: list[str]) -> list[str]:
    """The command that opens a window of gnome-terminal. It ends once the window is there."""
    return ["gnome-terminal", f"--title={name}", "--", *view]


def tmux(root: Path, name: str, view: list[str]) -> list[str]:
    """The command that opens a window of the datacenter's tmux session, and the session with the first window."""
    there = _answers(root, "has-session", "-t", f"={SESSION}")
    start = ["new-window", "-d", "-t", f"={SESSION}:"] if there else ["new-session", "-d", "-s", SESSION]
    return [*_tmux(root), *start, "-n", name, *view]


def _tmux(root: Path) -> list[str]:
    """Of a server of its own, with a short socket path whatever the folder's is, and without the user's settings."""
    return ["tmux", "-f", os.devnull, "-S", str(layout.terminal_socket(root).relative_to(root))]


def _answers(root: Path, *question: str) -> bool:
    """Whether the tmux server is there and answers a command with yes."""
    try:
        done = subprocess.run([*_tmux(root), *question], cwd=root, capture_output=True, timeout=PATIENCE_S, check=False)
    except FileNotFoundError:  # no tmux any more
        return False
    return done.returncode == 0


def _run(command: list[str], folder: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TMUX"}  # it may be typed inside of tmux
    subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
    )
