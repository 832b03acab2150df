"""What an application node says of its runs: those that it knows itself, and those that only its journal does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import islice

from protos import application_pb2, fractos_pb2
from Services.fractos.records import EndedRun, RunRecord
from Services.fractos.run import Run, is_for, state_of
from Services.fractos.runs import Runs

DEFAULT_LIST_LIMIT = 100
MOST_LISTED = 10_000
PAGE = 100  # records of the journal that are read at once, in some 0.5 ms
MOST_PAGES = 100  # that one list reads
_HIGHEST = b"\xff" * 17  # above every id

Recall = Callable[[bytes, int], Awaitable[list[EndedRun]]]


async def newest_runs(
    runs: Runs, recall: Recall, client: str, state: application_pb2.RunState, limit: int
) -> list[application_pb2.RunInfo]:
    """Up to `limit` runs of a client in that state, or in any: those in flight, those that ended lately, those of the journal.

    Each the newest first. `recall` reads the journal.
    """
    found = list(runs.newest(client))  # while the journal is read they go on
    listed = [_info(run) for run in islice((run for run in found if state in (0, run.state)), limit)]
    if len(listed) == limit or state == application_pb2.RUNNING:
        return listed
    known = {run.run_id for run in found}
    async for record in _older(recall):
        if record.run_id in known or not is_for(record.client, client):
            continue
        info = _recalled_info(record)
        if state in (0, info.state):
            listed.append(info)
        if len(listed) == limit:
            break
    return listed


async def _older(recall: Recall) -> AsyncIterator[EndedRun]:
    """The newest records of the journal, in small lots: runs go on meanwhile."""
    before = _HIGHEST
    for _ in range(MOST_PAGES):
        page = await recall(before, PAGE)
        for record in page:
            yield record
        if len(page) < PAGE:
            return
        before = page[-1].run_id
        await asyncio.sleep(0)


def _recalled_info(record: EndedRun) -> application_pb2.RunInfo:
    graph = fractos_pb2.Graph.FromString(record.outline)
    return application_pb2.RunInfo(
        run_id=record.run_id,
        name=graph.name,
        state=record.state or (application_pb2.FAILED if record.failed else application_pb2.SUCCEEDED),
        submitted_at=record.submitted_at,
        deadline=record.deadline,
        ended_at=record.ended_at,
        steps=len(graph.steps),
        attempt=record.attempt,
        client=record.client,
        topology=record.topology,
    )


def _info(run: Run) -> application_pb2.RunInfo:
    return application_pb2.RunInfo(
        run_id=run.run_id,
        name=run.plan.name,
        state=run.state,
        submitted_at=run.submitted_at,
        deadline=run.deadline,
        ended_at=run.result.ended_at if run.result is not None and run.ended_at else 0.0,
        steps=run.plan.step_count,
        attempt=run.attempt,
        client=run.client,
        topology=run.plan.topology,
    )


def description_of(run: Run) -> application_pb2.RunDescription:
    """All that this node knows of a run but its outputs."""
    result = run.result if run.ended_at else None  # before that nobody is told
    return _without_outputs(
        application_pb2.RunDescription(info=_info(run), graph=run.plan.outline, result=result, attempts=run.attempts)
    )


def recalled(record: RunRecord) -> application_pb2.RunDescription:
    """The same for a run that has ended, from the journal."""
    assert record.result is not None
    result = application_pb2.RunResult.FromString(record.result)
    graph = fractos_pb2.Graph.FromString(record.graph)
    info = application_pb2.RunInfo(
        run_id=record.run_id,
        name=graph.name,
        state=state_of(result),
        submitted_at=record.submitted_at,
        deadline=record.deadline,
        ended_at=result.ended_at,
        steps=len(graph.steps),
        attempt=record.attempt,
        client=record.client,
        topology=record.topology,
    )
    return _without_outputs(
        application_pb2.RunDescription(info=info, graph=record.graph, result=result, attempts=result.attempts)
    )


def _without_outputs(described: application_pb2.RunDescription) -> application_pb2.RunDescription:
    """They are the client's, and may have more bytes than who looks at a run can receive; their sizes stay."""
    for hop in described.result.trail:
        hop.ClearField("output")
    return described
