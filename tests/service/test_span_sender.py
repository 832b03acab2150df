"""The process that sends spans ends with its node, whatever the collector does, and is started again if it has to be."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest

from protos import application_pb2, fractos_pb2
from Services.fractos import tracing
from Services.fractos.config import CODE_ROOT
from Services.fractos.events import Recorded
from Services.fractos.records import EndRecord
from tests.waiting import until

STEPS = 600
HASTY = "from Services.fractos import span_sender; span_sender.END_S = 0.2; span_sender.main('test', 'application-0')"
DEAF = [sys.executable, "-c", "import time; time.sleep(600)"]


def ended(size: int) -> Recorded:
    """The end of a run with a result of so many bytes."""
    return Recorded([EndRecord(bytes(16), bytes(size), False, 0.0)], {}, None)


@pytest.fixture
def senders(monkeypatch: pytest.MonkeyPatch) -> Callable[[], set[psutil.Process]]:
    """Returns the processes that were started in the test."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(tracing, "CLOSE_S", 0.2)
    monkeypatch.setattr(tracing, "QUIET_S", 0.0)
    before = set(psutil.Process().children())
    return lambda: set(psutil.Process().children()) - before


def test_none_is_started_when_the_node_ends(senders: Callable[[], set[psutil.Process]]) -> None:
    """One that takes nothing is ended, and what waits for it is left out."""
    traces = tracing.Tracing("test", "application-0")
    traces._command = DEAF
    traces.saw(ended(1 << 20), [], 0.0)
    until(senders)
    until(lambda: not traces._ended)
    traces.saw(ended(1), [], 0.0)
    traces.close()
    traces._thread.join()
    assert not senders()


def test_one_that_cannot_be_started_is_started_later(
    senders: Callable[[], set[psutil.Process]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("Resource temporarily unavailable")

    traces = tracing.Tracing("test", "application-0")
    traces._command = DEAF
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        traces.saw(ended(1), [], 0.0)
        until(lambda: caplog.messages)
    traces.saw(ended(1), [], 0.0)
    until(senders)
    traces.close()
    assert caplog.messages == [
        "traces of runs are left out: the process that sends them cannot be started now (Resource temporarily unavailable)"
    ]


def test_it_ends_soon_after_its_node_although_much_is_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A collector that does not answer holds it up before it sees that nothing more will come."""
    result = application_pb2.RunResult(run_id=bytes(16), trail=[fractos_pb2.Hop(step=step) for step in range(STEPS)])
    outline = fractos_pb2.Graph(steps=[fractos_pb2.Step(id=step, operation="math.power") for step in range(STEPS)])
    entry = EndRecord(bytes(16), result.SerializeToString(), False, 0.0, outline.SerializeToString())
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with subprocess.Popen([sys.executable, "-c", HASTY], cwd=CODE_ROOT, stdin=subprocess.PIPE) as sender:
            try:
                assert sender.stdin is not None
                tracing._write(sender.stdin, [entry, entry, entry])
                with silent.accept()[0]:  # it sends
                    sender.stdin.close()
                    until(lambda: sender.poll() is not None, 20.0)
            finally:
                sender.kill()
