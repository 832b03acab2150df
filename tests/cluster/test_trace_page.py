"""`trace --html` for runs in a real datacenter, one of which outlives a node."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from protos import application_pb2
from Services.fractos import FractosError, TaskGraph, connect
from Services.fractos.config import load
from Services.fractos.oversight import overseeing
from tests.cluster.conftest import Datacenter, until
from tests.unit.test_trace_page import Reader

SCRIPTS = {
    "math": "Services/ComputationalNodes/MathCompute/Math_Controller/math_controller.py",
    "application": "Applications/Application_Controller/application_controller.py",
}


@pytest.fixture
def running(make_datacenter: Callable[..., Datacenter]) -> Datacenter:
    """Two math nodes, slow enough to be killed at work, and an application node."""
    made = make_datacenter()
    sections = [f"[{kind}_controller]\npaths_to_controller = {script}\nzookeeper = False\n" for kind, script in SCRIPTS.items()]
    sections[0] += "replicas = 2\ndevice_latency_ms = 1000\nrestart = on-failure\n"
    names = ", ".join(f"{kind}_controller" for kind in SCRIPTS)
    (made.root / "data_center_setup.cfg").write_text(
        f"[DataCenter]\n[Controllers]\ncontroller_names = {names}\n{''.join(sections)}"
    )
    made.run("up")
    return made


async def runs_under_way(running: Datacenter) -> list[application_pb2.RunInfo]:
    async with overseeing(load(running.root)) as oversight:
        return await oversight.runs(state=application_pb2.RUNNING)


def page_of(running: Datacenter, run_id: str, folder: Path) -> str:
    file = folder / f"{run_id}.html"
    assert f"{file} is written" in running.run("trace", run_id, "--html", str(file))
    return Reader(file.read_text(encoding="utf-8")).said


def test_the_page_of_a_real_run(running: Datacenter, tmp_path: Path) -> None:
    with connect(running.root) as datacenter:
        graph = TaskGraph("over <two> nodes")
        first = graph.node("math-0").factorial(n=20)
        graph.node("math-1").shift_left(value=first.value, bits=1)
        star = datacenter.submit(graph, topology="star")
        star.result()
        said = page_of(running, star.run_id, tmp_path)
        assert "over <two> nodes succeeded" in said
        assert "steps done 2 of 2" in said
        assert "via application-0" in said
        assert "math-0 → application-0 1 – 1 –" in said  # on the bill: a reply
        failing = TaskGraph("impossible")
        failing.math.power(base=10, exponent=10**9)
        run = datacenter.submit(failing)
        with pytest.raises(FractosError) as caught:
            run.result()
        said = page_of(running, run.run_id, tmp_path)
        assert f"Failed: {caught.value.status}" in said
        assert caught.value.message in said


def test_the_page_of_a_run_that_was_repeated(running: Datacenter, tmp_path: Path) -> None:
    with connect(running.root) as datacenter:
        graph = TaskGraph("survivor")
        value = graph.node("math-0").factorial(n=20).value
        graph.node("math-1").shift_left(value=value, bits=1)
        pid = running.pids()["math-1"]
        run = datacenter.submit(graph)
        until(lambda: asyncio.run(runs_under_way(running)), "the run to be admitted")
        os.kill(pid, signal.SIGKILL)
        run.result()
        said = page_of(running, run.run_id, tmp_path)
        assert "survivor succeeded" in said
        assert "Attempts Each time that the run was sent on its way." in said
        assert re.search(r"2 \+[\d,.]+ ms \S+ m?s application-0 .*math-1", said)
        assert "attempt 2, +" in said
