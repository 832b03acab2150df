"""Tells OpenTelemetry of the runs of one application node: sends their spans by OTLP to where the environment says.

A run's spans are made when it has ended, of what its result tells: the trail has the times of every step, the attempts their
reasons. So a hop costs nothing, other nodes send nothing, and a run that goes on after its application node died is told whole
by the node that ends it. A thread of its own makes them, and the SDK's sends them: the event loop only leaves results in a
queue. When that is full, since nobody takes the spans, runs are left out and go on as ever.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
from collections import deque
from collections.abc import Sequence

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from Services.fractos.events import Effect, Event, Recorded
from Services.fractos.operations import Catalogue
from Services.fractos.records import EndRecord
from Services.fractos.run_spans import RunSpans

log = logging.getLogger(__name__)

EXPORTERS = {  # by OTEL_EXPORTER_OTLP_PROTOCOL
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
}
MOST_BYTES = 16 << 20  # results that wait
MOST_WAITING = 4096
FLUSH_AFTER = 500  # spans: the SDK's own queue holds 2048, a run has up to 1001, and what is beyond is dropped
CLOSE_S = 2.0
QUIET_S = 60.0  # between two complaints


class Tracing:
    """An observer of one Controller, and the thread that tells what it saw."""

    def __init__(self, datacenter: str, node: str, catalogue: Catalogue) -> None:
        """Raises ImportError if the package that the environment asks for is missing."""
        self._exporter = make_exporter()
        self._processor = BatchSpanProcessor(self._exporter)
        self._spans = RunSpans(datacenter, node, catalogue, self._processor)
        self._ended: deque[EndRecord] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()  # guards these two
        self._closed = False
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
            self._changed.notify()
        self._thread.join(CLOSE_S)
        self._exporter.shutdown()  # wakes a thread that waits to try again

    def _put(self, entry: EndRecord) -> bool:
        """Queue a run. Returns False if there is no room."""
        with self._changed:
            size = self._waiting_bytes + len(entry.result)
            if self._ended and (size > MOST_BYTES or len(self._ended) >= MOST_WAITING):
                return False
            self._ended.append(entry)
            self._waiting_bytes = size
            self._changed.notify()
        return True

    def _take(self) -> EndRecord | None:
        """Wait for a run that has ended; None when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._closed)
            if not self._ended:
                return None
            entry = self._ended.popleft()
            self._waiting_bytes -= len(entry.result)
            return entry

    def _work(self) -> None:
        unsent = 0
        while (entry := self._take()) is not None:
            try:
                unsent += self._spans.tell(entry)
            except Exception:  # the edge of the thread
                log.exception("could not make the trace of run %s", entry.run_id.hex())
            if unsent >= FLUSH_AFTER:
                unsent = 0
                self._processor.force_flush()
        self._processor.shutdown()  # type: ignore[no-untyped-call]


def make_exporter() -> SpanExporter:
    """What sends spans as the variables of OpenTelemetry ask. Raises ImportError if its package is missing."""
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    if protocol not in EXPORTERS:
        raise ImportError(f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r}, which is none of {', '.join(EXPORTERS)}")
    exporter: SpanExporter = importlib.import_module(EXPORTERS[protocol]).OTLPSpanExporter()
    return exporter
