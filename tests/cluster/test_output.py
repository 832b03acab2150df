"""What the commands look like: within 80 columns on a terminal, plain in a pipe, without colours where none are wanted."""

from __future__ import annotations

import sys

import pytest

from tests.cluster.conftest import LAUNCHER, Datacenter
from tests.terminal import COLUMNS, show

COMMANDS = ("up", "down", "status", "logs", "check", "demo", "train", "completion")


def assert_fits(lines: list[str]) -> None:
    assert not [line for line in lines if len(line) > COLUMNS]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits(command: str) -> None:
    shown = show([*LAUNCHER, *command.split(), "--help"])
    assert shown.code == 0
    assert_fits(shown.lines)


def test_a_whole_session_fits(zookeeper_datacenter: Datacenter) -> None:
    """All that is said while everything works, with the longest table: that with ZooKeeper."""
    started, checked, listed, stopped = (
        show([*LAUNCHER, "--path", str(zookeeper_datacenter.root), command]) for command in ("up", "check", "status", "down")
    )
    for shown in (started, checked, listed, stopped):
        assert shown.code == 0, shown.raw
    assert {"zookeeper0", "math-1"} <= {line.split()[0] for line in started.lines if line}
    assert started.is_coloured
    assert listed.is_coloured
    assert_fits([*started.lines, *listed.lines, *stopped.lines])
    # A path in what is said may be longer than a line; it is not torn apart.
    assert_fits([line for line in checked.lines if str(zookeeper_datacenter.root) not in line and sys.executable not in line])


def test_mistakes_fit_and_are_indented(datacenter: Datacenter) -> None:
    file = datacenter.root / "data_center_setup.cfg"
    file.write_text(file.read_text().replace("replicas = 2", "replicas = 2\nreplica = 1"))
    shown = show([*LAUNCHER, "--path", str(datacenter.root), "status"])
    assert shown.code == 2
    first, *rest = [line for line in shown.lines if line]
    assert first.startswith("error:")
    mistake = rest[[line.startswith("  [math_controller] replica = 1: unknown key") for line in rest].index(True) :]
    assert_fits(mistake)
    assert len(mistake) > 1
    assert all(line.startswith("      ") for line in mistake[1:])
    piped = datacenter.run("status", expect=2)
    assert " ".join(" ".join(mistake).split()) in piped.splitlines()[-1]


def test_no_color_and_pipes_are_honoured(datacenter: Datacenter) -> None:
    table = datacenter.run("status", expect=1)
    assert "\x1b" not in table
    assert "dead" in table
    command = [*LAUNCHER, "--path", str(datacenter.root), "status"]
    assert show(command).is_coloured
    assert not show(command, NO_COLOR="1").is_coloured
