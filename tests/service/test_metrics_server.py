"""The server of metrics: who connects and says nothing, and who takes its port."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable, Iterable, Iterator

import pytest

from Services.fractos import metrics_server
from Services.fractos.metrics_server import MOST_CONNECTIONS, MetricsServer
from tests.waiting import until


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
