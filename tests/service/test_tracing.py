"""`runs` and `trace` beside real nodes, of which some are killed in mid-run: the trace alone tells what happened."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from Services.datacenter.command_line import parse
from Services.datacenter.screen import Screen
from Services.datacenter.tracing.command import run_runs, run_trace
from Services.fractos import connect
from Services.fractos.errors import FractosError, InvalidArgumentError, NotFoundError, UnavailableError
from tests.nodes import Nodes, running, slow_graph


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Two application and two math nodes, of which those with a 0 lead. One of each is killed: the others serve every test."""
    with running(tmp_path_factory.mktemp("datacenter"), "application-0", "math-0") as started:
        started.start("application-1", "math-1")
        yield started


def options(nodes: Nodes, *words: str) -> argparse.Namespace:
    return parse(words, nodes.root)


def read(nodes: Nodes, *words: str) -> str:
    """What `trace` or `runs` prints in a pipe."""
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    run = run_runs if words[0] == "runs" else run_trace
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", output)
        assert run(nodes.configuration, options(nodes, *words), Screen(output)) == 0
    output.seek(0)
    return output.read()


def test_a_trace_tells_of_killed_nodes_without_any_other_source(nodes: Nodes, tmp_path: Path) -> None:
    with connect(nodes.root) as datacenter:
        run = datacenter.submit(slow_graph(10), timeout_s=60)
        nodes.wait_until_busy("math-0")
        assert "running" in read(nodes, "runs", "--state", "running")
        assert "it is under way" in read(nodes, "trace", run.run_id[-8:])
        nodes.kill("math-0")
        run.result()
        told = " ".join(read(nodes, "trace", "last").split())
        assert f"run {run.run_id} succeeded" in told
        assert "sent again by application-0, since the channel to math-0 broke" in told
        assert "none in attempt 1" in told
        assert "lost until a further attempt began" in told

        again = datacenter.submit(slow_graph(10), timeout_s=60)
        nodes.wait_until_busy("math-1")
        nodes.kill("application-0")
        again.result()
    told = " ".join(read(nodes, "trace", again.run_id[-8:]).split())
    assert "sent again by application-1, since the application node that started the run died" in told
    assert "done in attempt n and kept" in told

    listed = json.loads(read(nodes, "runs", "--json"))["runs"]  # also what ended at the node that died
    ours = [one for one in listed if one["run_id"] in {run.run_id, again.run_id}]
    assert [(one["run_id"], one["state"], one["steps"]) for one in ours] == [
        (again.run_id, "succeeded", 11),
        (run.run_id, "succeeded", 11),
    ]
    table = read(nodes, "runs", "--limit", "1").splitlines()
    assert [line.split()[0] for line in table] == ["run", again.run_id[-8:]]
    file = tmp_path / "run.json"
    assert str(file) in read(nodes, "trace", run.run_id, "--perfetto", str(file))
    assert len(json.loads(file.read_text())["traceEvents"]) > 22
    assert read(nodes, "trace", run.run_id, "--perfetto", "-") == f"{file.read_text()}\n"
    assert read(nodes, "trace", run.run_id, "--html", "-").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("written", "kind", "message"),
    [
        ("abc", InvalidArgumentError, "6 or more digits"),
        ("a run", InvalidArgumentError, "6 or more digits"),
        ("ffffffff", NotFoundError, "no run has an id that begins or ends with ffffffff"),
        ("f" * 32, NotFoundError, "journal_keep_s"),
    ],
)
def test_a_run_that_is_not_there_is_refused_with_a_remedy(
    nodes: Nodes, written: str, kind: type[FractosError], message: str
) -> None:
    with pytest.raises(kind, match=message) as refused:
        read(nodes, "trace", written)
    assert "run_datacenter.py runs" in refused.value.message


def test_an_id_that_fits_several_runs_is_refused_with_them(nodes: Nodes) -> None:
    with connect(nodes.root) as datacenter:
        runs = [datacenter.submit(slow_graph(0)) for _ in range(2)]
        for run in runs:
            run.result()
    with pytest.raises(InvalidArgumentError, match=r"fits \d+ runs: .*give more digits"):
        read(nodes, "trace", runs[0].run_id[:7])


def test_without_application_nodes_the_remedy_is_named(tmp_path: Path) -> None:
    none = pytest.raises(UnavailableError, match=r"none is listed.*python3 run_datacenter\.py")
    with running(tmp_path, "math-0") as alone, none:
        read(alone, "runs")
