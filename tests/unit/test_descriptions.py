"""What an application node lists of its runs, and when."""

from __future__ import annotations

import asyncio

from Applications.Application_Controller.descriptions import description_of, newest_runs, recalled
from protos import application_pb2, fractos_pb2
from Services.fractos.engine import Engine
from Services.fractos.records import EndedRun, RunRecord
from tests.unit.test_runs import NOW, RUN, application, completed, power, recorded, submitted

ANY = application_pb2.RUN_STATE_UNSPECIFIED


def listed(node: Engine, state: application_pb2.RunState = ANY) -> list[tuple[bytes, application_pb2.RunState]]:
    """The runs that a client without a name sees, of a node whose journal has no others."""

    async def recall(before: bytes, limit: int) -> list[EndedRun]:
        return []

    assert node.runs is not None
    return [(run.run_id, run.state) for run in asyncio.run(newest_runs(node.runs, recall, "", state, 10))]


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
