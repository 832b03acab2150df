"""The trace that a run belongs to: W3C Trace Context, https://www.w3.org/TR/trace-context/. Pure.

A client may name the trace, and the span in it, that its run is a part of. The run has a span of its own in that trace; where a
client names none, in a trace of its own. Their ids follow from the run's, so that whoever takes the run over knows them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import xxhash

KEY = "traceparent"  # of gRPC metadata
KNOWN_FLAGS = 0b11  # sampled, and random: the trace id is; others must not be passed on
SAMPLED = 0b01
_WRITTEN = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)


class TraceContext(NamedTuple):
    """A span in a trace."""

    trace_id: int
    span_id: int
    flags: int = SAMPLED

    def __str__(self) -> str:
        """The value of a `traceparent`."""
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{self.flags:02x}"


def parse(traceparent: str) -> TraceContext | None:
    """What a `traceparent` says; None if it is malformed. Of a version to come, what this one knows of it."""
    match = _WRITTEN.fullmatch(traceparent)
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    context = TraceContext(int(trace_id, 16), int(span_id, 16), int(flags, 16) & KNOWN_FLAGS)
    return context if context.trace_id and context.span_id else None


def valid(*candidates: str) -> str:
    """The first `traceparent` that is not malformed, in the form of version 00; empty if all are."""
    return next((str(context) for one in candidates if (context := parse(one)) is not None), "")


def span_of(run_id: bytes, traceparent: str) -> TraceContext:
    """The span of a run whose client gave this `traceparent`, a valid one or none."""
    client = parse(traceparent)
    span_id = int.from_bytes(run_id[8:], "big") or 1  # an id of zero is no id
    if client is not None:
        return client._replace(span_id=span_id)
    # Samplers decide by the trace id, so it must be uniform: in the run's the lower half begins with two fixed bits.
    return TraceContext(xxhash.xxh3_128_intdigest(run_id) or 1, span_id)


def passed_on(traceparent: str, run_id: bytes) -> str:
    """The `traceparent` of whatever is done for a run whose client gave this one."""
    return str(span_of(run_id, traceparent))
