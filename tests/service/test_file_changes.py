"""Changes of files in runs on real storage nodes: once for each step, also when the node is killed in the middle."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from protos import storage_pb2, storage_pb2_grpc
from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.client import Run
from Services.fractos.errors import AbortedError, FractosError
from tests.nodes import Nodes, nodes, running
from tests.waiting import until

__all__ = ["nodes"]

CLIENT = "admin"
LINES = 300
PAUSE = {"math": "device_latency_ms = 1000"}  # the time to kill a node before the run ends


def test_a_run_appends_in_the_order_of_its_steps(nodes: Nodes) -> None:
    graph = TaskGraph("append")
    first = graph.storage.append_text(client_id=CLIENT, name="log.txt", text="eins\n")
    second = graph.storage.append_text(client_id=CLIENT, name="log.txt", text="zwölf\n", after=first)
    read = graph.storage.read_text(client_id=CLIENT, name="log.txt", after=second)
    with connect(nodes.root) as datacenter:
        result = datacenter.run(graph)
        assert (result[first].size_bytes, result[second].size_bytes) == (5, 12)
        assert result[read].text == "eins\nzwölf\n"
        assert datacenter.run(graph)[read].text == 2 * "eins\nzwölf\n"  # another run, other steps


def test_every_direct_call_appends(nodes: Nodes) -> None:
    with nodes.channel("storage-0") as channel:
        storage = storage_pb2_grpc.StorageStub(channel)
        request = storage_pb2.AppendTextRequest(client_id=CLIENT, name="direct.txt", text="ä")
        assert [storage.AppendText(request).size_bytes for _ in range(3)] == [2, 4, 6]


def test_each_line_is_there_once_after_a_kill(tmp_path: Path) -> None:
    with running(tmp_path, "application-0", "storage-0") as nodes, connect(nodes.root) as datacenter:
        nodes.start("storage-1")
        runs = {line: datacenter.submit(appending(line), timeout_s=60) for line in map(str, range(LINES))}
        runs["0"].result()
        nodes.kill("storage-0")
        done = {line for line, run in runs.items() if succeeded(run)}
        there = Counter(lines(datacenter))
        assert max(there.values()) == 1
        assert done <= set(there)
        attempts = {hop.attempt for line in done for hop in runs[line].trail}
        assert max(attempts) > 1, "it was killed too late to see anything"
        assert len(done) == LINES


def test_what_a_run_reads_changes_and_writes_is_changed_once(tmp_path: Path) -> None:
    """The repeated run reads what it has written itself, and the node that would know is gone as well."""
    x = tmp_path / "Services/storage" / CLIENT / "x"
    with running(tmp_path, "application-0", "storage-0", "math-0", keys=PAUSE) as nodes, connect(nodes.root) as datacenter:
        nodes.start("storage-1", "math-1")
        graph = TaskGraph("set up")
        graph.storage.write_integer(client_id=CLIENT, name="x", value=21)
        datacenter.run(graph)

        graph = TaskGraph("double")
        read = graph.storage.read_integer(client_id=CLIENT, name="x")
        doubled = graph.math.shift_left(value=read.value, bits=1)
        written = graph.storage.write_integer(client_id=CLIENT, name="x", value=doubled.value)
        pause = graph.math.shift_left(value=0, bits=0, after=written)
        graph.storage.read_integer(client_id=CLIENT, name="x", after=pause)
        run = datacenter.submit(graph, timeout_s=60)
        until(lambda: x.read_text() == "42")
        for name in ("storage-0", "math-0"):
            nodes.kill(name)
        with pytest.raises(AbortedError, match=r"made another change .*; run the graph again"):
            run.result()
        assert x.read_text() == "42"


def test_a_repeated_run_leaves_what_others_have_written_since(tmp_path: Path) -> None:
    """Its own write and delete were done before that, and are not done again."""
    folder = tmp_path / "Services/storage" / CLIENT
    with running(tmp_path, "application-0", "storage-0", "math-0", keys=PAUSE) as nodes, connect(nodes.root) as datacenter:
        nodes.start("storage-1")
        datacenter.run(writing("old", "a", "b"))
        graph = TaskGraph("write and delete")
        written = graph.storage.write_text(client_id=CLIENT, name="a", text="first")
        deleted = graph.storage.delete(client_id=CLIENT, name="b", after=written)
        graph.math.shift_left(value=0, bits=0, after=deleted)
        run = datacenter.submit(graph, timeout_s=60)
        until(lambda: not (folder / "b").exists())
        datacenter.run(writing("second", "a", "b"))
        nodes.kill("storage-0")
        result = run.result()
        assert result[deleted].deleted
        assert {hop.node for hop in run.trail if hop.attempt > 1} >= {"storage-1"}, "it was killed too late to see anything"
        assert [(folder / name).read_text() for name in "ab"] == ["second", "second"]


def writing(text: str, *files: str) -> TaskGraph:
    graph = TaskGraph(f"write {text}")
    for name in files:
        graph.storage.write_text(client_id=CLIENT, name=name, text=text)
    return graph


def appending(line: str) -> TaskGraph:
    graph = TaskGraph("append a line")
    graph.storage.append_text(client_id=CLIENT, name="lines.txt", text=f"{line}\n")
    return graph


def succeeded(run: Run) -> bool:
    try:
        run.result()
    except FractosError:
        return False
    return True


def lines(datacenter: Datacenter) -> list[str]:
    graph = TaskGraph("read the lines")
    graph.output(text := graph.storage.read_text(client_id=CLIENT, name="lines.txt"))
    return str(datacenter.run(graph)[text].text).splitlines()
