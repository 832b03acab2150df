"""The Python client when real application nodes die or are stopped."""

from __future__ import annotations

import logging
from pathlib import Path

import psutil
import pytest

from Services.fractos import TaskGraph, connect
from Services.fractos.errors import UnavailableError
from tests.nodes import running, slow_graph
from tests.waiting import until


def test_a_client_waits_for_the_application_node_that_replaces_a_dead_one(tmp_path: Path) -> None:
    with running(tmp_path, "application-0", "math-0") as nodes, connect(nodes.root) as datacenter:
        graph = TaskGraph("twice")
        step = graph.math.shift_left(value=3, bits=1)
        assert datacenter.run(graph)[step].value == 6
        run = datacenter.submit(slow_graph(), timeout_s=0.5)
        nodes.kill("application-0")
        with pytest.raises(UnavailableError, match=r"lost the application node.*no application node") as caught:
            run.result()
        assert not caught.value.definite
        assert caught.value.context.run_id == run.run_id
        with pytest.raises(UnavailableError, match="no application node") as caught:
            datacenter.run(graph, timeout_s=0.5)
        assert caught.value.definite
        with pytest.raises(UnavailableError, match="no application node"):
            connect(nodes.root)
        waiting = datacenter.submit(graph)
        nodes.start("application-0")
        assert waiting.result()[step].value == 6


def test_a_client_uses_the_other_application_node_when_one_dies(tmp_path: Path) -> None:
    with running(tmp_path, "application-0", "math-0") as nodes, connect(nodes.root) as datacenter:
        nodes.start("application-1")
        graph = TaskGraph("twice")
        step = graph.math.shift_left(value=3, bits=1)
        for _ in range(2):
            assert datacenter.run(graph)[step].value == 6
            if "application-0" in nodes.processes:
                nodes.kill("application-0")


def test_a_stopped_application_node_is_noticed(tmp_path: Path) -> None:
    with running(tmp_path, "application-0", "math-0") as nodes, connect(nodes.root) as datacenter:
        psutil.Process(nodes.processes["application-0"].pid).suspend()
        try:
            with pytest.raises(UnavailableError, match=r"application-0: .*no connection within 2 s"):
                connect(nodes.root)
            nodes.start("application-1")
            graph = TaskGraph("moved")
            step = graph.math.shift_left(value=3, bits=1)
            assert datacenter.run(graph)[step].value == 6
        finally:
            nodes.kill("application-0")


def test_a_run_goes_on_while_its_application_node_is_stopped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(tmp_path, "application-0", "math-0") as nodes, connect(nodes.root) as datacenter:
        run = datacenter.submit(slow_graph(30), timeout_s=60)
        nodes.wait_until_busy("math-0")
        stopped = psutil.Process(nodes.processes["application-0"].pid)
        stopped.suspend()
        until(lambda: "it has sent nothing for" in caplog.text)
        stopped.resume()
        assert run.result().run_id == run.run_id


def test_a_run_goes_on_when_its_application_node_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path, "application-0", "math-0") as nodes, connect(nodes.root) as datacenter:
        runs = [datacenter.submit(slow_graph(10), timeout_s=60) for _ in range(3)]
        nodes.wait_until_busy("math-0")
        nodes.kill("application-0")
        nodes.start("application-0")
        for run in runs:
            assert run.result().run_id == run.run_id
