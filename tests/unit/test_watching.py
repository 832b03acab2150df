"""Who watches may ask for a share of the runs: it is then told of whole runs, at all nodes the same ones."""

from __future__ import annotations

from protos import application_pb2, fractos_pb2
from Services.fractos.events import Effect, Event, FrameReceived, Recorded
from Services.fractos.records import AttemptRecord
from Services.fractos.run_id import RANDOM_BYTES, time_ordered_id
from Services.fractos.watching import Watch

RUNS = [time_ordered_id(1, number.to_bytes(RANDOM_BYTES, "big")) for number in range(1, 401)]
Kind = fractos_pb2.NodeEvent


def told(watch: Watch, event: Event, effects: list[Effect]) -> list[fractos_pb2.NodeEvent]:
    return list(watch.told(event, effects, 1.0))


def request(run: bytes) -> Event:
    step = fractos_pb2.Step(id=1, operation="math.power")
    return FrameReceived(fractos_pb2.Frame(request=fractos_pb2.Request(run_id=run, steps=[step])), "math-1", 99)


def completion(run: bytes) -> Event:
    return FrameReceived(fractos_pb2.Frame(completion=fractos_pb2.Completion(run_id=run)), "math-0", 99)


def test_a_share_is_of_whole_runs_and_the_same_at_all_nodes() -> None:
    here, there = Watch(one_of=4), Watch(one_of=4)
    sent = {run for run in RUNS if told(here, request(run), [])}
    came = {run for run in RUNS if told(there, completion(run), [])}
    assert sent == came
    assert len(sent) == 100
    for everything in (Watch(), Watch(one_of=0)):
        assert all(told(everything, request(run), []) for run in RUNS)


def test_further_attempts_are_told_of_all_runs() -> None:
    attempts = [fractos_pb2.Attempt(number=2, reason="math-0 died")]
    repeated = [
        AttemptRecord(run, 2, {}, application_pb2.RunResult(attempts=attempts).SerializeToString()) for run in RUNS[:50]
    ]
    for record in repeated:
        (event,) = told(Watch(one_of=1000), Recorded([record], {}, None), [])
        assert (event.kind, event.detail) == (Kind.RUN_REPEATED, "math-0 died")
