"""Nodes beyond the first of their type follow the directory once they are used, and know enough whenever that is."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from Services.fractos import TaskGraph, connect
from Services.fractos.credentials import load_credentials
from Services.fractos.following import FIRST
from Services.fractos.revoking import revoke_all
from tests.nodes import Nodes, running
from tests.service.test_revocation import DENIED, factorial
from tests.waiting import until

LATE = f"math-{FIRST}", f"math-{FIRST + 1}"


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with running(tmp_path, "storage-0", *LATE) as started:
        yield started


def followed(nodes: Nodes, name: str) -> set[str]:
    """The nodes whose entries a node keeps open, to see when they die. Its own is one of them."""
    opened = {Path(file.path).name for file in psutil.Process(nodes.processes[name].pid).open_files()}
    return {node for node in nodes.processes if any(f"-{node}-" in one for one in opened)}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system does not tell another process's open files")
def test_a_node_that_is_used_knows_where_to_send_what_comes_next(nodes: Nodes) -> None:
    assert followed(nodes, "storage-0") == {"storage-0", *LATE}
    assert followed(nodes, LATE[0]) == {LATE[0]}
    nodes.start("application-0")
    graph = TaskGraph("there and back")
    shifted = graph.node(LATE[0]).shift_left(value=1, bits=4)
    graph.storage.write_integer(client_id="admin", name="n", value=shifted.value)
    with connect(nodes.root, client_id="admin") as datacenter:
        datacenter.run(graph)
        check = TaskGraph("read")
        read = check.storage.read_integer(client_id="admin", name="n")
        assert datacenter.run(check)[read].value == 16
    until(lambda: followed(nodes, LATE[0]) == {"application-0", "storage-0", *LATE})


def test_a_node_that_is_asked_to_revoke_tells_all_of_its_type(nodes: Nodes) -> None:
    nodes.issue("eve")
    capability = nodes.authority("eve").capability("math")
    assert {factorial(name, nodes, capability) for name in LATE} == {"OK"}
    asyncio.run(revoke_all(nodes.configuration, [load_credentials(nodes.configuration, "eve").capabilities["math"]]))
    assert {factorial(name, nodes, capability) for name in LATE} == {DENIED}
