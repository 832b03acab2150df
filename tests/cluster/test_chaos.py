"""`run_datacenter.py chaos` in real datacenters: it finds nothing where nothing is wrong, and finds what was planted."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from Services.fractos.config import write_atomically
from tests.cluster.conftest import PATIENCE_S, Datacenter, until, zookeeper_or_skip

Make = Callable[..., Datacenter]
SECTION = "[{kind}_controller]\npaths_to_controller = {script}\nreplicas = 2\nzookeeper = {zookeeper}\n"
SCRIPTS = {
    "math": "Services/ComputationalNodes/MathCompute/Math_Controller/math_controller.py",
    "storage": "Services/StorageNode/Storage_Controller/storage_controller.py",
    "application": "Applications/Application_Controller/application_controller.py",
}


@pytest.fixture
def make(make_datacenter: Make) -> Iterator[Make]:
    """Make a datacenter of real nodes, two of each type, and start it."""

    def make_real(*, zookeeper: bool = False) -> Datacenter:
        datacenter = make_datacenter(zookeeper=zookeeper)
        sections = [SECTION.format(kind=kind, script=script, zookeeper=zookeeper) for kind, script in SCRIPTS.items()]
        names = ", ".join(f"{kind}_controller" for kind in SCRIPTS)
        (datacenter.root / "data_center_setup.cfg").write_text(
            f"[DataCenter]\n[Controllers]\ncontroller_names = {names}\n{''.join(sections)}"
        )
        datacenter.run("up")
        return datacenter

    yield make_real


def chaos(datacenter: Datacenter, *flags: str, expect: int = 0) -> tuple[str, dict[str, Any]]:
    """Run a chaos; return what it printed and its report."""
    report = datacenter.root / "report.json"
    output = datacenter.run("chaos", "--seed", "2", "--report", str(report), *flags, expect=expect)
    return output, json.loads(report.read_text())


def stopped(datacenter: Datacenter) -> list[psutil.Process]:
    return [process for process in datacenter.processes() if process.status() == psutil.STATUS_STOPPED]


def folder(datacenter: Datacenter) -> Path:
    return datacenter.root / "Services/storage/chaos"


def test_kills_and_stops_under_load_break_no_promise_and_nothing_is_left(make: Make) -> None:
    datacenter = make()
    folder(datacenter).mkdir()
    (folder(datacenter) / "chaos-mine.txt").write_text("not made by chaos")
    (folder(datacenter) / "chaos-0123456789abcdef-client-0-text-1.txt").write_text("left by one that was killed")
    output, report = chaos(datacenter, "--minutes", "0.2", "--faults", "kill,stop", "--every", "2")
    assert "removed 1 files that an earlier chaos had left" in output
    assert (report["passed"], report["lost"], report["wrong"], report["duplicated"]) == (True, 0, 0, 0)
    assert report["runs"] > 50
    assert {fault["kind"] for fault in report["faults"]} == {"kill", "stop"}
    assert all(fault["recovery_s"] is not None for fault in report["faults"])
    assert "time to recover" in output
    assert [path.name for path in folder(datacenter).iterdir()] == ["chaos-mine.txt"]
    assert [path.name for path in (datacenter.root / "Services/config/clients").iterdir()] == ["admin.json"]
    status = datacenter.status()
    assert {node["state"] for node in status.values()} == {"ready"}
    assert sum(node["restarts"] for node in status.values()) >= sum(fault["kind"] == "kill" for fault in report["faults"])
    assert not stopped(datacenter)


def test_killed_zookeeper_servers_come_back_and_no_run_notices(make: Make) -> None:
    zookeeper_or_skip()
    datacenter = make(zookeeper=True)
    before = datacenter.pids()
    _, report = chaos(datacenter, "--minutes", "0.1", "--faults", "zookeeper", "--every", "2")
    assert (report["passed"], report["failed_though_promised"]) == (True, {})
    hit = {name for fault in report["faults"] for name in fault["targets"]}
    assert hit
    assert hit == {name for name, pid in datacenter.pids().items() if pid != before[name]}


def test_files_that_someone_else_changes_meanwhile_are_found(make: Make) -> None:
    datacenter = make()
    report = datacenter.root / "report.json"
    with datacenter.start("chaos", "--minutes", "0.05", "--faults", "stop", "--report", str(report)) as running:
        until(lambda: list(folder(datacenter).glob("chaos-*-text-0.txt")), "files")
        deadline = time.monotonic() + PATIENCE_S
        while running.poll() is None and time.monotonic() < deadline:
            for path in folder(datacenter).glob("chaos-*-text-0.txt"):
                write_atomically(path, "planted")
        output, _ = running.communicate()
    assert running.returncode == 1, output
    assert "text-0.txt holds 'planted'; it must hold" in output
    assert {violation["sort"] for violation in json.loads(report.read_text())["violations"]} == {"wrong"}


def test_ctrl_c_undoes_the_faults_and_shows_the_result(make: Make) -> None:
    datacenter = make()
    with datacenter.start("chaos", "--minutes", "5", "--faults", "stop", "--every", "0.3") as running:
        until(lambda: stopped(datacenter), "a stopped process")
        assert "another chaos is at work" in datacenter.run("chaos", expect=1)
        until(lambda: stopped(datacenter), "a stopped process")
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130, output
    assert "Traceback" not in output
    assert "duplicated       0" in output
    assert not stopped(datacenter)
    assert not folder(datacenter).exists()
    assert not (datacenter.root / "Services/config/clients/chaos.json").exists()


def test_without_what_it_needs_it_says_so(datacenter: Datacenter) -> None:
    assert "is not running; start it: python3 run_datacenter.py" in datacenter.run("chaos", expect=1)
    datacenter.run("up")
    assert "no application node runs that `up` has started" in datacenter.run("chaos", expect=1)


def test_a_fault_that_cannot_be_is_a_mistake_in_the_command_line(make: Make) -> None:
    datacenter = make()
    output = datacenter.run("chaos", "--faults", "zookeeper", expect=2)
    assert "--faults zookeeper: `up` has started no ZooKeeper server here" in output
    assert "--report /nowhere/at/all.json: no file can be written there" in datacenter.run(
        "chaos", "--report", "/nowhere/at/all.json", expect=2
    )
