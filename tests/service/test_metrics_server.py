"""The server of metrics: who connects and says nothing, and who takes its port."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock, Mock, call

import pytest

from protos import fractos_pb2
from Services.fractos import metrics_server, telemetry
from Services.fractos.config import load
from Services.fractos.controller import Controller
from Services.fractos.engine import Engine
from Services.fractos.graph import default_catalogue
from Services.fractos.metrics_server import MOST_CONNECTIONS, MetricsServer
from Services.fractos.node import _Node
from Services.fractos.placement import Identity
from Services.fractos.telemetry import Telemetry
from tests.nodes import configuration_text
from tests.waiting import eventually, on_event_loop, until


def page(_: object, start: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    start("200 OK", [])
    return [b"metrics"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricsServer]:
    monkeypatch.setattr(metrics_server._Handler, "timeout", 0.5)
    server = MetricsServer("127.0.0.1", 0, page)
    yield server
    server.close()


def test_the_silent_are_few_and_do_not_stay(server: MetricsServer) -> None:
    address = "127.0.0.1", server.server_port
    silent = [socket.create_connection(address, timeout=20.0) for _ in range(MOST_CONNECTIONS + 10)]
    for one in reversed(silent):
        assert not one.recv(1)  # it is closed: there were too many, or it was silent for too long
        one.close()
    until(lambda: server._free._value == MOST_CONNECTIONS)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics") as answer:
        assert answer.read() == b"metrics"


def test_threads_are_as_few_as_connections_may_be(server: MetricsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_server._Handler, "timeout", 20.0)
    address = "127.0.0.1", server.server_port
    silent = [socket.create_connection(address, timeout=20.0) for _ in range(MOST_CONNECTIONS + 1)]
    assert not silent[-1].recv(1)  # at once, while the others stay
    silent[0].settimeout(0.0)
    with pytest.raises(BlockingIOError):
        silent[0].recv(1)
    for one in silent:
        one.close()


def math_node(root: Path, port: int) -> Telemetry:
    """What a first math node tells with; its port is `port`, or any if that is 0."""
    keys = {"DataCenter": f"metrics = on\nmetrics_port = {port and port - 1}"}
    (root / "data_center_setup.cfg").write_text(configuration_text("application", "math", keys=keys))
    engine = Engine(Identity("math", "math-0", "127.0.0.1:1"), default_catalogue())
    return Telemetry(load(root), Controller(engine, None, cast(Any, None)), default_catalogue())


def target(node: Telemetry) -> str:
    """Where Prometheus finds it; empty if it does not."""
    return str(json.loads(node._found_at.read_text())[0]["targets"][0]) if node._found_at.exists() else ""


@on_event_loop
async def test_a_port_that_is_taken_is_had_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ports are in the order of the configuration. A predecessor that is still stopping holds this one for a moment."""
    monkeypatch.setattr(telemetry, "LISTEN_AGAIN_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    old, new = math_node(tmp_path, port), math_node(tmp_path, port)
    for node in (old, new):
        await node.begin(fractos_pb2.NodeDescription)
    await old.close_metrics()
    await eventually(lambda: target(new) == f"127.0.0.1:{port}")
    await new.close_metrics()
    assert not target(new)


@on_event_loop
async def test_a_port_that_stays_taken_costs_the_metrics_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(telemetry, "LISTEN_AGAIN_S", 0.01)
    monkeypatch.setattr(telemetry, "LISTEN_S", 0.02)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        node = math_node(tmp_path, port)
        await node.begin(fractos_pb2.NodeDescription)
        await eventually(lambda: caplog.messages)
    (message,) = caplog.messages
    assert f"there are no metrics: math-0 cannot listen at 127.0.0.1:{port} (" in message
    await node.close_metrics()


@on_event_loop
async def test_a_node_takes_away_no_file_but_its_own(tmp_path: Path) -> None:
    old, new = math_node(tmp_path, 0), math_node(tmp_path, 0)
    await old.begin(fractos_pb2.NodeDescription)
    await new.begin(fractos_pb2.NodeDescription)
    found = target(new)
    await old.close_metrics()
    assert target(new) == found
    await new.close_metrics()
    assert not target(new)


@on_event_loop
async def test_a_node_gives_back_its_port_before_its_name() -> None:
    node = AsyncMock()
    node.parts.controller.engine.waiting = Mock(return_value=0)
    node.parts.network.close = Mock()
    await _Node._stop(cast(Any, SimpleNamespace(_health=node.health)), node.server, node.local, node.directory, node.parts)
    assert node.mock_calls.index(call.parts.telemetry.close_metrics()) < node.mock_calls.index(call.directory.close())
