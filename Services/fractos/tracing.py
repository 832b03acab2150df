"""Tells OpenTelemetry of the runs of one application node: hands those that have ended to a process that sends their spans.

A run's spans are made when it has ended, of what its result tells: the trail has the times of every step, the attempts their
reasons. So a hop costs nothing, other nodes send nothing, and a run that goes on after its application node died is told whole
by the node that ends it. Each span takes the SDK a tenth of a millisecond, so a process of its own makes them (span_sender.py):
a thread would slow the event loop down, which leaves results in a queue and no more. When that is full, since nobody takes the
spans, runs are left out and go on as ever.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from Services.fractos.config import CODE_ROOT
from Services.fractos.events import Effect, Event, Recorded
from Services.fractos.records import EndRecord

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")  # one of them asks for traces
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
EXPORTERS = {  # by the protocol; the first is the default
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
}
MOST_BYTES = 16 << 20  # results that wait
MOST_WAITING = 4096
TOGETHER_S = 0.05  # runs that end within it are passed on together: to wake a thread takes time from the event loop
CLOSE_S = 2.0
QUIET_S = 60.0  # between two complaints, and between two starts of the process
LENGTHS = struct.Struct("!II")  # what precedes a serialized RunResult and the outline of its graph


def wants_traces(environment: Mapping[str, str]) -> bool:
    """Whether the variables of OpenTelemetry ask for traces."""
    return any(map(environment.get, ENDPOINTS))


def exporter_of(environment: Mapping[str, str]) -> str:
    """The module that sends spans as the variables ask. Raises ImportError if it is not there, or nobody knows the protocol."""
    protocol = next(filter(None, map(environment.get, PROTOCOLS)), "grpc")
    if protocol not in EXPORTERS:
        raise ImportError(f"{PROTOCOLS[1]} is {protocol!r}, which is none of {', '.join(EXPORTERS)}")
    if importlib.util.find_spec(EXPORTERS[protocol]) is None:  # raises ImportError itself, if the package around it is missing
        raise ImportError(f"there is no {EXPORTERS[protocol]}")
    return EXPORTERS[protocol]


class Tracing:
    """An observer of one Controller, and a thread that passes on what it saw."""

    def __init__(self, datacenter: str, node: str) -> None:
        """Raises ImportError if a package is missing."""
        exporter_of(os.environ)
        self._command = [sys.executable, "-m", "Services.fractos.span_sender", datacenter, node]
        self._sender: subprocess.Popen[bytes] | None = None
        self._ended: list[EndRecord] = []
        self._waiting_bytes = 0
        self._changed = threading.Condition()  # guards these two
        self._closed = False
        self._end_at = math.inf
        self._quiet_until = 0.0
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)
        self._thread.start()

    def saw(self, event: Event, effects: Sequence[Effect], now: float) -> None:
        """Take note of runs whose end is in the journal."""
        if not isinstance(event, Recorded) or event.error is not None:
            return
        for entry in event.entries:
            if isinstance(entry, EndRecord) and not self._put(entry) and now >= self._quiet_until:
                self._quiet_until = now + QUIET_S
                log.warning("traces of runs are left out: those that wait to be sent have reached their limit")

    def close(self) -> None:
        """Send what waits, within two seconds."""
        with self._changed:
            self._closed = True
            self._end_at = time.monotonic() + CLOSE_S
            self._changed.notify()
        self._thread.join(CLOSE_S)
        while self._thread.is_alive():
            if (sender := self._sender) is not None:
                sender.kill()  # then the thread need not wait any longer until it takes something
            self._thread.join(0.1)

    def _put(self, entry: EndRecord) -> bool:
        """Queue a run. Returns False if there is no room."""
        with self._changed:
            size = self._waiting_bytes + len(entry.result)
            if self._ended and (size > MOST_BYTES or len(self._ended) >= MOST_WAITING):
                return False
            self._ended.append(entry)
            self._waiting_bytes = size
            if len(self._ended) == 1:
                self._changed.notify()
        return True

    def _take(self) -> list[EndRecord]:
        """Wait for runs that have ended, and take them all; none when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._closed)
            self._changed.wait_for(lambda: self._closed, TOGETHER_S)
            entries, self._ended = self._ended, []
            self._waiting_bytes = 0
            return entries

    def _work(self) -> None:
        """Start the process when there is something to send, and end it. Nobody else does."""
        start_at = 0.0
        while entries := self._take():
            if self._sender is None and not self._closed and time.monotonic() >= start_at:
                start_at = time.monotonic() + QUIET_S
                self._start()
            if (sender := self._sender) is not None:
                try:
                    _write(sender.stdin, entries)
                except OSError as error:
                    log.warning("traces of runs are left out: the process that sends them has ended (%s)", error)
                    self._sender = None
                    _end(sender)
        if (sender := self._sender) is not None:
            assert sender.stdin is not None
            sender.stdin.close()  # it sends what it has, and ends
            with suppress(subprocess.TimeoutExpired):
                sender.wait(max(self._end_at - time.monotonic(), 0))
            _end(sender)

    def _start(self) -> None:
        try:
            self._sender = subprocess.Popen(self._command, cwd=CODE_ROOT, stdin=subprocess.PIPE)
        except OSError as error:  # too many processes, too little memory: that may pass
            log.warning("traces of runs are left out: the process that sends them cannot be started now (%s)", error)


def _write(pipe: IO[bytes] | None, entries: Sequence[EndRecord]) -> None:
    """Waits while the process is busy. Raises OSError if it has ended."""
    assert pipe is not None
    for entry in entries:
        pipe.write(LENGTHS.pack(len(entry.result), len(entry.outline)))
        pipe.write(entry.result)
        pipe.write(entry.outline)
    pipe.flush()


def _end(sender: subprocess.Popen[bytes]) -> None:
    sender.kill()
    sender.wait()
    if sender.stdin is not None:
        with suppress(OSError):  # what is left to be written has nowhere to go
            sender.stdin.close()
