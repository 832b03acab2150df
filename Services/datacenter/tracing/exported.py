"""Traces and lists of runs for programs: what `--json` prints. `docs/seeing.md` describes it. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from protos import application_pb2
from Services.datacenter.tracing.parts import Step
from Services.datacenter.tracing.trace import Trace, state_name
from Services.fractos.bill import Bill, Charge


def trace_as_json(trace: Trace) -> dict[str, Any]:
    """All that a trace says. Times are Unix times in seconds, durations end in `_s`, what is not known is null."""
    return {
        "run_id": trace.run_id,
        "name": trace.name,
        "topology": trace.topology,
        "state": trace.state,
        "client": trace.client,
        "submitted_at": trace.submitted_at,
        "deadline": trace.deadline,
        "ended_at": trace.ended_at,
        "seen_at": trace.seen_at,
        "duration_s": trace.duration_s,
        "attempts": [asdict(attempt) for attempt in trace.attempts],
        "steps": [_step(step) for step in trace.steps],
        "messages": [asdict(message) for message in trace.messages],
        "critical_path": list(trace.critical_path),
        "critical_spans": [{**asdict(span), "duration_s": span.duration_s} for span in trace.critical_spans],
        "clock_differences": [asdict(one) for one in trace.clock_differences],
        "failure": asdict(trace.failure) if trace.failure is not None else None,
        "bill": _bill(trace.bill) if trace.bill is not None else None,
    }


def run_as_json(info: application_pb2.RunInfo) -> dict[str, Any]:
    """A line of the list of runs."""
    return {
        "run_id": info.run_id.hex(),
        "name": info.name,
        "topology": info.topology,
        "client": info.client,
        "state": state_name(info.state),
        "submitted_at": info.submitted_at,
        "deadline": info.deadline,
        "ended_at": info.ended_at or None,
        "steps": info.steps,
        "attempts": info.attempt,
    }


def _step(step: Step) -> dict[str, Any]:
    written = asdict(step)
    written["edges"] = [
        {"to": edge.to, "fields": [{"source": one, "target": other} for one, other in edge.fields]} for edge in step.edges
    ]
    if step.hop is not None:
        written["hop"] |= {"wire_s": step.hop.wire_s, "waited_s": step.hop.waited_s, "device_s": step.hop.device_s}
    return written


def _bill(bill: Bill) -> dict[str, Any]:
    links = [{"source": source, "target": target, **_charge(bill[source, target])} for source, target in bill]
    return {"attempt": bill.attempts, "links": links, "total": _charge(bill.total)}


def _charge(charge: Charge) -> dict[str, int]:
    return {**asdict(charge), "hops": charge.hops, "control": charge.control}
