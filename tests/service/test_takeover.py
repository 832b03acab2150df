"""Real nodes that own something are killed or stopped: what was accepted is answered, and nothing happens twice."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.client import Run
from Services.fractos.errors import FailedPreconditionError
from tests.nodes import Nodes, running
from tests.waiting import until


def appending(number: int, pause_bits: int = 0) -> TaskGraph:
    """A run that appends its own line, after some arithmetic."""
    graph = TaskGraph(f"append {number}")
    before = graph.math.shift_left(value=number, bits=pause_bits)
    graph.storage.append_text(client_id="admin", name="lines.txt", text=f"{number}\n", after=before)
    return graph


def lines(nodes: Nodes) -> list[int]:
    """What was appended, in the order of the file."""
    return [int(line) for line in (nodes.root / "Services/storage/admin/lines.txt").read_text().split()]


def submit(datacenter: Datacenter, numbers: range) -> list[Run]:
    """Submit that many appends."""
    return [datacenter.submit(appending(number), timeout_s=60) for number in numbers]


def wait_for_lines(nodes: Nodes, count: int) -> None:
    """Wait until that many appends have happened."""
    until(lambda: (nodes.root / "Services/storage/admin/lines.txt").exists() and len(lines(nodes)) >= count)


@pytest.mark.parametrize(
    ("fate", "replica", "sync"),
    [
        ("killed", "", "normal"),
        ("killed", "", "full"),
        ("killed", "application-1", "normal"),
        ("stopped", "application-1", "normal"),
    ],
    ids=["killed and started anew", "and with every commit on disk", "killed beside a standby", "stopped beside a standby"],
)
def test_runs_outlive_their_application_node(tmp_path: Path, fate: str, replica: str, sync: str) -> None:
    keys = {"DataCenter": f"journal_sync = {sync}"}
    with (
        running(tmp_path, "application-0", "math-0", "storage-0", keys=keys) as nodes,
        connect(nodes.root) as datacenter,
    ):
        if replica:
            nodes.start(replica)
        runs = submit(datacenter, range(200))
        wait_for_lines(nodes, 5)
        if fate == "killed":
            nodes.kill("application-0")
            if not replica:
                nodes.start("application-0")
        else:
            psutil.Process(nodes.processes["application-0"].pid).suspend()
        runs += submit(datacenter, range(200, 220))
        for run in runs:
            run.result()
        assert sorted(lines(nodes)) == list(range(220))
        if fate == "stopped":
            assert (
                nodes.processes.pop("application-0").wait(20) < 0
            )  # by the standby, which could not know whether it would wake


@pytest.mark.parametrize("fate", ["killed", "stopped"])
def test_appends_happen_once_whatever_becomes_of_the_owner_of_the_files(tmp_path: Path, fate: str) -> None:
    with running(tmp_path, "application-0", "math-0", "storage-0") as nodes, connect(nodes.root) as datacenter:
        nodes.start("storage-1")
        runs = submit(datacenter, range(150))
        wait_for_lines(nodes, 5)
        if fate == "killed":
            nodes.kill("storage-0")
        else:
            psutil.Process(nodes.processes["storage-0"].pid).suspend()
        for run in runs:
            run.result()
        assert sorted(lines(nodes)) == list(range(150))
        assert {hop.node for hop in runs[-1].trail} == {"math-0", "storage-1"}
        if fate == "stopped":
            assert nodes.processes.pop("storage-0").wait(20) < 0


def test_a_step_that_is_pinned_to_a_standby_says_who_the_owner_is(tmp_path: Path) -> None:
    with running(tmp_path, "application-0", "storage-0") as nodes, connect(nodes.root) as datacenter:
        nodes.start("storage-1")
        graph = TaskGraph("pinned")
        graph.node("storage-0").write_text(client_id="admin", name="a.txt", text="a")
        datacenter.run(graph)
        graph = TaskGraph("pinned to the standby")
        graph.node("storage-1").read_text(client_id="admin", name="a.txt")
        with pytest.raises(
            FailedPreconditionError, match=r"^storage-1 is a standby: storage-0 owns what storage\.read_text works on"
        ):
            datacenter.run(graph)
