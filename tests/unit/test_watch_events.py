"""What a Watch tells of events that real nodes seldom have."""

from __future__ import annotations

import pytest

from protos import application_pb2, fractos_pb2
from Services.fractos.errors import UnavailableError
from Services.fractos.events import (
    CallDevice,
    DeviceDone,
    DropCalls,
    Effect,
    Event,
    Record,
    Recorded,
    RunEnded,
    TimerDue,
    WorkKey,
)
from Services.fractos.graph import default_catalogue
from Services.fractos.records import AttemptRecord, EndRecord, Entry, Inquiry, RunRecord
from Services.fractos.watching import MOST_WAITING, Kind, Watch

NO_DISK = UnavailableError("no disk")
RUN, OTHER = b"r" * 16, b"o" * 16
POWER = default_catalogue().get("math.power")


def told(watch: Watch, event: Event, *effects: Effect) -> list[fractos_pb2.NodeEvent]:
    return list(watch.told(event, effects, 10.0))


def begin(watch: Watch, key: WorkKey) -> None:
    assert POWER is not None
    assert not told(watch, TimerDue(), CallDevice(key, POWER, POWER.request_class(), 99.0))


def operation_of(watch: Watch, key: WorkKey) -> str:
    (done,) = told(watch, DeviceDone(key, None, None, 10.0, 11.0))
    return done.operation


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_calls_that_never_end_cost_no_other_its_name(watch: Watch) -> None:
    keys = [WorkKey(RUN, 1, step) for step in range(MOST_WAITING + 1)]
    for key in keys:
        begin(watch, key)
    assert [operation_of(watch, key) for key in (keys[0], keys[1], keys[-1])] == ["", "math.power", "math.power"]


def test_calls_that_are_dropped_are_forgotten(watch: Watch) -> None:
    for run in (RUN, OTHER):
        begin(watch, WorkKey(run, 1, 0))
    assert not told(watch, TimerDue(), DropCalls(frozenset({RUN})))
    assert [operation_of(watch, WorkKey(run, 1, 0)) for run in (RUN, OTHER)] == ["", "math.power"]


def test_a_run_is_told_of_once_it_is_recorded(watch: Watch) -> None:
    attempts = [fractos_pb2.Attempt(number=2, reason="math-0 died")]
    result = application_pb2.RunResult(run_id=RUN, attempt=2)
    accepted = RunRecord(RUN, b"", b"not even a graph", 10.0, 20.0, {}, name="a chain")
    repeated = AttemptRecord(RUN, 2, {}, application_pb2.RunResult(attempts=attempts).SerializeToString())
    entries: list[tuple[Entry, list[Effect], int, str]] = [
        (accepted, [], Kind.RUN_ACCEPTED, "a chain"),
        (repeated, [], Kind.RUN_REPEATED, "math-0 died"),
        (EndRecord(RUN, b"", False, 99.0), [RunEnded(result)], Kind.RUN_ENDED, "SUCCEEDED"),
    ]
    for entry, effects, kind, text in entries:
        assert not told(watch, TimerDue(), Record(entry))
        assert not told(watch, Recorded([entry], {}, NO_DISK))
        (event,) = told(watch, Recorded([entry], {}, None), *effects)
        assert (event.kind, event.run_id, event.operation or event.detail) == (kind, RUN, text)


def test_who_submits_or_asks_again_is_no_news(watch: Watch) -> None:
    result = application_pb2.RunResult(run_id=RUN)
    known = RunRecord(RUN, b"", b"", 10.0, 20.0, {}, result=result.SerializeToString())
    assert not told(watch, Recorded([Inquiry(RUN), known], {RUN: known}, None), RunEnded(result))
    assert not told(watch, TimerDue(), RunEnded(result))
