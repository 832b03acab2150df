"""W3C Trace Context: what counts as a traceparent, and the ids of a run's own span."""

from __future__ import annotations

import pytest
import xxhash

from protos import application_pb2, fractos_pb2
from Services.fractos.engine import Engine
from Services.fractos.events import Effect, Owned, Record, Recorded, SendFrame, Submitted
from Services.fractos.records import RunRecord
from Services.fractos.trace_context import TraceContext, parse, passed_on, span_of, valid
from tests.unit.test_runs import NOW, RUN, application, power

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CLIENT = f"00-{TRACE}-{SPAN}-01"
OF_RUN = f"00-{TRACE}-{(b'r' * 8).hex()}-01"


@pytest.mark.parametrize(
    ("written", "flags"),
    [
        (CLIENT, 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-ff", 3),  # flags that are not known are not passed on
        (f"cc-{TRACE}-{SPAN}-01", 1),  # a version to come
        (f"cc-{TRACE}-{SPAN}-01-what the future brings", 1),
        (f"cc-{TRACE}-{SPAN}-01-", 1),
    ],
)
def test_what_follows_the_specification_counts(written: str, flags: int) -> None:
    assert parse(written) == TraceContext(int(TRACE, 16), int(SPAN, 16), flags)
    assert valid(written) == f"00-{TRACE}-{SPAN}-{flags:02x}"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "00",
        CLIENT[:-1],
        f"{CLIENT}-",
        f"{CLIENT}-more",
        f"{CLIENT} ",
        f"{CLIENT}\n",
        CLIENT.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"0g-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00_{TRACE}_{SPAN}_01",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
    ],
)
def test_what_does_not_is_ignored(written: str) -> None:
    assert parse(written) is None
    assert not valid(written)
    assert valid(written, CLIENT) == CLIENT


def test_a_run_has_a_span_of_its_own_whose_ids_follow_from_its_id() -> None:
    run_id = bytes(range(1, 17))
    assert span_of(run_id, "") == TraceContext(xxhash.xxh3_128_intdigest(run_id), int.from_bytes(run_id[8:], "big"), 1)
    assert passed_on(f"00-{TRACE}-{SPAN}-00", run_id) == f"00-{TRACE}-090a0b0c0d0e0f10-00"
    assert parse(str(span_of(bytes(16), ""))) is not None  # of whatever id


def submit(node: Engine, traceparent: str) -> list[Effect]:
    request = application_pb2.SubmitRequest(run_id=RUN, graph=power().serialized(), traceparent=traceparent)
    return node.handle(Submitted(request, 1), NOW)


def sent(effects: list[Effect]) -> fractos_pb2.Request:
    (frame,) = [effect.frame for effect in effects if isinstance(effect, SendFrame)]
    return frame.request


def test_the_trace_travels_with_the_run_also_after_its_application_node_died() -> None:
    node = application()
    (record,) = [effect.entry for effect in submit(node, CLIENT) if isinstance(effect, Record)]
    assert isinstance(record, RunRecord)
    assert sent(node.handle(Recorded([record], {}, None), NOW)).traceparent == OF_RUN
    successor = application(epoch=0)
    effects = successor.handle(Owned(2, (record,)), NOW + 1)
    again = [effect.entry for effect in effects if isinstance(effect, Record)]
    request = sent(successor.handle(Recorded(list(again), {}, None), NOW + 1))
    assert (request.attempt, request.traceparent) == (2, OF_RUN)


def test_nothing_travels_for_a_client_without_a_trace() -> None:
    node = application()
    recorded = [effect.entry for effect in submit(node, "") if isinstance(effect, Record)]
    assert not sent(node.handle(Recorded(recorded, {}, None), NOW)).traceparent
