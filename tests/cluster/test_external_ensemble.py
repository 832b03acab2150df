"""A datacenter in ZooKeeper servers that somebody else runs: used, shown, never started, never stopped."""

from __future__ import annotations

import socket
import uuid
from pathlib import Path

import pytest

from tests.cluster.conftest import Datacenter
from tests.zookeeper_server import ZooKeeperServer

PASSWORD = "tell-nobody"


def use(datacenter: Datacenter, *lines: str) -> None:
    """Change the [ZooKeeper] section."""
    config = datacenter.root / "data_center_setup.cfg"
    text = config.read_text().replace("zookeeper = False", "zookeeper = True")
    kept = [line for line in text.splitlines() if line.partition(" ")[0] not in {"hosts", "username", "password_file"}]
    config.write_text("\n".join(kept).replace("[ZooKeeper]", "\n".join(["[ZooKeeper]", *lines])) + "\n")


def write_password(datacenter: Datacenter, password: str) -> Path:
    path = datacenter.root / "password"
    path.write_text(password)
    path.chmod(0o600)
    return path


@pytest.fixture
def hosts(zookeeper_server: ZooKeeperServer) -> str:
    return f"{zookeeper_server.address}/lab/{uuid.uuid4().hex}"


def test_a_datacenter_comes_up_there_and_leaves_it_running(
    datacenter: Datacenter, hosts: str, zookeeper_server: ZooKeeperServer
) -> None:
    write_password(datacenter, PASSWORD)
    use(datacenter, f"hosts = {hosts}", "username = alice", "password_file = password")
    assert f"{zookeeper_server.address} (standalone), as alice" in datacenter.run("check")
    table = datacenter.run("up")
    assert zookeeper_server.address in table
    status = datacenter.status()
    server = status["external0"]
    said = [server[name] for name in ("server", "role", "address", "pid")]
    assert said == ["external0", "standalone", zookeeper_server.address, None]
    assert server["znodes"] > 1
    assert {status[name]["state"] for name in ("math-0", "math-1", "storage-0")} == {"ready"}
    assert not (datacenter.root / "zookeeper").exists()
    told = table + datacenter.run("status") + datacenter.run("status", "--json") + datacenter.run("logs")
    commands = [" ".join(process.cmdline()) for process in datacenter.processes()]
    files = [
        path.read_text(errors="replace") for path in datacenter.root.rglob("*") if path.is_file() and path.name != "password"
    ]
    assert PASSWORD not in told + "".join(commands + files)
    assert datacenter.run("down").startswith("stopped math-0, math-1, storage-0")
    assert f"{zookeeper_server.address} (standalone)" in datacenter.run("check")


def test_a_server_that_does_not_answer_is_shown_and_hinders_nobody(datacenter: Datacenter, hosts: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = f"127.0.0.1:{server.getsockname()[1]}"
    use(datacenter, f"hosts = {nobody},{hosts}")
    datacenter.run("up")
    assert datacenter.status()["external0"]["role"] == "dead"
    assert datacenter.status()["external1"]["role"] == "standalone"
    assert "not ready: external0" in datacenter.run("status", expect=1)


def test_servers_of_which_none_answers_are_named_before_anything_is_started(datacenter: Datacenter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        nobody = f"127.0.0.1:{server.getsockname()[1]}"
    use(datacenter, f"hosts = {nobody}/lab")
    config = datacenter.root / "data_center_setup.cfg"
    config.write_text(config.read_text().replace("start_timeout_s = 60", "start_timeout_s = 2"))
    assert f"FAILED  ZooKeeper      [ZooKeeper] hosts: {nobody} (does not answer); see" in datacenter.run("check", expect=1)
    output = datacenter.run("up", expect=1)
    assert f"ZooKeeper at {nobody}/lab did not answer within 2 s; see that those servers run" in output
    assert not datacenter.processes()


def test_a_wrong_password_and_a_missing_one_are_told_before_anything_is_started(datacenter: Datacenter, hosts: str) -> None:
    path = write_password(datacenter, PASSWORD)
    signed_in = (f"hosts = {hosts}", "username = alice", "password_file = password")
    use(datacenter, *signed_in)
    datacenter.run("--setup")
    write_password(datacenter, "wrong")
    output = datacenter.run("up", expect=1)
    assert f"does not let 'alice' with the password in {path} use /lab/" in output
    assert "which belongs to alice with another password; correct [ZooKeeper] username and password_file" in output
    use(datacenter, signed_in[0])
    assert "does not let a client without username use /lab/" in datacenter.run("up", expect=1)
    path.chmod(0o644)
    use(datacenter, *signed_in)
    assert f"everybody on this host can read it; type `chmod 600 {path}`" in datacenter.run("up", expect=2)
    assert not datacenter.processes()


def test_a_running_datacenter_does_not_move(datacenter: Datacenter, hosts: str) -> None:
    use(datacenter, f"hosts = {hosts}")
    datacenter.run("up")
    use(datacenter, f"hosts = {hosts}/elsewhere")
    output = datacenter.run("up", expect=2)
    assert f"uses ZooKeeper at {hosts}, but [ZooKeeper] hosts asks for {hosts}/elsewhere; stop it first" in output
    use(datacenter)
    assert f"uses ZooKeeper at {hosts}, but [ZooKeeper] hosts asks for none: servers of its own; stop it" in datacenter.run(
        expect=2
    )
