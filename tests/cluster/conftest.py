"""Datacenters in temporary folders, run by the real launcher. After each test nothing of them may be left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from Services.datacenter.installation import find_installation
from Services.fractos.config import CODE_ROOT
from Services.fractos.errors import FailedPreconditionError

LAUNCHER = [sys.executable, str(CODE_ROOT / "run_datacenter.py")]
PATIENCE_S = 60.0


class Datacenter:
    """One datacenter folder and its commands."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *arguments: str, expect: int = 0, **environment: str) -> str:
        """Run a command to its end, check its exit code and return what it printed."""
        with self.start(*arguments, **environment) as launcher:
            output, _ = launcher.communicate(timeout=PATIENCE_S)
        assert launcher.returncode == expect, output
        return output

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start a command. Signals sent to it reach nobody else."""
        return subprocess.Popen(
            [*LAUNCHER, "--path", str(self.root), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env={**os.environ, **environment},
        )

    def status(self) -> dict[str, dict[str, Any]]:
        """`status --json`: nodes and servers by name."""
        with self.start("status", "--json") as launcher:
            observation = json.loads(launcher.communicate(timeout=PATIENCE_S)[0])
        return {one.get("node") or one["server"]: one for one in (*observation["nodes"], *observation["zookeeper"])}

    def pids(self) -> dict[str, int]:
        """The processes of nodes and servers by name."""
        return {name: one["pid"] for name, one in self.status().items()}

    def processes(self) -> list[psutil.Process]:
        """All processes that name this folder in their command line, but for launchers."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            words = process.info["cmdline"] or []
            if any(word == str(self.root) or f"{self.root}/" in word for word in words) and LAUNCHER[1] not in words:
                found.append(process)
        return found

    def record(self) -> Path:
        """The launcher's record of processes."""
        return self.root / ".mockdc/processes.json"


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition and return its value."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain for {what}"
        time.sleep(0.02)
    return value


def zookeeper_or_skip() -> None:
    """Skip where there is no ZooKeeper; fail in CI."""
    try:
        find_installation([CODE_ROOT], os.environ)
    except FailedPreconditionError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(error.message)


@pytest.fixture
def make_datacenter(tmp_path: Path) -> Iterator[Callable[..., Datacenter]]:
    """Make a folder with a configuration of small nodes: two math, one storage."""
    made: list[Datacenter] = []

    def make(
        name: str = "datacenter",
        *,
        zookeeper: bool = False,
        servers: int = 3,
        start_timeout_s: int = 60,
        restart: str = "never",
    ) -> Datacenter:
        datacenter = Datacenter(tmp_path / name)
        datacenter.root.mkdir()
        node = f"paths_to_controller = tests/cluster/small_node.py\nzookeeper = {zookeeper}\nrestart = {restart}\n"
        (datacenter.root / "data_center_setup.cfg").write_text(
            f"[DataCenter]\nstart_timeout_s = {start_timeout_s}\n"
            f"[ZooKeeper]\nservers = {servers}\n"
            "[Controllers]\ncontroller_names = math_controller, storage_controller\n"
            f"[math_controller]\nreplicas = 2\n{node}[storage_controller]\n{node}"
        )
        made.append(datacenter)
        return datacenter

    yield make
    left = []
    for datacenter in made:
        if datacenter.processes():
            datacenter.run("down")
        for process in datacenter.processes():
            left.append(" ".join(process.cmdline()))
            process.send_signal(signal.SIGKILL)
    assert not left


@pytest.fixture
def datacenter(make_datacenter: Callable[..., Datacenter]) -> Datacenter:
    """A datacenter that uses files."""
    return make_datacenter()


@pytest.fixture
def zookeeper_datacenter(make_datacenter: Callable[..., Datacenter]) -> Datacenter:
    """A datacenter that uses three ZooKeeper servers."""
    zookeeper_or_skip()
    return make_datacenter(zookeeper=True)
