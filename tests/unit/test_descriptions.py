"""What an application node lists of its runs, and when."""

from __future__ import annotations

import asyncio

import pytest

from Applications.Application_Controller.descriptions import MOST_LOTS, description_of, newest_runs, recalled
from protos import application_pb2, fractos_pb2
from Services.fractos.engine import Engine
from Services.fractos.events import FrameReceived, Submitted
from Services.fractos.records import EndedRun, Lot, RunRecord
from tests.unit.test_runs import NOW, RUN, application, completed, power, recorded, submitted

ANY = application_pb2.RUN_STATE_UNSPECIFIED


def listed(node: Engine, state: application_pb2.RunState = ANY) -> list[tuple[bytes, application_pb2.RunState]]:
    """The runs that a client without a name sees, of a node whose journal has no others."""

    async def look_through(before: int, client: str, state: application_pb2.RunState) -> Lot:
        return Lot([], None)

    assert node.runs is not None
    return [(run.run_id, run.state) for run in asyncio.run(newest_runs(node.runs, look_through, "", state, 10))]


def test_a_run_is_listed_once_it_is_accepted_and_runs_until_its_end_is_recorded() -> None:
    node = application()
    submitting = node.handle(submitted(power()), NOW)
    assert listed(node) == []
    recorded(node, submitting)
    assert listed(node) == [(RUN, application_pb2.RUNNING)]
    ending = node.handle(completed(), NOW)
    assert listed(node) == listed(node, application_pb2.RUNNING) == [(RUN, application_pb2.RUNNING)]
    assert listed(node, application_pb2.SUCCEEDED) == []
    recorded(node, ending)
    assert listed(node) == listed(node, application_pb2.SUCCEEDED) == [(RUN, application_pb2.SUCCEEDED)]
    assert listed(node, application_pb2.RUNNING) == []


def test_runs_are_listed_by_when_they_were_submitted() -> None:
    node = application()
    for number in range(4):
        request = application_pb2.SubmitRequest(run_id=bytes([number]) * 16, timeout_s=30, graph=power().serialized())
        recorded(node, node.handle(Submitted(request, number), NOW + number))
    for number in (2, 0):
        completion = fractos_pb2.Completion(run_id=bytes([number]) * 16, attempt=1)
        recorded(node, node.handle(FrameReceived(fractos_pb2.Frame(completion=completion)), NOW + 9))
    assert [run_id[0] for run_id, _ in listed(node)] == [3, 1, 2, 0]


def test_a_description_has_the_sizes_of_outputs_and_not_the_outputs() -> None:
    node = application()
    recorded(node, node.handle(submitted(power()), NOW))
    recorded(node, node.handle(completed(trail=[fractos_pb2.Hop(response_bytes=3, output=b"abc")]), NOW))
    assert node.runs is not None
    run = node.runs.find(RUN)
    assert run.result is not None
    record = RunRecord(RUN, b"", run.plan.outline, NOW, NOW, {}, result=run.result.SerializeToString())
    for described in (description_of(run), recalled(record)):
        assert list(described.result.trail) == [fractos_pb2.Hop(response_bytes=3)]
    assert run.result.trail[0].output == b"abc"  # what the client gets


@pytest.mark.parametrize(("behind", "limit", "names"), [(0, 3, 3), (MOST_LOTS - 1, 9, 5), (MOST_LOTS, 9, 0)])
def test_the_journal_is_looked_through_until_there_are_enough_or_it_was_much(behind: int, limit: int, names: int) -> None:
    ended = [EndedRun(bytes([number]), b"", 0, 0, 0, 1, application_pb2.FAILED, "", "ring") for number in range(5)]
    places = list(range(behind, -1, -1))

    async def look_through(before: int, client: str, state: application_pb2.RunState) -> Lot:
        assert (client, state) == ("me", application_pb2.FAILED)
        place = places.pop(0)
        return Lot([] if place else ended, place or None)

    runs = application().runs
    assert runs is not None
    found = asyncio.run(newest_runs(runs, look_through, "me", application_pb2.FAILED, limit))
    assert [run.run_id for run in found] == [record.run_id for record in ended[:names]]


def test_runs_that_ended_at_another_owner_meanwhile_are_listed_before_older_ones_of_this_one() -> None:
    node = application()
    for number in range(3):
        request = application_pb2.SubmitRequest(run_id=bytes([number]) * 16, timeout_s=30, graph=power().serialized())
        recorded(node, node.handle(Submitted(request, number), NOW + number))
        completion = fractos_pb2.Completion(run_id=bytes([number]) * 16, attempt=1)
        recorded(node, node.handle(FrameReceived(fractos_pb2.Frame(completion=completion)), NOW + 9))
    lots = [[9, 8, 2], [1, 7, 0], [6]]  # by their place in the journal; 7 and 6 began before 1

    async def look_through(before: int, client: str, state: application_pb2.RunState) -> Lot:
        times = {9: NOW + 9, 8: NOW + 8, 7: NOW + 0.5, 6: NOW - 1}
        runs = [
            EndedRun(bytes([number]) * 16, b"", times.get(number, NOW + number), 0, 0, 1, application_pb2.FAILED, "", "ring")
            for number in lots.pop(0)
        ]
        return Lot(runs, len(lots) or None)

    assert node.runs is not None
    found = asyncio.run(newest_runs(node.runs, look_through, "", ANY, 4))
    assert [run.run_id[0] for run in found] == [9, 8, 2, 1]
    assert lots == [[6]]  # no further than need be
