"""Terminals around a running datacenter: real tmux, and real gnome-terminal on a virtual screen."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.cluster.conftest import LAUNCHER, PATIENCE_S, Datacenter, until

NODES = ["math-0", "math-1", "storage-0"]


def need(*programs: str) -> None:
    """Skip where a program is missing; fail in CI."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI"):
        pytest.fail(f"{missing} must be installed where CI runs")
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")


@pytest.fixture
def datacenter(make_datacenter: Callable[..., Datacenter]) -> Datacenter:
    """A datacenter whose nodes are all to be shown, in a folder whose path is longer than that of a socket may be."""
    datacenter = make_datacenter("a-folder-with-a-long-name" * 4)
    verbose(datacenter)
    return datacenter


def verbose(datacenter: Datacenter, sections: int = 2) -> None:
    config = datacenter.root / "data_center_setup.cfg"
    config.write_text(config.read_text().replace("restart =", "verbose = True\nrestart =", sections))


def tmux(datacenter: Datacenter, *command: str) -> str:
    """A command to the datacenter's tmux server; what it says, or nothing if there is none."""
    done = subprocess.run(
        ["tmux", "-S", ".mockdc/tmux", *command], cwd=datacenter.root, capture_output=True, text=True, check=False
    )
    return done.stdout


def windows(datacenter: Datacenter) -> list[str]:
    return tmux(datacenter, "list-windows", "-F", "#W").split()


def shows(datacenter: Datacenter, name: str) -> bool:
    """Whether a node's window shows its log."""
    return f"{name} serves at" in tmux(datacenter, "capture-pane", "-p", "-t", f"mockdc:{name}")


def views(datacenter: Datacenter) -> dict[str, psutil.Process]:
    """The processes that show logs, by node."""
    return {Path(one.cmdline()[-1]).stem: one for one in datacenter.processes() if "tail" in one.cmdline()[0]}


def test_tmux_shows_every_node_and_goes_with_down(datacenter: Datacenter) -> None:
    need("tmux")
    assert f"cd {datacenter.root} && tmux -S .mockdc/tmux attach" in datacenter.run("up", "--terminal", "tmux")
    assert sorted(windows(datacenter)) == NODES
    for name in NODES:
        until(partial(shows, datacenter, name), f"the log of {name}")
    assert datacenter.run("down") == "stopped math-0, math-1, storage-0\n"
    assert not windows(datacenter)
    assert not datacenter.processes()
    assert {path.name for path in (datacenter.root / ".mockdc").iterdir()} == {"launcher.lock"}


def test_closing_terminals_ends_no_node_and_up_opens_them_again(datacenter: Datacenter) -> None:
    need("tmux")
    datacenter.run("up", "--terminal", "tmux")
    before = datacenter.pids()
    tmux(datacenter, "kill-window", "-t", "mockdc:math-1")
    until(lambda: "math-1" not in windows(datacenter), "a window to close")
    assert datacenter.pids() == before
    datacenter.run("up", "--terminal", "tmux")
    assert sorted(windows(datacenter)) == NODES
    tmux(datacenter, "kill-server")
    datacenter.run("status")
    datacenter.run("up", "--terminal", "tmux")
    assert sorted(windows(datacenter)) == NODES
    assert datacenter.pids() == before


def test_a_tmux_that_was_killed_leaves_nothing_behind(datacenter: Datacenter) -> None:
    need("tmux")
    datacenter.run("up", "--terminal", "tmux")
    os.kill(int(tmux(datacenter, "display-message", "-p", "#{pid}")), signal.SIGKILL)
    datacenter.run("status")
    datacenter.run("up", "--terminal", "tmux")
    assert sorted(windows(datacenter)) == NODES
    datacenter.run("down")
    assert not datacenter.processes()
    assert {path.name for path in (datacenter.root / ".mockdc").iterdir()} == {"launcher.lock"}


def test_down_leaves_the_windows_that_a_user_opened_himself(datacenter: Datacenter) -> None:
    need("tmux")
    datacenter.run("up", "--terminal", "tmux")
    tmux(datacenter, "new-window", "-d", "-n", "mine", "sleep 600")
    datacenter.run("down")
    assert windows(datacenter) == ["mine"]
    tmux(datacenter, "kill-server")


def test_auto_takes_tmux_in_a_terminal_and_only_for_verbose_sections(make_datacenter: Callable[..., Datacenter]) -> None:
    need("tmux")
    datacenter = make_datacenter()
    verbose(datacenter, sections=1)
    environment = {key: value for key, value in os.environ.items() if key not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*LAUNCHER, "--path", str(datacenter.root)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as launcher:
        os.close(theirs)
        with contextlib.suppress(OSError):  # how Linux says that the other side was closed
            while os.read(ours, 65536):
                pass
    os.close(ours)
    assert launcher.returncode == 0
    assert sorted(windows(datacenter)) == ["math-0", "math-1"]


def test_without_a_terminal_auto_shows_nothing(datacenter: Datacenter) -> None:
    assert "tmux" not in datacenter.run("up", DISPLAY="", WAYLAND_DISPLAY="")
    assert not views(datacenter)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("tmux", "--terminal tmux: there is no tmux in PATH; install it, or take --terminal none"),
        ("gnome-terminal", "--terminal gnome-terminal: there is no gnome-terminal in PATH"),
    ],
)
def test_a_terminal_that_is_missing_is_said_before_anything_starts(
    datacenter: Datacenter, tmp_path: Path, kind: str, said: str
) -> None:
    assert said in datacenter.run("up", "--terminal", kind, expect=1, PATH=str(tmp_path))
    assert not datacenter.processes()


def test_a_terminal_that_fails_is_said_and_the_nodes_run(datacenter: Datacenter, tmp_path: Path) -> None:
    """A display that nobody serves."""
    need("gnome-terminal", "dbus-run-session")
    output = datacenter.run("up", "--terminal", "gnome-terminal", DISPLAY=":4711", DBUS_SESSION_BUS_ADDRESS="unix:path=/none")
    assert "no terminals: gnome-terminal:" in output
    assert str(datacenter.root / "logs") in output
    datacenter.run("status")


def test_gnome_terminal_shows_every_node_and_goes_with_down(datacenter: Datacenter) -> None:
    need("gnome-terminal", "xvfb-run", "dbus-run-session")
    launcher = " ".join([*LAUNCHER, "--path", str(datacenter.root)])
    screen = subprocess.Popen(
        ["xvfb-run", "-a", "dbus-run-session", "--", "sh", "-c", f"{launcher} up --terminal auto && echo READY && read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", "GTK_A11Y": "none", "NO_AT_BRIDGE": "1"},
        start_new_session=True,
    )
    with screen:
        assert screen.stdout
        assert screen.stdin
        shown = ""
        while (line := screen.stdout.readline()) and "READY" not in line:
            shown += line
        assert "READY" in line, shown
        assert "no terminals" not in shown
        until(lambda: sorted(views(datacenter)) == NODES, "three views")
        before = datacenter.pids()
        math_0 = views(datacenter)["math-0"]
        parent = math_0.parent()
        assert parent
        assert "gnome-terminal" in parent.name()
        math_0.terminate()  # as when its window is closed
        until(lambda: "math-0" not in views(datacenter), "a view to end")
        assert datacenter.pids() == before
        datacenter.run("down")
        assert not datacenter.processes()
        screen.stdin.write("\n")
        screen.stdin.close()
        screen.wait(PATIENCE_S)
    assert screen.returncode == 0
