"""A trace in the JSON that ui.perfetto.dev and chrome://tracing open: a process for each node, in it what its device did.

The format is "Trace Event Format", its times are microseconds; here they count from the submission. Pure.
"""

from __future__ import annotations

from typing import Any

from Services.datacenter.tracing.parts import Attempt, Hop, Message, Step
from Services.datacenter.tracing.trace import Trace

INSIDE_S = 1e-6  # how far from the border of a slice an arrow begins or ends: it belongs to the slice that it is in

Event = dict[str, Any]


def to_perfetto(trace: Trace) -> dict[str, Any]:
    """The whole document, to be written as JSON."""
    return {
        "displayTimeUnit": "ms",
        "otherData": {"run_id": trace.run_id, "graph": trace.name, "topology": trace.topology, "state": trace.state},
        "traceEvents": _Events(trace).all(),
    }


class _Events:
    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._pids = {node: number for number, node in enumerate(trace.nodes, 1)}
        self._steps = {step.id: step for step in trace.steps}
        self._lanes: dict[str, list[float]] = {}  # by node: until when each is taken
        self._lane_of: dict[int, int] = {}  # by step

    def all(self) -> list[Event]:
        """Names first, then slices, then what refers to them."""
        events = []
        for node, pid in self._pids.items():
            events.append({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": node}})
            events.append({"ph": "M", "name": "process_sort_index", "pid": pid, "args": {"sort_index": pid}})
        for attempt in self._trace.attempts:
            events += self._of_attempt(attempt)
        done = [(step, step.hop) for step in self._trace.steps if step.hop is not None]
        for step, hop in sorted(done, key=lambda pair: _begin(pair[1])):
            events += self._of_hop(step, hop)
        for number, message in enumerate(self._trace.messages):
            events += self._of_message(number, message)
        return [*self._thread_names(), *events]

    def _of_attempt(self, attempt: Attempt) -> list[Event]:
        end = attempt.ended_at if attempt.ended_at is not None else self._trace.seen_at
        name = f"attempt {attempt.number}"
        place = {"pid": self._pids[attempt.home], "tid": 0}
        instant = {"ph": "i", "s": "g", "name": f"{name}: {attempt.reason}" if attempt.reason else name}
        return [
            {**place, **self._slice(name, attempt.began_at, end), "args": {"reason": attempt.reason}},
            {**place, **instant, "ts": self._ts(attempt.began_at)},
        ]

    def _of_hop(self, step: Step, hop: Hop) -> list[Event]:
        lane = self._lane_of[step.id] = self._take_lane(hop)
        place = {"pid": self._pids[hop.node], "tid": lane}
        said = {
            "step": step.id,
            "attempt": hop.attempt,
            "critical": step.id in self._trace.critical_path,
            "wire_ms": round(hop.wire_s * 1e3, 3),
            "request_bytes": hop.request_bytes,
            "fetched_bytes": hop.fetched_bytes,
            "response_bytes": hop.response_bytes,
        }
        name = step.operation or f"step {step.id}"
        return [
            {**place, **self._slice(f"wait: {name}", _begin(hop), hop.started_at), "cat": "wait", "args": said},
            {**place, **self._slice(name, max(_begin(hop), hop.started_at), hop.finished_at), "cat": "device", "args": said},
        ]

    def _of_message(self, number: int, message: Message) -> list[Event]:
        """An arrow, if both its ends are known well enough."""
        sent_at, received_at = message.sent_at, message.received_at
        target = self._steps[message.to_step] if message.to_step is not None else None
        source = self._steps[message.from_step] if message.from_step is not None else None
        if sent_at is None or message.kind == "memory" or (source is None and message.source not in self._homes):
            return []
        name = f"{message.kind}, {message.bytes} B"
        arrow = {"cat": "message", "name": name, "id": number, "args": {"bytes": message.bytes}}
        begin = {"ph": "s", **arrow, **self._end(source, message.source, sent_at, leaves=True)}
        end = {"ph": "f", "bp": "e", **arrow, **self._end(target, message.target, received_at or sent_at, leaves=False)}
        end["ts"] = max(end["ts"], begin["ts"])
        return [begin, end]

    def _thread_names(self) -> list[Event]:
        names = [(self._pids[home], 0, "attempts") for home in sorted(self._homes)]
        names += [(self._pids[node], lane, "steps") for node, taken in self._lanes.items() for lane in range(1, len(taken) + 1)]
        return [{"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}} for pid, tid, name in names]

    @property
    def _homes(self) -> set[str]:
        return {attempt.home for attempt in self._trace.attempts}

    def _end(self, step: Step | None, node: str, at: float, *, leaves: bool) -> Event:
        """Where an arrow begins or ends: within the slice of its step, or of the attempt at the application node."""
        if step is None or step.hop is None:
            return {"pid": self._pids[node], "tid": 0, "ts": self._ts(at)}
        hop = step.hop
        within = hop.finished_at - INSIDE_S if leaves else _begin(hop) + INSIDE_S
        return {"pid": self._pids[node], "tid": self._lane_of[step.id], "ts": self._ts(within)}

    def _take_lane(self, hop: Hop) -> int:
        """The first lane of the node on which nothing else happens then: slices of one lane must not overlap."""
        lanes = self._lanes.setdefault(hop.node, [])
        for number, taken_until in enumerate(lanes):
            if taken_until <= _begin(hop):
                lanes[number] = hop.finished_at
                return number + 1
        lanes.append(hop.finished_at)
        return len(lanes)

    def _slice(self, name: str, began_at: float, ended_at: float) -> Event:
        ts = self._ts(began_at)  # of both ends: what follows must not overlap by a rounding
        return {"ph": "X", "name": name, "ts": ts, "dur": max(0.0, round(self._ts(ended_at) - ts, 3))}

    def _ts(self, at: float) -> float:
        return round((at - self._trace.submitted_at) * 1e6, 3)


def _begin(hop: Hop) -> float:
    """When a node had the step in hand."""
    return min(hop.received_at, hop.started_at)
