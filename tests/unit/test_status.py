"""What `status` shows: figures that follow from what nodes and servers say, in tables that fit where they are shown."""

from __future__ import annotations

import asyncio
import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.cells import cell_len
from rich.console import Console

from protos import fractos_pb2
from Services.datacenter.observation import NodeStatus, Observation, ServerStatus, SupervisorStatus
from Services.datacenter.screen import Screen
from Services.datacenter.server_mode import ServerFigures, read_figures
from Services.datacenter.tables import age, rate, size, status_tables
from Services.datacenter.vitals import UNKNOWN, Examination, Vitals, vitals
from Services.fractos.directory.interface import Member
from Services.fractos.errors import UnauthenticatedError

ROOT = Path("/datacenter")
SRVR = """Zookeeper version: 3.8.0--1, built on 2022-05-23 06:45 UTC
Latency min/avg/max: 0/0.6452/12
Received: 63
Sent: 62
Connections: 5
Outstanding: 1
Zxid: 0x100000012
Mode: leader
Node count: 17
Proposal sizes last/min/max: 48/48/377
"""


def described(now: float, **said: Any) -> fractos_pb2.NodeDescription:
    return fractos_pb2.NodeDescription(now=now, started_at=40, resident_bytes=5, **said)


def test_rates_are_those_between_two_descriptions() -> None:
    before = described(100, cpu_s=1, steps_done=10, steps_failed=1)
    after = described(100.5, cpu_s=1.25, steps_done=25, steps_failed=2, steps_waiting=3)
    fares = vitals("math", before, after)
    assert (fares.cpu_percent, fares.steps_per_s, fares.steps_done, fares.steps_failed) == (50, 32, 25, 2)
    assert (fares.steps_waiting, fares.started_at, fares.resident_bytes) == (3, 40, 5)
    assert (fares.runs_ended, fares.runs_per_s, fares.owns, fares.epoch, fares.journal_bytes) == (None,) * 5
    assert vitals("math", after, after).steps_per_s is None
    storage = described(3, epoch=1, state_folder="/files/.mockdc")
    assert (vitals("storage", storage, storage).owns, vitals("storage", storage, storage).epoch) == ("/files", 1)


def test_a_node_that_answers_with_an_error_is_shown_as_one_that_does_not_answer() -> None:
    async def describe(node: Member) -> fractos_pb2.NodeDescription:
        raise UnauthenticatedError(f"{node.name}: another key")

    node = Member("math", "math-0", "an id", 0, "at math-0", 1, "", 0.0)
    examination = Examination(cast(Any, SimpleNamespace(describe=describe)))
    assert asyncio.run(examination.ask([node])) == [UNKNOWN]


def test_an_application_node_has_runs_and_a_journal_instead() -> None:
    said: dict[str, Any] = {"epoch": 3, "state_folder": "/journal", "state_bytes": 7}
    before, after = described(0, runs_ended=4, **said), described(2, runs_ended=10, runs_failed=1, runs_in_flight=2, **said)
    fares = vitals("application", before, after)
    assert (fares.runs_per_s, fares.runs_ended, fares.runs_failed, fares.runs_in_flight) == (3, 10, 1, 2)
    assert (fares.steps_done, fares.steps_per_s, fares.steps_waiting) == (None, None, None)
    assert (fares.owns, fares.epoch, fares.journal_bytes) == ("/journal", 3, 7)
    standby = vitals("application", before, described(2, state_folder="/journal"))
    assert (standby.owns, standby.epoch, standby.journal_bytes) == (None, None, None)


def test_a_server_says_how_it_fares() -> None:
    assert read_figures(SRVR) == ServerFigures(0.6452, 12, 5, 1, 17)
    assert read_figures("This ZooKeeper instance is not currently serving requests") == ServerFigures()


def test_figures_are_short() -> None:
    assert [age(seconds) for seconds in (-1, 59.9, 60, 7199, 7200, 86400 * 999)] == [
        "0 s", "59 s", "1 min", "1 h", "2 h", "999 d",
    ]  # fmt: skip
    assert [size(amount) for amount in (0, 999, 1500, 15_000, 9.9e6, 56e6, 1.5e9)] == [
        "0 B", "999 B", "1.5 kB", "15 kB", "9.9 MB", "56 MB", "1.5 GB",
    ]  # fmt: skip
    assert [rate(per_s) for per_s in (0, 0.44, 9.9, 12.5, 18_000)] == ["0", "0.4", "9.9", "12", "18,000"]


