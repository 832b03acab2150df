"""What a trace says of a run: its hops, its messages, what decided when it ended, and what cannot be known."""

from __future__ import annotations

import pytest

from protos import fractos_pb2
from tests.unit.described_runs import BEGAN, HOME, attempts, described, graph, hop, trace_of

JOIN = graph((0, 2), (1, 2), steps=3)


def total(trace: object) -> float:
    return sum(span.duration_s for span in trace.critical_spans)  # type: ignore[attr-defined]


def test_over_a_join_the_latest_deliverer_is_on_the_critical_path() -> None:
    early = hop(0, "math-0", (0.01, 0.02, 0.02, 0.1), [HOME])
    late = hop(1, "math-1", (0.01, 0.02, 0.02, 0.3), [HOME])
    joined = hop(2, "math-2", (0.3, 0.31, 0.32, 0.4), ["math-0", "math-1"])
    end = [fractos_pb2.Arrival(source="math-2", frame_bytes=50)]
    trace = trace_of(described(JOIN, [early, late, joined], ended=0.45, home_arrivals=end))
    assert trace.critical_path == (1, 2)
    kinds = [(span.kind, span.step, round(span.duration_s, 3)) for span in trace.critical_spans]
    assert kinds == [
        ("start", 1, 0.01), ("wire", 1, 0.01), ("device", 1, 0.28),
        ("wire", 2, 0.01), ("wait", 2, 0.01), ("device", 2, 0.08), ("end", 2, 0.05),
    ]  # fmt: skip
    assert total(trace) == pytest.approx(trace.duration_s)
    messages = {(one.kind, one.source, one.from_step, one.to_step): (one.sent_at, one.received_at) for one in trace.messages}
    assert messages["request", "math-1", 1, 2] == (BEGAN + 0.3, BEGAN + 0.31)
    assert messages["request", "math-0", 0, 2] == (BEGAN + 0.1, None)
    assert messages["completion", "math-2", 2, None] == (BEGAN + 0.4, BEGAN + 0.45)
    assert trace.bill is not None
    assert trace.bill.total.hops == len(trace.messages)


def test_who_sent_last_counts_in_a_ring_not_who_was_done_last() -> None:
    slow_way = hop(0, "math-0", (0.01, 0.02, 0.02, 0.1), [HOME])
    done_later = hop(1, "math-1", (0.01, 0.02, 0.02, 0.2), [HOME])
    joined = hop(2, "math-2", (0.1, 0.5, 0.5, 0.6), ["math-1", "math-0"])
    trace = trace_of(described(JOIN, [slow_way, done_later, joined], ended=0.6))
    assert trace.critical_path == (0, 2)
    star = trace_of(described(JOIN, [slow_way, done_later, joined], ended=0.6, topology="star"))
    assert star.critical_path == (1, 2)


def test_what_was_lost_until_another_attempt_began_is_told_and_kept_steps_stay_in_theirs() -> None:
    sent = attempts((0.0, ""), (0.5, "the channel to math-1 broke"))
    kept = hop(0, "math-0", (0.01, 0.02, 0.02, 0.1), [HOME], attempt=1)
    again = hop(1, "math-2", (0.52, 0.53, 0.53, 0.6), ["math-0"], attempt=2)
    trace = trace_of(described(graph((0, 1), steps=2), [kept, again], ended=0.61, sent=sent))
    lost = [span for span in trace.critical_spans if span.kind == "lost"]
    assert [(span.step, round(span.duration_s, 3)) for span in lost] == [(1, 0.4)]
    assert total(trace) == pytest.approx(trace.duration_s)
    assert [step.hop and step.hop.attempt for step in trace.steps] == [1, 2]
    assert [(one.number, one.ended_at) for one in trace.attempts] == [(1, BEGAN + 0.5), (2, BEGAN + 0.61)]
    to_kept, to_again = trace.messages
    assert (to_kept.to_step, to_kept.sent_at, to_kept.received_at) == (0, None, None)  # when it came again nobody noted
    assert (to_again.from_step, to_again.sent_at) == (0, BEGAN + 0.52)


def test_clocks_that_differ_make_no_negative_time_and_are_named() -> None:
    first = hop(0, "math-0", (0.01, 0.02, 0.02, 0.1), [HOME])
    behind = hop(1, "math-1", (0.1, 0.06, 0.06, 0.09), ["math-0"])
    trace = trace_of(described(graph((0, 1), steps=2), [first, behind], ended=0.2))
    (difference,) = trace.clock_differences
    assert (difference.source, difference.target) == ("math-0", "math-1")
    assert difference.at_least_s == pytest.approx(0.04)
    assert trace.steps[1].hop is not None
    assert trace.steps[1].hop.wire_s == 0.0
    assert all(span.duration_s > 0 for span in trace.critical_spans)
    assert all(one.received_at is None or one.sent_at is None or one.received_at >= one.sent_at for one in trace.messages)


def test_a_run_under_way_has_no_end_and_no_bill() -> None:
    trace = trace_of(described(JOIN, sent=attempts((0.0, ""), (1.0, "math-0 died"))))
    assert (trace.state, trace.ended_at, trace.duration_s, trace.bill) == ("running", None, 10.0, None)
    assert trace.attempts[-1].ended_at is None
    assert {step.state for step in trace.steps} == {"open"}
    assert (trace.critical_path, trace.critical_spans, trace.messages) == ((), (), ())


def test_a_run_that_failed_before_any_hop_tells_what_failed() -> None:
    failure = fractos_pb2.Failure(status="NOT_FOUND", message="no", step=1, operation="math.power", node="math-0", attempt=1)
    trace = trace_of(described(JOIN, ended=0.1, failure=failure))
    assert [step.state for step in trace.steps] == ["open", "failed", "open"]
    assert trace.critical_path == (1,)
    assert [(span.kind, span.step) for span in trace.critical_spans] == [("end", 1)]


def test_a_failure_of_no_step_blames_none() -> None:
    failure = fractos_pb2.Failure(status="DEADLINE_EXCEEDED", message="the run did not end within 30 s", node=HOME)
    trace = trace_of(described(JOIN, [hop(0, "math-0", (0.01, 0.02, 0.02, 0.1), [HOME])], ended=30, failure=failure))
    assert trace.failure is not None
    assert trace.failure.step is None
    assert [step.state for step in trace.steps] == ["done", "open", "open"]
    assert trace.critical_path == (0,)


def test_memory_that_was_fetched_is_a_message_of_its_own() -> None:
    reader = hop(1, "math-1", (0.1, 0.11, 0.15, 0.2), ["math-0"])
    reader.arrivals.add(source="math-0", value_bytes=8_000_000)
    first = hop(0, "math-0", (0.01, 0.02, 0.02, 0.1), [HOME])
    trace = trace_of(described(graph((0, 1), steps=2), [first, reader], ended=0.2))
    (memory,) = (one for one in trace.messages if one.kind == "memory")
    assert (memory.source, memory.target, memory.bytes) == ("math-0", "math-1", 8_000_000)
    assert (memory.sent_at, memory.received_at) == (BEGAN + 0.11, BEGAN + 0.15)


def test_hops_are_shown_although_the_graph_is_not_known_any_more() -> None:
    trace = trace_of(described(fractos_pb2.Graph(), [hop(3, "math-0", (0.01, 0.02, 0.02, 0.1), [HOME])], ended=0.2))
    assert [(step.id, step.operation, step.state) for step in trace.steps] == [(3, "", "done")]
