"""The graph of a run as it was submitted, and with what became of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from Services.datacenter.drawing.picture import DrawnEdge, DrawnStep, Mark, Picture
from Services.datacenter.tracing.figures import duration, sized
from Services.datacenter.tracing.parts import Edge, Message, Step
from Services.datacenter.tracing.trace import Trace


def declared(trace: Trace) -> Picture:
    """The graph as it was submitted."""
    steps = tuple(_drawn(step) for step in trace.steps)
    edges = (DrawnEdge(step.id, edge.to, edge.fields) for step in trace.steps for edge in step.edges)
    return Picture(f"{trace.name}, as it was submitted", steps, tuple(edges))


def happened(trace: Trace) -> Picture:
    """The same graph with the nodes, times and bytes of the run."""
    steps = {step.id: step for step in trace.steps}
    critical = set(pairwise(trace.critical_path))
    drawn = [
        replace(_drawn(step), ran_on=trace.node_of(step), facts=tuple(_facts(step, trace)), mark=_mark(step, trace))
        for step in trace.steps
    ]
    edges = [
        DrawnEdge(
            step.id,
            edge.to,
            edge.fields,
            tuple(_way(step, edge, steps[edge.to], trace)),
            "critical" if (step.id, edge.to) in critical else "",
        )
        for step in trace.steps
        for edge in step.edges
    ]
    return Picture(f"{trace.name}, as it was run", tuple(drawn), tuple(edges))


def _drawn(step: Step) -> DrawnStep:
    return DrawnStep(step.id, step.operation or f".step {step.id}", step.declared_node, output=step.output)


def _mark(step: Step, trace: Trace) -> Mark:
    if step.state != "done":
        return "bad" if step.state == "failed" else "open"
    return "critical" if step.id in trace.critical_path else ""


def _facts(step: Step, trace: Trace) -> Iterator[str]:
    if step.hop is None:
        failure = trace.failure
        yield f"failed: {failure.status}" if step.state == "failed" and failure is not None else "no news of it"
        return
    yield f"device {duration(step.hop.device_s)}"
    yield f"gave {sized(step.hop.response_bytes)}"
    if trace.attempt > 1:
        yield f"in attempt {step.hop.attempt} of {trace.attempt}"


def _way(step: Step, edge: Edge, target: Step, trace: Trace) -> Iterator[str]:
    """How what one step gave came to another."""
    direct = [one for one in trace.messages if (one.kind, one.from_step, one.to_step) == ("request", step.id, edge.to)]
    fetched = sum(one.bytes for one in trace.messages if (one.kind, one.source, one.to_step) == ("memory", step.node, edge.to))
    for message in direct:
        yield sized(message.bytes) + took(message)
    if fetched and edge.fields:
        yield f"fetched {sized(fetched)}"
    if trace.topology != "ring" and trace.messages:
        yield f"via {trace.attempts[-1].home if trace.attempts else 'the centre'}"
    elif not direct and step.node and step.node == target.node:
        yield "on the same node"


def took(message: Message) -> str:
    """How long a message was under way: " in 0.42 ms", or nothing where that is not known."""
    if message.sent_at is None or message.received_at is None:
        return ""
    return f" in {duration(max(0.0, message.received_at - message.sent_at))}"
