"""The process that makes the spans of the runs of one application node, and sends them by OTLP: started by `tracing.py`.

It reads results from its standard input until that ends: the node is stopping then, or was killed. What it has is sent even so,
if that takes some seconds only.
"""

from __future__ import annotations

import importlib
import logging
import os
import select
import signal
import sys
import threading
import time
from typing import IO

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from protos import application_pb2, fractos_pb2
from Services.fractos.operations import Catalogue
from Services.fractos.run_spans import RunSpans
from Services.fractos.tracing import LENGTHS, exporter_of

log = logging.getLogger(__name__)

FLUSH_AFTER = 500  # spans: the SDK's queue holds 2048, a run has up to 1001, and what is beyond is dropped
END_S = 5.0  # how long it may go on after its node


def main(datacenter: str, node: str) -> int:
    """Send spans as long as the node lives."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the node, which closes the pipe in its time
    threading.Thread(target=_end_after, args=[sys.stdin.buffer], daemon=True).start()
    exporter: SpanExporter = importlib.import_module(exporter_of(os.environ)).OTLPSpanExporter()
    processor = BatchSpanProcessor(exporter)
    spans = RunSpans(datacenter, node, Catalogue.from_protos(), processor)
    unsent = 0
    while (run := _read(sys.stdin.buffer)) is not None:
        try:
            unsent += spans.tell(*run)
        except Exception:  # the edge of the process
            log.exception("could not make the trace of run %s", run[0].run_id.hex())
        if unsent >= FLUSH_AFTER:
            unsent = 0
            processor.force_flush()
    processor.shutdown()
    return 0


def _end_after(pipe: IO[bytes]) -> None:
    """End this process some seconds after the node has closed the pipe, whatever is in it still and whatever waits."""
    closed = select.poll()
    closed.register(pipe, select.POLLHUP)
    closed.poll()
    time.sleep(END_S)
    os._exit(1)


def _read(pipe: IO[bytes]) -> tuple[application_pb2.RunResult, fractos_pb2.Graph] | None:
    """The next run, as `tracing.py` writes it; None at the end, even within one."""
    lengths = pipe.read(LENGTHS.size)
    if len(lengths) < LENGTHS.size:
        return None
    of_result, of_outline = LENGTHS.unpack(lengths)
    result, outline = pipe.read(of_result), pipe.read(of_outline)
    if len(result) < of_result or len(outline) < of_outline:
        return None
    return application_pb2.RunResult.FromString(result), fractos_pb2.Graph.FromString(outline)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
