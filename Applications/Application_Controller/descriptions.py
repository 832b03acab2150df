"""What an application node says of its runs: those that it knows itself, and those that only its journal does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice

from protos import application_pb2, fractos_pb2
from Services.fractos.records import NEWEST, EndedRun, Lot, RunRecord
from Services.fractos.run import Run, state_of
from Services.fractos.runs import Runs

DEFAULT_LIST_LIMIT = 100
MOST_LISTED = 10_000
MOST_LOTS = 200  # of the journal that one list looks through: 20,000 records, in 7 ms if none is the client's

LookThrough = Callable[[int, str, application_pb2.RunState], Awaitable[Lot]]


async def newest_runs(
    runs: Runs, look_through: LookThrough, client: str, state: application_pb2.RunState, limit: int
) -> list[application_pb2.RunInfo]:
    """Up to `limit` runs of a client in that state, or in any: those in flight, those that ended, each the newest first.

    `look_through` reads the journal, which holds newer ones than this node knows if another one owned it meanwhile.
    """
    found = runs.newest(client)
    listed = [_info(run) for run in islice((run for run in found if state in (0, run.state)), limit)]
    if state == application_pb2.RUNNING:
        return listed
    known = {run.run_id for run in found}
    before: int | None = NEWEST
    for _ in range(MOST_LOTS):
        if before is None:
            break
        lot = await look_through(before, client, state)
        listed += [_recalled_info(record) for record in lot.ended if record.run_id not in known]
        listed = sorted(listed, key=lambda run: (run.state != application_pb2.RUNNING, -run.submitted_at))[:limit]
        if len(listed) == limit and lot.ended and lot.ended[-1].submitted_at <= listed[-1].submitted_at:
            break
        before = lot.first
        await asyncio.sleep(0)  # runs go on meanwhile
    return listed


def _recalled_info(record: EndedRun) -> application_pb2.RunInfo:
    graph = fractos_pb2.Graph.FromString(record.outline)
    return application_pb2.RunInfo(
        run_id=record.run_id,
        name=graph.name,
        state=record.state,
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
    ended = EndedRun(
        record.run_id,
        record.graph,
        record.submitted_at,
        record.deadline,
        result.ended_at,
        record.attempt,
        state_of(result),
        record.client,
        record.topology,
    )
    return _without_outputs(
        application_pb2.RunDescription(info=_recalled_info(ended), graph=record.graph, result=result, attempts=result.attempts)
    )


def _without_outputs(described: application_pb2.RunDescription) -> application_pb2.RunDescription:
    """They are the client's, and may have more bytes than who looks at a run can receive; their sizes stay."""
    for hop in described.result.trail:
        hop.ClearField("output")
    return described
