"""The supervisor with real processes: what it starts again, what it leaves dead, and how it ends."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from Services.datacenter.supervisor import FIRST_DELAY_S, LOOK_EVERY_S
from tests.cluster.conftest import Datacenter, until, zookeeper_or_skip

NODES = {"math-0", "math-1", "storage-0"}


@pytest.fixture
def datacenter(make_datacenter: Callable[..., Datacenter]) -> Datacenter:
    """A datacenter of small nodes that are started again when they crash."""
    return make_datacenter(restart="on-failure")


def supervisor(datacenter: Datacenter) -> dict[str, Any]:
    """What `status --json` says of the supervisor."""
    with datacenter.start("status", "--json") as launcher:
        said: dict[str, Any] = json.loads(launcher.communicate()[0])["supervisor"]
        return said


def log(datacenter: Datacenter, name: str = "supervisor") -> str:
    return (datacenter.root / f"logs/{name}.log").read_text()


def started_again(datacenter: Datacenter, name: str, old: int | None) -> Callable[[], bool]:
    """Whether a node is ready in another process."""

    def look() -> bool:
        node = datacenter.status()[name]
        return bool(node["state"] == "ready" and node["pid"] != old)

    return look


def test_a_crashed_node_is_started_again_under_its_name_visibly(datacenter: Datacenter) -> None:
    assert "supervisor" in datacenter.run("up")
    before = datacenter.pids()
    os.kill(before["math-1"], signal.SIGKILL)
    assert datacenter.status()["math-1"]["state"] in {"restarting", "starting", "ready"}
    until(started_again(datacenter, "math-1", before["math-1"]), "math-1 to be started again")
    after = datacenter.status()
    assert {name: node["restarts"] for name, node in after.items()} == {"math-0": 0, "math-1": 1, "storage-0": 0}
    assert {name: after[name]["pid"] for name in ("math-0", "storage-0")} == {n: before[n] for n in ("math-0", "storage-0")}
    assert "restarts" in datacenter.run("status")
    assert f"math-1 (process {before['math-1']}) has ended" in log(datacenter)
    assert " supervisor starting math-1 again: failure 1 of 5 in a row, restart 1\n" in log(datacenter, "math-1")
    assert "math-1" in datacenter.run("down")
    assert not datacenter.processes()
    assert {path.name for path in (datacenter.root / ".mockdc").iterdir()} == {"launcher.lock"}


def test_a_node_that_keeps_crashing_is_given_up_and_the_next_up_begins_anew(datacenter: Datacenter) -> None:
    datacenter.run("up", SMALL_NODE_FAIL_AGAIN="storage-0")
    before = datacenter.pids()
    os.kill(before["storage-0"], signal.SIGKILL)
    until(lambda: "storage-0 has failed 6 times in a row: it is not started again" in log(datacenter), "an end of it")
    assert log(datacenter).count("starting storage-0 again") == 5
    assert "with exit code 1" in log(datacenter)
    status = datacenter.status()
    assert (status["storage-0"]["state"], status["storage-0"]["restarts"]) == ("dead", 5)
    assert datacenter.pids() == {**before, "storage-0": None}
    datacenter.run("up")
    assert datacenter.status()["storage-0"]["restarts"] == 0


def test_a_node_that_was_told_to_stop_stays_stopped(datacenter: Datacenter) -> None:
    datacenter.run("up")
    os.kill(datacenter.pids()["math-0"], signal.SIGTERM)
    until(lambda: "math-0 was told to stop" in log(datacenter), "the supervisor to see it")
    assert datacenter.status()["math-0"]["state"] == "dead"
    datacenter.run("up")
    assert datacenter.status()["math-0"]["state"] == "ready"


def test_nothing_is_supervised_that_the_configuration_excepts(datacenter: Datacenter) -> None:
    config = datacenter.root / "data_center_setup.cfg"
    head, _, tail = config.read_text().partition("[storage_controller]")
    config.write_text(f"{head}[storage_controller]{tail.replace('on-failure', 'never')}")
    datacenter.run("up")
    before = datacenter.pids()
    os.kill(before["storage-0"], signal.SIGKILL)
    os.kill(before["math-0"], signal.SIGKILL)
    until(started_again(datacenter, "math-0", before["math-0"]), "math-0 to be started again")
    assert datacenter.status()["storage-0"]["state"] == "dead"
    assert "storage-0" not in log(datacenter)


def test_it_ends_by_itself_when_nothing_is_left_to_watch(datacenter: Datacenter) -> None:
    datacenter.run("up")
    for name in NODES:
        os.kill(datacenter.pids()[name], signal.SIGTERM)
    until(lambda: not datacenter.processes(), "the supervisor to end")
    assert "nothing is left to watch" in log(datacenter)
    assert supervisor(datacenter) is None
    datacenter.run("up")
    assert supervisor(datacenter)["state"] == "ready"


def test_no_node_is_reborn_after_down(datacenter: Datacenter) -> None:
    """A launcher has the lock while a node is due, and stops everything: the supervisor is not asked any more."""
    datacenter.run("up")
    watcher = psutil.Process(supervisor(datacenter)["pid"])
    with (datacenter.root / ".mockdc/launcher.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.kill(datacenter.pids()["math-0"], signal.SIGKILL)
        until(lambda: "math-0" in log(datacenter), "the supervisor to notice")
        due = time.monotonic() + FIRST_DELAY_S + 2 * LOOK_EVERY_S
        until(lambda: time.monotonic() > due, "the node to be due")
        assert "starting" not in log(datacenter)
        with datacenter.start("down") as launcher:
            until(lambda: len(datacenter.processes()) == len(NODES), "the supervisor and two nodes")
            watcher.suspend()  # else it may be the one that gets the lock next, and rightly start the node before `down` begins
            fcntl.flock(lock, fcntl.LOCK_UN)
            until(lambda: Path(lock.name).read_text() == str(launcher.pid), "`down` to have the lock")
            watcher.resume()
            launcher.communicate()
    assert launcher.returncode == 0
    assert not datacenter.processes()
    assert "starting" not in log(datacenter)


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_a_supervisor_that_is_not_recorded_does_nothing_and_ends(datacenter: Datacenter, change: str) -> None:
    """As after a `down` in a moment when it was paused."""
    datacenter.run("up")
    pid = supervisor(datacenter)["pid"]
    recorded = json.loads(datacenter.record().read_text())
    os.kill(pid, signal.SIGSTOP)
    if change == "deleted":
        datacenter.record().unlink()
    else:
        others = [one for one in recorded["processes"] if one["name"] != "supervisor"]
        datacenter.record().write_text(json.dumps({**recorded, "processes": others}))
    os.kill(datacenter.pids()["math-0"] if change == "replaced" else recorded["processes"][0]["pid"], signal.SIGKILL)
    os.kill(pid, signal.SIGCONT)
    until(lambda: pid not in {process.pid for process in datacenter.processes()}, "the supervisor to end")
    assert len(datacenter.processes()) == len(NODES) - 1
    datacenter.record().write_text(json.dumps(recorded))


def test_a_killed_supervisor_is_missed_and_started_by_up(datacenter: Datacenter) -> None:
    datacenter.run("up")
    before = datacenter.pids()
    os.kill(supervisor(datacenter)["pid"], signal.SIGKILL)
    assert "not ready: supervisor" in datacenter.run("status", expect=1)
    datacenter.run("up")
    assert supervisor(datacenter)["state"] == "ready"
    assert datacenter.pids() == before


def test_what_a_killed_launcher_could_not_record_is_ended_by_the_next(datacenter: Datacenter) -> None:
    """Otherwise the name of such a node would be taken, and the next `up` would fail."""
    datacenter.run("up")
    before = datacenter.pids()
    recorded = json.loads(datacenter.record().read_text())
    recorded["processes"] = [one for one in recorded["processes"] if one["name"] in {"math-0", "storage-0"}]
    datacenter.record().write_text(json.dumps(recorded))
    datacenter.run("up")
    after = datacenter.pids()
    assert after.pop("math-1") != before.pop("math-1")
    assert after == before
    assert len(datacenter.processes()) == len(NODES) + 1


def test_a_python_that_has_gone_is_named(datacenter: Datacenter) -> None:
    """As when .venv is deleted while the datacenter runs."""
    datacenter.run("up")
    recorded = json.loads(datacenter.record().read_text())
    for one in recorded["processes"]:
        if one["name"] == "math-0":
            one["command"][0] = "/gone/bin/python"
    datacenter.record().write_text(json.dumps(recorded))
    os.kill(datacenter.pids()["math-0"], signal.SIGKILL)
    until(lambda: log(datacenter).count("cannot start math-0 (/gone/bin/python") == 2, "a second attempt")
    assert "No such file or directory: '/gone/bin/python'" in log(datacenter)


@pytest.fixture
def supervised_servers(make_datacenter: Callable[..., Datacenter]) -> Datacenter:
    """A datacenter that uses three ZooKeeper servers, with everything started again when it crashes."""
    zookeeper_or_skip()
    return make_datacenter(zookeeper=True, restart="on-failure")


def test_a_crashed_zookeeper_server_is_started_again(supervised_servers: Datacenter) -> None:
    supervised_servers.run("up")
    before = supervised_servers.pids()
    os.kill(before["zookeeper1"], signal.SIGKILL)
    until(lambda: supervised_servers.pids()["zookeeper1"] not in {None, before["zookeeper1"]}, "zookeeper1 to be started again")
    until(lambda: supervised_servers.status()["zookeeper1"]["role"] in {"leader", "follower"}, "it to serve")
    assert {name: pid for name, pid in supervised_servers.pids().items() if pid != before[name]}.keys() == {"zookeeper1"}
    supervised_servers.run("down")
    assert not supervised_servers.processes()


def test_a_zookeeper_server_that_was_stopped_by_hand_stays_stopped(supervised_servers: Datacenter) -> None:
    supervised_servers.run("up")
    before = supervised_servers.pids()
    script = supervised_servers.root / "zookeeper/zookeeper1/bin/zkServer.sh"
    assert subprocess.run([script, "stop"], capture_output=True, text=True, check=True).stdout.endswith("STOPPED\n")
    until(lambda: "zookeeper1 was told to stop: it is not started again" in log(supervised_servers), "the supervisor to see it")
    assert supervised_servers.pids() == {**before, "zookeeper1": None}
    assert supervised_servers.status()["zookeeper1"]["role"] == "dead"
    supervised_servers.run("up")
    assert supervised_servers.pids()["zookeeper1"] is not None


def test_it_ends_when_the_datacenters_folder_has_gone(datacenter: Datacenter) -> None:
    datacenter.run("up")
    pid = supervisor(datacenter)["pid"]
    away = Path(f"{datacenter.root}-away")
    datacenter.root.rename(away)
    until(lambda: pid not in {process.pid for process in datacenter.processes()}, "the supervisor to end")
    assert not datacenter.root.exists()
    away.rename(datacenter.root)
