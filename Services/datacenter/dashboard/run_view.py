"""A run as the page shows it: its steps in time, its attempts, its messages and its bill. Pure."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from protos import application_pb2
from Services.datacenter.tracing.parts import Step
from Services.datacenter.tracing.trace import Trace, state_name
from Services.fractos.bill import Charge

Json = dict[str, Any]


def listed(info: application_pb2.RunInfo) -> Json:
    """A line of the list of runs."""
    return {
        "run": info.run_id.hex(),
        "name": info.name,
        "state": state_name(info.state),
        "at": info.submitted_at,
        "ended": info.ended_at,
        "steps": info.steps,
        "attempt": info.attempt,
        "client": info.client,
        "topology": info.topology or "ring",
    }


def shown(trace: Trace) -> Json:
    """All that the page shows of one run."""
    bill = trace.bill
    return {
        "run": trace.run_id,
        "name": trace.name,
        "topology": trace.topology,
        "state": trace.state,
        "client": trace.client,
        "at": trace.submitted_at,
        "duration_s": trace.duration_s,
        "attempts": [asdict(attempt) for attempt in trace.attempts],
        "steps": [_step(step) for step in trace.steps],
        "messages": [asdict(message) for message in trace.messages],
        "critical": list(trace.critical_path),
        "failure": asdict(trace.failure) if trace.failure else None,
        "bill": [{"source": link[0], "target": link[1], **_charge(bill[link])} for link in bill] if bill else [],
        "total": _charge(bill.total) if bill else None,
    }


def _step(step: Step) -> Json:
    hop = asdict(step.hop) if step.hop else None
    return {"step": step.id, "operation": step.operation, "state": step.state, "hop": hop}


def _charge(charge: Charge) -> Json:
    return {**asdict(charge), "hops": charge.hops, "value_bytes": charge.value_bytes, "total_bytes": charge.total_bytes}
