"""The launcher with real ZooKeeper servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from Services.datacenter.ensemble import read_servers
from tests.cluster.conftest import PATIENCE_S, Datacenter, until

SERVERS = {"zookeeper0", "zookeeper1", "zookeeper2"}


def script(datacenter: Datacenter, number: int, command: str, expect: int = 0) -> str:
    """Run a server's zkServer.sh by hand, from elsewhere."""
    path = datacenter.root / "zookeeper" / f"zookeeper{number}" / "bin" / "zkServer.sh"
    done = subprocess.run([path, command], capture_output=True, text=True, cwd="/", timeout=PATIENCE_S, check=False)
    assert done.returncode == expect, done
    return done.stdout


def test_the_ensemble_comes_up_on_this_host_only_and_goes_down(zookeeper_datacenter: Datacenter) -> None:
    table = zookeeper_datacenter.run("up")
    status = zookeeper_datacenter.status()
    assert sorted(status[name]["role"] for name in SERVERS) == ["follower", "follower", "leader"]
    assert all(node["state"] == "ready" for name, node in status.items() if name not in SERVERS)
    for name in SERVERS:
        assert status[name]["address"] in table
        listening = [one for one in psutil.Process(status[name]["pid"]).net_connections() if one.status == psutil.CONN_LISTEN]
        assert listening
        assert {one.laddr.ip.removeprefix("::ffff:") for one in listening} == {"127.0.0.1"}
    assert f"Mode: {status['zookeeper1']['role']}" in script(zookeeper_datacenter, 1, "status")
    zookeeper_datacenter.run("down")
    assert not zookeeper_datacenter.processes()
    assert "It is probably not running" in script(zookeeper_datacenter, 1, "status", expect=1)


def test_a_second_set_up_changes_nothing(zookeeper_datacenter: Datacenter) -> None:
    def state() -> dict[Path, int]:
        files = (path for path in zookeeper_datacenter.root.rglob("*") if path.is_file() and path.name != "launcher.lock")
        return {path: path.stat().st_mtime_ns for path in files}

    zookeeper_datacenter.run("--setup")
    before = state()
    assert len(before) > 20
    zookeeper_datacenter.run("--setup")
    assert state() == before
    assert not zookeeper_datacenter.processes()


def test_servers_started_by_hand_are_used_and_left_alone(zookeeper_datacenter: Datacenter) -> None:
    zookeeper_datacenter.run("--setup")
    for number in range(3):
        config = zookeeper_datacenter.root / "zookeeper" / f"zookeeper{number}" / "conf" / "zoo.cfg"
        config.write_text(config.read_text().replace("clientPort=", "clientPort = "))  # as the user likes it
        output = script(zookeeper_datacenter, number, "start")
        assert output == (f"ZooKeeper JMX disabled by user request\nUsing config: {config}\nStarting zookeeper ... STARTED\n")
    assert "already running as process" in script(zookeeper_datacenter, 0, "start", expect=1)
    before = {name: pid for name, pid in zookeeper_datacenter.pids().items() if name in SERVERS}
    zookeeper_datacenter.run("up")
    assert before.items() <= zookeeper_datacenter.pids().items()
    assert "zookeeper1 runs on: it was started by hand" in zookeeper_datacenter.run("down")
    assert sorted(process.pid for process in zookeeper_datacenter.processes()) == sorted(before.values())
    for number in range(3):
        assert script(zookeeper_datacenter, number, "stop").endswith("Stopping zookeeper ... STOPPED\n")
    assert "no zookeeper to stop" in script(zookeeper_datacenter, 0, "stop")


def test_a_stale_pid_file_kills_no_stranger(zookeeper_datacenter: Datacenter) -> None:
    zookeeper_datacenter.run("--setup")
    folder = zookeeper_datacenter.root / "zookeeper/zookeeper0"
    with subprocess.Popen([sys.executable, "-c", "input()", folder / "conf/zoo.cfg"], stdin=subprocess.PIPE) as stranger:
        (folder / "data/zookeeper_server.pid").write_text(f"{stranger.pid}\n")
        assert "no zookeeper to stop" in script(zookeeper_datacenter, 0, "stop")
        assert stranger.poll() is None
        stranger.kill()


def test_a_killed_server_is_noticed_survived_and_started_again(zookeeper_datacenter: Datacenter) -> None:
    zookeeper_datacenter.run("up")
    before = zookeeper_datacenter.pids()
    leader = next(name for name, one in zookeeper_datacenter.status().items() if one.get("server") and one["role"] == "leader")
    os.kill(before[leader], signal.SIGKILL)
    assert leader in zookeeper_datacenter.run("status", expect=1)
    zookeeper_datacenter.run("up")
    after = zookeeper_datacenter.pids()
    assert after.pop(leader) != before.pop(leader)
    assert after == before


def test_a_port_that_another_program_has_taken_is_replaced_when_nothing_runs(zookeeper_datacenter: Datacenter) -> None:
    zookeeper_datacenter.run("up")  # so that the servers remember their old ports
    zookeeper_datacenter.run("down")
    before = read_servers(zookeeper_datacenter.root)
    with socket.create_server(("127.0.0.1", before[0].ports.quorum)):
        assert "others will be chosen" in zookeeper_datacenter.run("check")
        zookeeper_datacenter.run("up")
    after = read_servers(zookeeper_datacenter.root)
    assert {server.address for server in before}.isdisjoint(server.address for server in after)


def test_a_port_that_another_program_has_taken_is_named_while_a_server_runs(zookeeper_datacenter: Datacenter) -> None:
    zookeeper_datacenter.run("--setup")
    script(zookeeper_datacenter, 1, "start")
    port = read_servers(zookeeper_datacenter.root)[0].ports.client
    with socket.create_server(("127.0.0.1", port)):
        output = zookeeper_datacenter.run("up", expect=1)
    assert f"another program has port {port} of zookeeper0, but zookeeper1 of this datacenter is running" in output
    script(zookeeper_datacenter, 1, "stop")


def test_a_server_that_does_not_start_shows_its_logs_and_everything_is_stopped(zookeeper_datacenter: Datacenter) -> None:
    zookeeper_datacenter.run("--setup")
    with (zookeeper_datacenter.root / "zookeeper/zookeeper2/conf/zoo.cfg").open("a") as file:
        file.write("syncLimit=many\n")
    output = zookeeper_datacenter.run("up", expect=1)
    assert "zookeeper2 ended with exit code 2 instead of becoming ready" in output
    assert "zookeeper2/logs/zookeeper.0.log:" in output
    assert 'For input string: "many"' in output
    assert not zookeeper_datacenter.processes()


def test_one_server_alone_is_enough(zookeeper_datacenter: Datacenter) -> None:
    config = zookeeper_datacenter.root / "data_center_setup.cfg"
    config.write_text(config.read_text().replace("servers = 3", "servers = 1"))
    zookeeper_datacenter.run("up")
    assert zookeeper_datacenter.status()["zookeeper0"]["role"] == "standalone"
    assert "zookeeper1" not in zookeeper_datacenter.status()


def test_down_stops_the_servers_of_a_killed_launcher(zookeeper_datacenter: Datacenter) -> None:
    with zookeeper_datacenter.start("up") as launcher:
        until(lambda: len(zookeeper_datacenter.processes()) >= 4, "servers and nodes")
        launcher.kill()
    zookeeper_datacenter.run("down")
    assert not zookeeper_datacenter.processes()
