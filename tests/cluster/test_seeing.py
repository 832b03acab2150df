"""`status` and `logs --run` in a datacenter of real nodes, which log JSON, each step and run too."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from Services.fractos import TaskGraph, connect
from Services.fractos.errors import FractosError
from tests.cluster.conftest import LAUNCHER, Datacenter, until
from tests.nodes import configuration_text
from tests.terminal import COLUMNS, Shown, read_all, show, started

WIDE = 140
NODES = {"application-0", "math-0", "math-1", "storage-0"}


@pytest.fixture(scope="module")
def datacenter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datacenter]:
    datacenter = Datacenter(tmp_path_factory.mktemp("datacenter"))
    keys = {"DataCenter": "log_format = json\nlog_level = DEBUG", "math": "replicas = 2"}
    (datacenter.root / "data_center_setup.cfg").write_text(configuration_text("application", "math", "storage", keys=keys))
    datacenter.run("up")
    try:
        yield datacenter
    finally:
        datacenter.run("down")
    assert not datacenter.processes()


def run_chain(datacenter: Datacenter, bits: int = 1) -> str:
    """Two shifts on two nodes, which fail in the second if `bits` are too many, and a file; returns the run's id."""
    graph = TaskGraph("a chain")
    first = graph.node("math-0").shift_left(value=1, bits=1)
    second = graph.node("math-1").shift_left(value=first.value, bits=bits)
    graph.storage.write_integer(client_id="admin", name="number.txt", value=second.value)
    with connect(datacenter.root) as client:
        run = client.submit(graph)
        try:
            run.result()
        except FractosError as error:
            assert f"see: python3 run_datacenter.py trace {run.run_id}" in str(error).splitlines()[-1]
        return run.run_id


def lines(shown: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shown.splitlines()]


@contextmanager
def silenced(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_status_tells_programs_how_every_node_fares_and_who_owns_what_again_and_again(datacenter: Datacenter) -> None:
    run_chain(datacenter)
    with datacenter.start("status", "--watch", "--json", "--every", "0.2") as watcher:
        assert watcher.stdout
        first = latest = json.loads(watcher.stdout.readline())
        while latest is first or any(node["resident_bytes"] is None for node in latest["nodes"]):
            latest = json.loads(watcher.stdout.readline())
        watcher.send_signal(signal.SIGINT)
        watcher.communicate()
    assert watcher.returncode == 0
    assert first["time"] < latest["time"]
    nodes = {node["node"]: node for node in latest["nodes"]}
    assert nodes.keys() == NODES
    assert (nodes["math-1"]["steps_done"], nodes["math-1"]["runs_ended"]) == (1, None)
    home, storage = nodes["application-0"], nodes["storage-0"]
    assert (home["steps_done"], home["runs_ended"], home["runs_in_flight"], home["epoch"]) == (None, 1, 0, 1)
    assert home["journal_bytes"] > 0
    assert (storage["owns"], storage["epoch"]) == (str(datacenter.root / "Services/storage"), 1)
    for node in nodes.values():
        assert node["resident_bytes"] > 10 << 20
        assert node["cpu_percent"] >= 0
        assert node["started_at"] > 1e9
    piped = datacenter.run("status")
    assert f"Services/storage{' ' * 9}storage-0" in piped
    assert all(node["address"] in piped for node in nodes.values())


def header(shown: Shown) -> set[str]:
    return set(next(line for line in shown.lines if line.startswith("node ")).split())


def test_a_terminal_shows_the_columns_that_fit(datacenter: Datacenter) -> None:
    shown = show([*LAUNCHER, "--path", str(datacenter.root), "status"])
    assert shown.code == 0
    assert shown.is_coloured
    assert max(map(len, shown.lines)) <= COLUMNS
    assert header(shown) >= {"node", "role", "state", "cpu", "memory", "waiting", "steps/s", "runs/s"}
    assert "address" not in header(shown)


def test_status_is_watched_on_a_wide_terminal(datacenter: Datacenter) -> None:
    command = [*LAUNCHER, "--path", str(datacenter.root), "status", "--watch", "--every", "0.2"]
    with started(command, {}, columns=WIDE) as (process, leader):
        seen = b""
        while seen.count(b"until Ctrl-C") < 2:  # drawn again in the same place
            seen += os.read(leader, 65536)
        process.send_signal(signal.SIGINT)
        seen += read_all(leader)
        shown = Shown(seen.decode(), process.wait())
    assert shown.code == 0
    assert "\x1b[1A" in shown.raw
    assert COLUMNS < max(map(len, shown.lines)) <= WIDE
    assert header(shown) >= {"address", "pid"}
    assert "Traceback" not in shown.raw


def test_a_node_that_is_silent_keeps_nothing_from_the_others(datacenter: Datacenter) -> None:
    pids = {one["name"]: one["pid"] for one in json.loads(datacenter.record().read_text())["processes"]}
    with silenced(pids["math-1"]):
        shown = until(lambda: rows(datacenter.run("status", expect=1), NODES - {"math-1"}), "the others to tell how they fare")
    assert {name: row[3] for name, row in shown.items()} == dict.fromkeys(NODES, "ready") | {"math-1": "starting"}
    assert set(shown["math-1"][6:]) == {"-"}


def rows(shown: str, telling: set[str]) -> dict[str, list[str]]:
    """The rows of nodes in what `status` prints; none if one of those that should does not tell how it fares."""
    found = {line.split()[0]: line.split() for line in shown.splitlines() if line.split()[:1] and line.split()[0] in NODES}
    return found if all("MB" in found[name] for name in telling) else {}


def test_a_run_is_followed_over_all_nodes_in_order_of_time(datacenter: Datacenter) -> None:
    failed = run_chain(datacenter, bits=1 << 40)
    told = lines(datacenter.run("logs", "--run", failed[:20]))
    assert {line["run_id"] for line in told} == {failed}
    assert {line["run_id"] for line in lines(datacenter.run("logs", "--run", "last"))} == {failed}
    assert [line["time"] for line in told] == sorted(line["time"] for line in told)
    went = [(line["node"], line["message"].partition(":")[0].partition(" from")[0].partition(" after")[0]) for line in told]
    assert went[0] == ("application-0", "run accepted of a chain")
    assert went.index(("math-0", "step done")) < went.index(("math-1", "request received"))
    (end,) = [line for line in told if line["node"] == "application-0" and "a chain failed" in line["message"]]
    assert (end["level"], end["step"], end["attempt"], end["operation"]) == ("INFO", 1, 1, "math.shift_left")
    assert "failed on math-1: " in end["message"]
    assert end["message"].endswith(f"; see {datacenter.root / 'logs/math-1.log'}")
    with datacenter.start("logs", "-f", "--run", "ffffff") as follower:
        assert follower.stdout
        said = follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        follower.communicate()
    assert "no line of the logs is about a run ffffff" in said
    assert "python3 run_datacenter.py trace ffffff" in said
    assert follower.returncode == 0


def test_every_line_of_every_log_is_an_object(datacenter: Datacenter) -> None:
    for log in (datacenter.root / "logs").glob("*.log"):
        told = lines(log.read_text())
        assert {line["node"] for line in told} == {log.stem}
        assert all(line.keys() >= {"time", "level", "logger", "message"} for line in told)
