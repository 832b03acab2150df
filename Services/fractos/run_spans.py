"""One run as spans of OpenTelemetry, made of what its result tells once it has ended: its own, and one for each step.

The attributes follow the semantic conventions for RPC; what these have no word for begins with `mockdc`. Used by
`span_sender.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from protos import application_pb2, fractos_pb2
from Services.fractos.operations import Catalogue
from Services.fractos.run import state_of
from Services.fractos.trace_context import TraceContext, parse, span_of

MOST_NODES = 1000
SUBMIT = "/mockdc.application.v1.Application/Submit"


class RunSpans:
    """Makes the spans of the runs of one application node."""

    def __init__(self, datacenter: str, node: str, catalogue: Catalogue, processor: SpanProcessor) -> None:
        """`processor` gets the spans."""
        self._datacenter = datacenter
        self._node = node
        self._catalogue = catalogue
        self._processor = processor
        self._ids = _Ids()
        self._home = self._make_tracer(node, self._ids)
        self._tracers: dict[str, Tracer] = {}  # by node

    def tell(self, result: application_pb2.RunResult, graph: fractos_pb2.Graph) -> int:
        """Make the spans of a run, of its result and the outline of its graph. Returns how many."""
        client = parse(result.traceparent)
        self._ids.run = span_of(result.run_id, result.traceparent)
        span = self._home.start_span(
            graph.name or "run",
            _within(_remote(client)) if client is not None else None,
            SpanKind.SERVER,
            {
                **_call(SUBMIT),
                "server.address": result.home or self._node,
                "mockdc.run.id": result.run_id.hex(),
                "mockdc.run.state": application_pb2.RunState.Name(state_of(result)).lower(),
                "mockdc.run.attempts": len(result.attempts),
            },
            start_time=_ns(result.attempts[0].began_at if result.attempts else result.ended_at),
        )
        steps = 0
        if span.is_recording():
            _tell_attempts(span, result.attempts)
            if result.HasField("failure"):
                _fail(span, result.failure)
                span.set_attribute("mockdc.failure.operation", result.failure.operation)
                span.set_attribute("mockdc.failure.node", result.failure.node)
                span.set_attribute("mockdc.failure.step", result.failure.step)
            steps = self._tell_steps(result, graph.steps, _within(span.get_span_context()))
        span.end(_ns(result.ended_at))
        return 1 + steps

    def _tell_steps(self, result: application_pb2.RunResult, steps: Sequence[fractos_pb2.Step], run: Context) -> int:
        """A span for each step that was done, and for one that failed at its device, with links to those it waited for."""
        hops = {hop.step: hop for hop in result.trail}
        failure = result.failure if result.failure.HasField("hop") else None
        if failure is not None:
            hops[failure.step] = failure.hop
        waited_for: dict[int, list[Link]] = {}  # by step
        for step in steps:  # edges lead to later steps only
            if (hop := hops.get(step.id)) is None:
                continue
            span = self._begin_step(step, hop, run, waited_for.get(step.id, ()))
            if failure is not None and step.id == failure.step:
                _fail(span, failure)
            span.end(_ns(hop.finished_at))
            for edge in step.edges:
                waited_for.setdefault(edge.to, []).append(Link(span.get_span_context()))
        return len(hops)

    def _begin_step(self, step: fractos_pb2.Step, hop: fractos_pb2.Hop, run: Context, waited_for: Sequence[Link]) -> Span:
        operation = self._catalogue.get(step.operation)
        attributes = {
            **_call(operation.rpc if operation is not None else step.operation),
            "server.address": hop.node,
            "mockdc.step": step.id,
            "mockdc.attempt": hop.attempt,
            "mockdc.step.wire": hop.received_at - hop.sent_at,
            "mockdc.step.queue": hop.started_at - hop.received_at,
            "mockdc.step.device": hop.finished_at - hop.started_at,
            "mockdc.step.request_bytes": hop.request_bytes,
            "mockdc.step.response_bytes": hop.response_bytes,
            "mockdc.step.fetched_bytes": hop.fetched_bytes,
        }
        began_at = min(hop.sent_at, hop.received_at)  # by two clocks
        tracer = self._tracer_of(hop.node)
        span = tracer.start_span(step.operation, run, SpanKind.SERVER, attributes, waited_for, _ns(began_at))
        span.add_event("received", timestamp=_ns(hop.received_at))
        span.add_event("device began", timestamp=_ns(hop.started_at))
        return span

    def _tracer_of(self, node: str) -> Tracer:
        if node not in self._tracers:
            if len(self._tracers) >= MOST_NODES:
                self._tracers.clear()
            self._tracers[node] = self._make_tracer(node, RandomIdGenerator())
        return self._tracers[node]

    def _make_tracer(self, node: str, ids: RandomIdGenerator) -> Tracer:
        """What makes the spans of a node: each type of node is a service of its own to who sees them."""
        service = f"{self._datacenter}-{node.rpartition('-')[0]}"
        resource = Resource.create({SERVICE_NAME: service, SERVICE_INSTANCE_ID: node})
        provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        return provider.get_tracer("mockdc")


class _Ids(RandomIdGenerator):
    """Gives a run's span the ids that its Requests carry, which follow from the run's."""

    run = TraceContext(0, 0)

    def generate_trace_id(self) -> int:
        return self.run.trace_id

    def generate_span_id(self) -> int:
        return self.run.span_id

    def is_trace_id_random(self) -> bool:
        return False


def _tell_attempts(span: Span, attempts: Sequence[fractos_pb2.Attempt]) -> None:
    for attempt in attempts:
        told: dict[str, Any] = {
            "mockdc.attempt": attempt.number,
            "mockdc.attempt.home": attempt.home,
            "mockdc.attempt.reason": attempt.reason,
        }
        span.add_event("attempt", told, _ns(attempt.began_at))


def _fail(span: Span, failure: fractos_pb2.Failure) -> None:
    span.set_attribute("error.type", failure.status)
    span.set_status(Status(StatusCode.ERROR, failure.message))


def _call(rpc: str) -> Mapping[str, Any]:
    """The attributes of a call of `/package.Service/Method`: by the present conventions and by those before."""
    service, _, method = rpc.strip("/").partition("/")
    return {"rpc.system.name": "grpc", "rpc.system": "grpc", "rpc.service": service, "rpc.method": f"{service}/{method}"}


def _remote(context: TraceContext) -> SpanContext:
    return SpanContext(context.trace_id, context.span_id, is_remote=True, trace_flags=TraceFlags(context.flags))


def _within(span: SpanContext) -> Context:
    return set_span_in_context(NonRecordingSpan(span))


def _ns(at: float) -> int:
    return int(at * 1e9)
