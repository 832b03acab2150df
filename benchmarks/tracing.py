"""What it costs to be seen: rings of steps in a datacenter with metrics and OpenTelemetry traces beside one without.

python benchmarks/tracing.py [--rounds N] [--json]

The traces go to a receiver of OTLP in this program, which counts the spans. Exit code 1 if the ring of 8 takes more than 1.1
times as long when it is traced, or no span came.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from ring import as_text, datacenter_folder
from side_by_side import measure

from Services.fractos import connect

TARGET = 1.1
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Receiver(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans."""

    def __init__(self) -> None:
        self.spans = 0

    def Export(self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext) -> object:
        """Count them."""
        self.spans += sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that nodes find which are started within the block."""
    receiver = Receiver()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(receiver, server)
    os.environ[ENDPOINT] = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield receiver
    finally:
        os.environ.pop(ENDPOINT, None)
        server.stop(None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=12, help="how many rounds to measure (default: %(default)s)")
    options = parser.parse_args()
    with (
        datacenter_folder() as other,
        receiving() as receiver,
        datacenter_folder("metrics = on") as one,
        connect(one, client_id="admin") as traced,
        connect(other, client_id="admin") as plain,
    ):
        figures = measure({"traced": traced, "plain": plain}, options.rounds)
    print(json.dumps(figures, indent=2) if options.json else f"{as_text(figures)}\n{receiver.spans} spans came")
    return 1 if figures["ring of 8, traced / plain"]["median"] > TARGET or not receiver.spans else 0


if __name__ == "__main__":
    raise SystemExit(main())
