"""`clients add|list|revoke`, and the client that `up` and `--setup` add, with nodes that write down what they are told."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from Services.fractos.config import load
from Services.fractos.credentials import load_credentials
from tests.cluster.conftest import Datacenter


def client_file(datacenter: Datacenter, name: str) -> Path:
    return datacenter.root / "Services/config/clients" / f"{name}.json"


def told(datacenter: Datacenter) -> list[str]:
    """What the nodes were told to revoke; only the type of node that was told."""
    path = datacenter.root / "revoked"
    return sorted(path.read_text().splitlines()) if path.exists() else []


def test_clients_are_added_listed_and_refused_twice(datacenter: Datacenter) -> None:
    assert datacenter.run("clients", "list").startswith("there are no clients; add one with: python3 run_datacenter.py")
    said = datacenter.run("clients", "add", "ann", "--days", "2")
    assert f"connect(client_id='ann'); keep {client_file(datacenter, 'ann')} secret" in said
    assert stat.S_IMODE(client_file(datacenter, "ann").stat().st_mode) == 0o600
    credentials = load_credentials(load(datacenter.root), "ann")
    assert credentials.expires_at - credentials.issued_at == pytest.approx(2 * 86_400, abs=60)
    assert set(credentials.capabilities) >= {"application", "math", "storage"}
    datacenter.run("clients", "add", "bob")
    listed = datacenter.run("clients", "list").splitlines()
    assert listed[0].split() == ["client", "since", "until"]
    assert [line.split()[0] for line in listed[1:]] == ["ann", "bob"]
    assert all(re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d +\d{4}-\d\d-\d\d \d\d:\d\d", line) for line in listed[1:])
    again = datacenter.run("clients", "add", "ann", expect=1)
    assert "client 'ann' has capabilities already" in again
    assert "clients revoke ann" in again
    assert "contains the character '/'" in datacenter.run("clients", "add", "../ann", expect=2)
    assert not (datacenter.root / "Services/storage").exists()


def test_a_list_names_the_files_that_cannot_be_used_and_shows_the_others(datacenter: Datacenter) -> None:
    for name in ("ann", "bob"):
        datacenter.run("clients", "add", name)
    client_file(datacenter, "ann").chmod(0o644)
    listed = datacenter.run("clients", "list", expect=1)
    assert "\nbob " in listed
    assert "mode 0644, so others may have read" in listed


def test_only_a_running_datacenter_can_revoke(datacenter: Datacenter) -> None:
    datacenter.run("clients", "add", "ann")
    for _ in range(2):
        said = datacenter.run("clients", "revoke", "ann", expect=1)
        assert "client 'ann' is not revoked" in said
        assert "does not run" in said
        assert client_file(datacenter, "ann").exists()
        datacenter.run("--setup")
    assert "no client 'carl'" in datacenter.run("clients", "revoke", "carl", expect=1)


def test_a_client_is_revoked_at_one_node_of_every_service_and_may_be_added_again(datacenter: Datacenter) -> None:
    assert "added client 'admin'" in datacenter.run("up")
    datacenter.run("clients", "add", "ann")
    before = client_file(datacenter, "ann").read_text()
    assert "client 'ann' is revoked" in datacenter.run("clients", "revoke", "ann")
    assert re.fullmatch(r"math-[01] math ann\nstorage-0 storage ann", "\n".join(told(datacenter)))
    assert not client_file(datacenter, "ann").exists()
    assert "no client 'ann'" in datacenter.run("clients", "revoke", "ann", expect=1)
    datacenter.run("clients", "add", "ann")
    assert client_file(datacenter, "ann").read_text() != before


def test_a_client_stays_until_every_service_has_revoked_it(make_datacenter: Callable[..., Datacenter]) -> None:
    datacenter = make_datacenter()
    datacenter.run("up", SMALL_NODE_REFUSE="storage-0")
    said = datacenter.run("clients", "revoke", "admin", expect=1)
    assert "client 'admin' is not revoked, or not everywhere: storage-0: storage-1 could not be told; try again" in said
    assert client_file(datacenter, "admin").exists()
    datacenter.run("down")
    datacenter.run("up")
    datacenter.run("clients", "revoke", "admin")
    assert not client_file(datacenter, "admin").exists()


def test_a_type_that_is_down_keeps_the_client_too_but_another_node_of_a_type_will_do(datacenter: Datacenter) -> None:
    datacenter.run("up", SMALL_NODE_REFUSE="math-0")
    pids = datacenter.pids()
    for process in datacenter.processes():
        if process.pid == pids["storage-0"]:
            process.terminate()
            process.wait(30)
    said = datacenter.run("clients", "revoke", "admin", expect=1)
    assert "no node of type storage runs" in said
    assert client_file(datacenter, "admin").exists()
    assert told(datacenter) == ["math-1 math admin"]
    datacenter.run("up")
    datacenter.run("clients", "revoke", "admin")
    assert told(datacenter)[-1] == "storage-0 storage admin"


def test_the_client_of_the_examples_is_added_once_and_its_file_left_alone(datacenter: Datacenter) -> None:
    assert "added client 'admin' for the examples, for 365 days" in datacenter.run("--setup")
    before = client_file(datacenter, "admin").read_text()
    for command in ("--setup", "up"):
        assert "added client" not in datacenter.run(command)
    assert client_file(datacenter, "admin").read_text() == before


def test_clients_get_what_came_after_them(datacenter: Datacenter) -> None:
    datacenter.run("--setup")
    datacenter.run("clients", "add", "ann")
    for name in ("admin", "ann"):
        content = json.loads(client_file(datacenter, name).read_text())
        del content["capabilities"]["math"]
        client_file(datacenter, name).write_text(json.dumps(content))
    assert "client 'admin' may use math nodes too" in datacenter.run("--setup")
    assert "math" not in load_credentials(load(datacenter.root), "ann").capabilities
    assert datacenter.run("clients", "add", "ann") == "client 'ann' may use math nodes too\n"
    assert "has capabilities already" in datacenter.run("clients", "add", "ann", expect=1)
    for name in ("admin", "ann"):
        assert "math" in load_credentials(load(datacenter.root), name).capabilities
    client_file(datacenter, "admin").chmod(0o644)
    assert "warning: " in datacenter.run("--setup")


def test_a_datacenter_that_is_open_says_so(datacenter: Datacenter) -> None:
    assert "authorization" not in datacenter.run("up")
    assert "authorization" not in datacenter.run("status")
    datacenter.run("down")
    config = datacenter.root / "data_center_setup.cfg"
    config.write_text(config.read_text().replace("[DataCenter]\n", "[DataCenter]\nauthorization = open\n"))
    for command in ("up", "status"):
        assert "warning: authorization = open: whoever reaches a node may do anything" in datacenter.run(command)
    assert "warning" not in datacenter.run("status", "--json")
