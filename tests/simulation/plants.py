"""Defects that are planted on purpose, to see that the simulator finds them. Each takes one precaution away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from protos import fractos_pb2
from Services.fractos.directory.interface import Member
from Services.fractos.engine import Engine
from Services.fractos.events import CancelAsked, LinkLost, RunEnded, Submitted
from Services.fractos.ledger import Ledger
from Services.fractos.run import Run
from Services.fractos.runs import Runs
from tests.simulation.centre_plants import (
    gather_across_attempts,
    ignore_departures,
    keep_what_was_brought,
    wait_for_one_of_all,
)
from tests.simulation.disks import Change, Folder, Journal
from tests.simulation.memory_plants import (
    check_before_the_merge,
    fail_where_memory_is_lost,
    forget_the_digest,
    free_no_memory,
    ignore_revocations,
    keep_answers_of_ended_runs,
    let_anybody_read,
    remember_what_did_not_begin,
    replaced,
    skip_the_capability_check,
)

if TYPE_CHECKING:
    from tests.simulation.world import World


def _leave(engine: Engine) -> None:
    """Change nothing in an engine."""


def _leave_disks(world: World) -> None:
    """Change nothing on the disks."""


@dataclass(frozen=True)
class Plant:
    """A defect. The one without a name is none."""

    name: str = ""
    seed: int = 0  # one that finds it
    spoil: Callable[[Engine], None] = _leave
    spoil_disks: Callable[[World], None] = _leave_disks

    def make_engine(self, *args: Any, **options: Any) -> Engine:
        """An engine, with the defect if it is one of the engine."""
        engine = Engine(*args, **options)
        self.spoil(engine)
        return engine


NO_PLANT = Plant()


def _in_runs(spoil: Callable[[Runs], None]) -> Callable[[Engine], None]:
    """The change of an application node's runs as one of the engine."""

    def change(engine: Engine) -> None:
        if engine.runs is not None:
            spoil(engine.runs)

    return change


# -- the journal of runs ------------------------------------------------------------------------------------------------------


def _acknowledge_before_recording(runs: Runs) -> None:
    def admit(original: Callable[..., None], submitted: Submitted, now: float) -> None:
        original(submitted, now)
        runs._accept(runs._running[submitted.request.run_id])

    replaced(runs, "_admit", admit)


def _tell_before_recording_the_end(runs: Runs) -> None:
    def record_end(original: Callable[..., None], run: Run) -> None:
        assert run.result is not None
        runs._emit(RunEnded(run.result))
        original(run)

    replaced(runs, "_record_end", record_end)


def _forget_the_attempt(world: World) -> None:
    def update(original: Callable[..., None], node: Any, entry: Any) -> None:
        if hasattr(entry, "result"):
            original(node, entry)

    replaced(world.disks.journal, "_update", update)


def _leave_the_unfinished(runs: Runs) -> None:
    runs._resume = lambda record, now: None  # type: ignore[method-assign]


def _no_resubmission_dedup(engine: Engine) -> None:
    if engine.runs is None:
        return
    runs = engine.runs

    runs._ended.get = lambda run_id: None  # type: ignore[method-assign]


def _insert_or_replace(world: World) -> None:
    def commit(original: Callable[..., Any], node: Any, entries: Any) -> Any:
        for entry in entries:
            if hasattr(entry, "graph"):
                journal.rows.pop(entry.run_id, None)
        return original(node, entries)

    journal: Journal = world.disks.journal
    replaced(journal, "commit", commit)


def _anybody_may_cancel(engine: Engine) -> None:
    def on_cancel_asked(original: Callable[..., None], event: CancelAsked, now: float) -> None:
        original(event._replace(client=""), now)

    if engine.runs is not None:
        engine._handlers[CancelAsked] = partial(on_cancel_asked, engine._handlers[CancelAsked])


# -- attempts -----------------------------------------------------------------------------------------------------------------


def _accept_completions_of_any_attempt(runs: Runs) -> None:
    def on_completion(original: Callable[..., None], completion: fractos_pb2.Completion, *rest: Any) -> None:
        run = runs._running.get(completion.run_id)
        if run is not None:
            completion.attempt = run.attempt
        original(completion, *rest)

    replaced(runs, "on_completion", on_completion)


def _retry_unrepeatable(runs: Runs) -> None:
    def place(original: Callable[..., Any], run: Run, step: fractos_pb2.Step, now: float) -> Any:
        if step.id in run.plan.unrepeatable:
            run.placed.pop(step.id, None)
        return original(run, step, now)

    replaced(runs._attempts, "_place", place)


def _drop_unknown_frames(engine: Engine) -> None:
    def on_link_lost(original: Callable[..., None], event: LinkLost, now: float) -> None:
        original(event._replace(unknown=[]), now)

    engine._handlers[LinkLost] = partial(on_link_lost, engine._handlers[LinkLost])


# -- the ledger ---------------------------------------------------------------------------------------------------------------


def _no_tombstone(engine: Engine) -> None:
    ledger = engine.ledger

    def finish(run_id: bytes, deadline: float) -> None:
        ledger._drop(ledger._runs.pop(run_id, None))

    ledger.finish = finish  # type: ignore[method-assign]


def _no_input_digest(engine: Engine) -> None:
    ledger = engine.ledger

    def begin(original: Callable[..., Any], run_id: bytes, attempt: int, step_id: int, inputs: bytes) -> Any:
        return original(run_id, attempt, step_id, b"")

    replaced(ledger, "begin", begin)


