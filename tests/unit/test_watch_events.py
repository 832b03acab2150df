"""What a Watch tells of events that real nodes seldom have."""

from __future__ import annotations

import pytest

from protos import fractos_pb2
from Services.fractos.events import CallDevice, DeviceDone, DropCalls, Effect, Event, TimerDue, WorkKey
from Services.fractos.graph import default_catalogue
from Services.fractos.watching import MOST_WAITING, Watch

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
