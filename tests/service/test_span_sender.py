"""The process that sends spans ends with its node, whatever the collector does, and is started again if it has to be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest

from Services.fractos import tracing
from Services.fractos.events import Recorded
from Services.fractos.records import EndRecord
from tests.waiting import until

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