def _joins_across_attempts(engine: Engine) -> None:
    ledger: Ledger = engine.ledger

    def admit(original: Callable[..., Any], request: fractos_pb2.Request) -> Any:
        run = ledger._runs.get(request.run_id)
        joins = dict(run.joins) if run is not None else {}
        if run is not None and request.attempt > run.attempt:
            run.attempt = request.attempt
            run.joins = joins
        return original(request)

    replaced(ledger, "admit", admit)


def _do_every_attempt(engine: Engine) -> None:
    ledger: Ledger = engine.ledger

    def begin(original: Callable[..., Any], run_id: bytes, attempt: int, step_id: int, inputs: bytes) -> Any:
        run = ledger._runs[run_id]
        assert run is not None
        run.steps.pop(step_id, None)
        return original(run_id, attempt, step_id, inputs)

    replaced(ledger, "begin", begin)


# -- the end of runs ----------------------------------------------------------------------------------------------------------


def _leak_a_reservation(runs: Runs) -> None:
    def forget(original: Callable[..., None], run: Run) -> None:
        if run.result is not None and run.result.failure.status == "CANCELLED":
            runs._admission.reserve_anyway(run.plan.steps_by_type, run.plan.size_bytes)
        original(run)

    replaced(runs, "_forget", forget)


def _finished_to_last_trail_only(runs: Runs) -> None:
    farewell = runs._farewell

    def may_hold(run: Run) -> list[Member]:
        assert run.result is not None
        names = dict.fromkeys(hop.node for hop in run.result.trail)
        return [member for name in names if (member := farewell._placement.named(name))]

    farewell._may_hold = may_hold  # type: ignore[method-assign]


# -- ownership ----------------------------------------------------------------------------------------------------------------


def _serve_before_the_lock(engine: Engine) -> None:
    def ask(original: Callable[[], None]) -> None:
        original()
        engine.tenure.epoch = 1

    replaced(engine.tenure, "ask", ask)


def _keep_what_is_held(engine: Engine) -> None:
    def settle(original: Callable[..., Any]) -> Any:
        original()
        return []

    replaced(engine.tenure, "_settle", settle)


def _keep_no_channels_for_runs(runs: Runs) -> None:
    runs.links.use = lambda members, deadline: None  # type: ignore[method-assign]


def _skip_recovery(world: World) -> None:
    folder: Folder = world.disks.folder

    def settled(step_key: str) -> Change | None:
        return folder.changes[step_key]

    folder.settled = settled  # type: ignore[method-assign]


def _forget_changes(world: World) -> None:
    world.disks.folder.find = lambda step_key, path, what: None  # type: ignore[method-assign]


PLANTS = {
    plant.name: plant
    for plant in (
        NO_PLANT,
        Plant("acknowledge-before-recording", 0, _in_runs(_acknowledge_before_recording)),
        Plant("tell-before-recording-the-end", 0, _in_runs(_tell_before_recording_the_end)),
        Plant("forget-the-attempt", 1187, spoil_disks=_forget_the_attempt),
        Plant("leave-the-unfinished", 0, _in_runs(_leave_the_unfinished)),
        Plant("no-resubmission-dedup", 0, _no_resubmission_dedup, _insert_or_replace),
        Plant("accept-completions-of-any-attempt", 1811, _in_runs(_accept_completions_of_any_attempt)),
        Plant("retry-unrepeatable", 62, _in_runs(_retry_unrepeatable)),
        Plant("drop-unknown-frames", 2556, _drop_unknown_frames),
        Plant("no-tombstone", 6, _no_tombstone),
        Plant("no-input-digest", 25, _no_input_digest),
        Plant("joins-across-attempts", 2204, _joins_across_attempts),
        Plant("do-every-attempt", 28, _do_every_attempt),
        Plant("skip-the-capability-check", 2, skip_the_capability_check),
        Plant("check-before-the-merge", 10, check_before_the_merge),
        Plant("ignore-revocations", 2, ignore_revocations),
        Plant("let-anybody-read", 179, let_anybody_read),
        Plant("free-no-memory", 0, free_no_memory),
        Plant("forget-the-digest", 583, forget_the_digest),
        Plant("fail-where-memory-is-lost", 528, fail_where_memory_is_lost),
        Plant("remember-what-did-not-begin", 86, remember_what_did_not_begin),
        Plant("keep-answers-of-ended-runs", 194, keep_answers_of_ended_runs),
        Plant("anybody-may-cancel", 6, _anybody_may_cancel),
        Plant("leak-a-reservation", 1, _in_runs(_leak_a_reservation)),
        Plant("finished-to-last-trail-only", 5, _in_runs(_finished_to_last_trail_only)),
        Plant("gather-across-attempts", 28, _in_runs(gather_across_attempts)),
        Plant("wait-for-one-of-all", 1, _in_runs(wait_for_one_of_all)),
        Plant("keep-what-was-brought", 6, _in_runs(keep_what_was_brought)),
        Plant("ignore-departures", 474, _in_runs(ignore_departures)),
        Plant("keep-no-channels-for-runs", 32, _in_runs(_keep_no_channels_for_runs)),
        Plant("serve-before-the-lock", 0, _serve_before_the_lock),
        Plant("keep-what-is-held", 2252, _keep_what_is_held),
        Plant("skip-redo-recovery", 58, spoil_disks=_skip_recovery),
        Plant("forget-changes", 35, spoil_disks=_forget_changes),
    )
}