def observation() -> Observation:
    now = time.time()
    math = Vitals(now - 90, 187.4, 56_000_000, 12, 4, 1_234_567, 3, 18_765.4, memory_bytes=0, memory_limit_bytes=9)
    home = Vitals(
        started_at=now - 8000, cpu_percent=0, resident_bytes=61_000_000, runs_in_flight=17, runs_ended=4, runs_failed=0,
        runs_per_s=0.5, owns="/datacenter/Services/config/journal", epoch=2, journal_bytes=40_000,
    )  # fmt: skip
    storage = Vitals(started_at=now, owns="/elsewhere", epoch=1)
    nodes = (
        NodeStatus("math-0", "math", "leader", "ready", "127.0.0.1:40001", 7, "/log", 1, math),
        NodeStatus("math-1", "math", "standby", "dead", None, None, "/log", 0, UNKNOWN),
        NodeStatus("application-0", "application", "leader", "ready", "127.0.0.1:40002", 8, "/log", 0, home),
        NodeStatus("storage-0", "storage", "leader", "ready", "127.0.0.1:40003", 9, "/log", 0, storage),
    )
    servers = (
        ServerStatus("zookeeper0", "leader", "127.0.0.1:15000", 5, read_figures(SRVR)),
        ServerStatus("zookeeper1", "dead", "127.0.0.1:15001", None),
    )
    return Observation(nodes, servers, SupervisorStatus("ready", 6, "/log"))


def shown(width: int | None) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width or 250)
    for table in status_tables(observation(), ROOT, width):
        console.print(table)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_pipe_gets_everything() -> None:
    lines = shown(None)
    assert lines[0].split() == [
        "node", "type", "role", "state", "address", "pid", "restarts", "up", "cpu", "memory", "waiting", "running",
        "steps/s", "runs/s", "steps", "runs", "failed",
    ]  # fmt: skip
    assert lines[1].split() == [
        "math-0", "math", "leader", "ready", "127.0.0.1:40001", "7", "1", "1", "min", "187%", "56", "MB", "12", "4", "18,765",
        "-", "1,234,567", "-", "3",
    ]  # fmt: skip
    assert lines[2].split() == ["math-1", "math", "-", "dead", *("-" * 13)]
    assert lines[5].split() == ["supervisor", "supervisor", "-", "ready", "-", "6", *("-" * 11)]
    assert lines[7].split() == [
        "zookeeper0", "zookeeper", "leader", "ready", "127.0.0.1:15000", "5", "0.6", "ms", "12", "ms", "1", "5", "17",
    ]  # fmt: skip
    assert lines[8].split() == ["zookeeper1", "zookeeper", "-", "dead", "127.0.0.1:15001", *("-" * 6)]
    assert [" ".join(line.split()) for line in lines[9:]] == [
        "owned folder owner epoch journal runs in flight",
        "Services/config/journal application-0 2 40 kB 17",
        "/elsewhere storage-0 1 - -",
    ]


@pytest.mark.parametrize("width", [20, 40, 80, 120, 140])
def test_a_terminal_gets_what_fits_and_that_is_the_most_important(width: int) -> None:
    lines = shown(width)
    assert max(map(cell_len, lines)) <= width
    everything = shown(None)
    titles, all_titles = lines[0].split(), everything[0].split()
    assert titles == [title for title in all_titles if title in titles]
    assert titles[0] == "node"
    assert ("state" in titles, "steps/s" in titles, "address" in titles, "pid" in titles) == (
        True, width >= 80, width >= 120, width >= 140,
    )  # fmt: skip


def test_who_watches_in_a_pipe_gets_plain_lines() -> None:
    file = io.StringIO()
    with Screen(file).live_status(ROOT) as show:
        show("first look", observation())
        show("second look", observation())
    first, second = file.getvalue().split("second look\n")
    assert first == f"first look\n{second}"
    assert "\x1b" not in second
    assert "1,234,567" in second
