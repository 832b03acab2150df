"""The runs that have their home at this application node: admitted here, started here, answered here once. Pure.

Between the first Requests and the last Completions nothing of a run passes through here: the nodes hand it on themselves. What
somebody relies on is recorded first: a run before it is acknowledged, its end before anyone is told.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from itertools import chain
from typing import Any

from protos import application_pb2, fractos_pb2
from Services.fractos.admission import Admission
from Services.fractos.attempts import Attempts
from Services.fractos.centre import Centre
from Services.fractos.directory.interface import Member
from Services.fractos.ended_runs import KEPT, EndedRuns
from Services.fractos.errors import (
    Context,
    DeadlineExceededError,
    FractosError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    RunCancelledError,
    failure_of,
)
from Services.fractos.events import (
    Accepted,
    CancelAsked,
    Effect,
    FreeMemory,
    Log,
    MemoryBrought,
    Owned,
    Record,
    Recorded,
    Refused,
    RunEnded,
    Submitted,
)
from Services.fractos.farewell import Farewell
from Services.fractos.ledger import Ledger
from Services.fractos.limits import Limits
from Services.fractos.links import Links
from Services.fractos.operations import Catalogue
from Services.fractos.placement import Identity, Placement
from Services.fractos.plan import check_timeout, digest_of
from Services.fractos.plans import Plans, is_shared
from Services.fractos.records import AttemptRecord, EndRecord, Entry, Inquiry, Place, RunRecord
from Services.fractos.reports import log_of
from Services.fractos.run import Run, check_same, is_for
from Services.fractos.schedule import Schedule
from Services.fractos.topology import RING, STAR, check_topology

DEFAULT_TIMEOUT_S = 30.0
RECORD_AGAIN_S = 0.5  # how often what the journal did not take is tried again
STOPPED = {DeadlineExceededError.status, RunCancelledError.status}


class Runs:
    """The table of runs of one application node."""

    def __init__(
        self,
        identity: Identity,
        catalogue: Catalogue,
        placement: Placement,
        ledger: Ledger,
        limits: Limits,
        emit: Callable[[Effect], None],
    ) -> None:
        self._identity = identity
        self._catalogue = catalogue
        self._placement = placement
        self._ledger = ledger
        self._limits = limits
        self._emit = emit
        self._admission = Admission(limits.steps_per_type, limits.graph_bytes)
        self.links = Links(placement, catalogue.node_types, limits.links_per_type, emit)
        self._attempts = Attempts(identity, placement, self.links, emit, self._end_with)
        self._centre = Centre(identity, catalogue, placement, self._attempts, emit, self._end_with)
        self._farewell = Farewell(placement, self.links, emit)
        self._plans = Plans(catalogue)
        self._running: dict[bytes, Run] = {}  # with those whose acceptance or end is being recorded
        self._ended = EndedRuns()
        self._deadlines: Schedule[bytes] = Schedule(tick_s=0.02)
        self._unrecorded: deque[Entry] = deque()
        self._record_again_at = math.inf
        self.ended = self.failed = 0  # since the start; those that failed are among those that ended

    # -- questions --------------------------------------------------------------------------------------------------------

    def find(self, run_id: bytes, client: str = "") -> Run:
        """Return a client's run that is running or ended lately. Raises NotFoundError; also while it is not accepted yet."""
        run = self._running.get(run_id) or self._ended.get(run_id)
        if run is None or run.tickets or not is_for(run.client, client):
            raise NotFoundError(
                f"run {run_id.hex() or '(no id)'} is not known here; the last {KEPT} that ended are", field="run_id"
            )
        return run

    def newest(self, client: str = "") -> list[Run]:
        """A client's accepted runs: those in flight, then those that ended lately, each the last submitted first."""
        known = chain(self._running.values(), self._ended.newest_first())
        found = (run for run in known if not run.tickets and is_for(run.client, client))
        return sorted(found, key=lambda run: (run.ended_at > 0, -run.submitted_at))

    def in_flight(self) -> int:
        """How many runs have not ended."""
        return len(self._running)

    def reserved(self) -> int:
        """How many steps hold a reservation."""
        return self._admission.reserved()

    @property
    def next_due(self) -> float:
        """When `on_timer_due` has something to do."""
        return min(
            self._deadlines.next_due,
            self._attempts.due.next_due,
            self.links.next_due,
            self._farewell.next_due,
            self._record_again_at,
        )

    # -- events -----------------------------------------------------------------------------------------------------------

    def on_owned(self, event: Owned, now: float) -> None:
        """Take the journal over: have the runs go on that it holds unfinished."""
        for record in event.stopped:
            self._farewell.add_stopped(record.run_id, record.deadline, now)
        for record in event.unfinished:
            self._resume(record, now)

    def on_submitted(self, event: Submitted, now: float) -> None:
        """Admit a run, to be started once it is recorded, or refuse it. One that is known is not begun twice."""
        request, ticket, client = event
        run_id = request.run_id
        run = self._running.get(run_id) or self._ended.get(run_id)
        try:
            if run is None:
                self._admit(event, now)
                return
            check_same(run_id, (run.client, run.plan.digest), (client, _digest(request)))
        except FractosError as error:
            # It may have been accepted, and answered, long ago; another graph that still waits for the journal proves nothing.
            if (run is None or run.tickets) and len(run_id) == 16:
                self._emit(Record(Inquiry(run_id, _digest(request), ticket, error, client)))
            else:
                self._emit(Refused(run_id, ticket, error))
            return
        if run.tickets:
            run.tickets.append(ticket)
            return
        self._emit(Accepted(run_id, ticket))
        if run.ended_at:
            assert run.result is not None
            self._emit(RunEnded(run.result))

    def on_recorded(self, event: Recorded, now: float) -> None:
        """Go on with what had to be in the journal first."""
        for entry in event.entries:
            if event.error is not None:
                self._not_recorded(entry, event.error, now)
                continue
            if isinstance(entry, Inquiry):
                self._answer_inquiry(entry, event.known.get(entry.run_id))
                continue
            run = self._running.get(entry.run_id)
            if run is None:
                continue
            if isinstance(entry, EndRecord):
                if run.result is not None:
                    self._conclude(run, now)
            elif isinstance(entry, RunRecord) and entry.run_id in event.known:
                self._answer_known(run, event.known[entry.run_id])
            else:
                is_over_early = bool(run.tickets) and run.result is not None
                self._accept(run)
                if is_over_early:
                    self._record_end(run)
                elif run.result is None and run.attempt == entry.attempt:
                    self._attempts.send(run, now)

    def on_completion(self, completion: fractos_pb2.Completion, arrival: dict[str, Any] | None, now: float) -> None:
        """Count a step that was the last of its branch; end the run when it was the last of all, or failed.

        `arrival` is what the Completion is in the run's bill; None: it did not travel.
        """
        owner = completion.owner if completion.lost else None
        news = owner is not None and self._placement.learn(owner.address, owner.epoch)
        if news:
            self.links.refresh()
        run = self._running.get(completion.run_id)
        if run is None or completion.attempt != run.attempt or run.result is not None or run.tickets:
            return  # with tickets: nothing of it has been sent from here yet
        if arrival is not None and run.awaits(completion):
            run.arrivals.append(arrival)
        run.add_trail(completion.trail)
        if completion.lost:
            self._attempts.repeat_soon(run, completion.failure.message, now, at_once=news)
            return
        if completion.HasField("failure"):
            self._end(run, now, completion.failure)
            return
        if completion.HasField("reply") and run.awaits(completion):
            self._centre.take(run, completion, now)
        run.pending.discard(completion.step)
        if not run.pending:
            self._end(run, now, None)

    def on_memory_brought(self, event: MemoryBrought, now: float) -> None:
        """Have a star go on whose values have come here; free them if it has ended meanwhile."""
        run = self._running.get(event.key.run_id)
        if run is None or run.result is not None:
            self._emit(FreeMemory((event.key.run_id,)))
        elif event.key.attempt == run.attempt:
            self._centre.on_memory_brought(run, event, now)

    def on_cancel_asked(self, event: CancelAsked, now: float) -> None:
        """End a run because its client wants it."""
        run = self._running.get(event.run_id)
        if run is not None and is_for(run.client, event.client):
            self._end_with(run, RunCancelledError("the run was cancelled", definite=False), now)

    def on_link_opened(self, address: str, now: float) -> None:
        """Tell a node again what it may have missed."""
        self._farewell.tell_again(address, now)

    def on_link_lost(self, member: Member, now: float, *, opened: bool) -> None:
        """Try the channel again; repeat the runs that may have been at the node, unless that was done before."""
        self.links.on_lost(member.address, now, opened=opened)
        if opened or not self._placement.is_at(member.address):
            self._repeat_at(member, f"the channel to {member.name} broke, and it may have held a part of this run", now)

    def on_departed(self, member: Member, now: float) -> None:
        """Repeat the runs that may have been at a node that is gone: its channel broke, and it is listed no more."""
        self._repeat_at(member, f"{member.name} died or was stopped, and may have held a part of this run", now)

    def _repeat_at(self, member: Member, trouble: str, now: float) -> None:
        place = Place(member.name, member.id)
        for run in list(self._running.values()):
            has_begun = run.result is None and not run.tickets
            if has_begun and (run.plan.may_visit(member) or place in run.placed.values()):
                self._attempts.repeat_soon(run, trouble, now)

    def on_timer_due(self, now: float) -> None:
        """End the runs whose deadline has passed; do whatever had to wait."""
        for run_id in self._deadlines.pop_due(now):
            if run := self._running.get(run_id):
                limit = run.deadline - run.submitted_at
                self._end_with(run, DeadlineExceededError(f"the run did not end within {limit:g} s", definite=False), now)
        for run_id in self._attempts.due.pop_due(now):
            run = self._running.get(run_id)
            if run is not None and run.result is None and run.repeat_until:
                self._attempts.repeat(run, now)
        self.links.on_timer_due(now)
        if self._record_again_at <= now:
            self._record_again_at = math.inf
            while self._unrecorded:
                self._emit(Record(self._unrecorded.popleft()))
        if self._farewell.next_due <= now:
            self._farewell.flush()

    # -- a run's way ------------------------------------------------------------------------------------------------------

    def _admit(self, submitted: Submitted, now: float) -> None:
        request, ticket, client = submitted
        if len(request.run_id) != 16:
            raise InvalidArgumentError(f"run_id has {len(request.run_id)} bytes, not 16", field="run_id")
        self._ledger.check_room()
        topology = check_topology(request.topology)
        timeout_s = request.timeout_s or DEFAULT_TIMEOUT_S
        check_timeout(timeout_s)
        run = Run(request.run_id, self._plans.of(request.graph, topology), now, now + timeout_s, client, tickets=[ticket])
        run.traceparent = request.traceparent
        self._attempts.place(run, now)
        self._admission.reserve(run.plan.steps_by_type, run.plan.size_bytes, timeout_s, now)
        self._running[run.run_id] = run
        self._deadlines.add(run.run_id, run.deadline)
        run.begin_attempt(self._identity.name, now)
        record = RunRecord(run.run_id, run.plan.digest, request.graph, now, run.deadline, dict(run.placed), name=run.plan.name)
        self._emit(Record(record._replace(client=client, topology=topology, attempts=run.recorded_attempts())))

    def _resume(self, record: RunRecord, now: float) -> None:
        """Have a run go on that the journal holds unfinished; end it if it is a graph that today's protos do not admit."""
        try:
            plan = self._plans.of(record.graph, record.topology)
        except FractosError as error:
            self._emit(Log(logging.ERROR, f"a run of the journal cannot go on: {error}", record.run_id, record.attempt))
            failure = failure_of(error, self._here(record.attempt))
            result = application_pb2.RunResult(run_id=record.run_id, failure=failure, ended_at=now).SerializeToString()
            end = EndRecord(record.run_id, result, True, self._forget_at(record.deadline))
            self._emit(Record(end._replace(state=application_pb2.FAILED, ended_at=now)))
            return
        run = Run(record.run_id, plan, record.submitted_at, record.deadline, record.client, placed=dict(record.placed))
        run.attempt = run.first_attempt = record.attempt
        run.recall_attempts(record.attempts)
        self._running[run.run_id] = run
        self._admission.reserve_anyway(plan.steps_by_type, plan.size_bytes)
        self._deadlines.add(run.run_id, run.deadline)
        if now < run.deadline:
            self._attempts.resume(run, now)

    def _accept(self, run: Run) -> None:
        """Tell all who submitted a run that it is recorded."""
        tickets, run.tickets = run.tickets, []
        for ticket in tickets:
            self._emit(Accepted(run.run_id, ticket))

    def _answer_known(self, run: Run, known: RunRecord) -> None:
        """Answer a run that the journal had already: it was submitted before, and has ended."""
        self._forget(run)
        refusal = InternalError(f"run {run.run_id.hex()} is in the journal and has not ended, but is not under way")
        for ticket in run.tickets:
            self._answer_inquiry(Inquiry(run.run_id, run.plan.digest, ticket, refusal, run.client), known)

    def _answer_inquiry(self, inquiry: Inquiry, known: RunRecord | None) -> None:
        """Answer a submission with the end that the journal knows; refuse it if it knows none."""
        error = inquiry.refusal
        if known is not None:
            try:
                check_same(inquiry.run_id, (known.client, known.digest), (inquiry.client, inquiry.digest))
            except FractosError as different:
                error, known = different, None
        if known is not None and known.result is not None:
            self._emit(Accepted(inquiry.run_id, inquiry.ticket))
            self._emit(RunEnded(application_pb2.RunResult.FromString(known.result)))
        else:
            assert error is not None
            self._emit(Refused(inquiry.run_id, inquiry.ticket, error))

    def _not_recorded(self, entry: Entry, error: FractosError, now: float) -> None:
        """Refuse a run that cannot be recorded. What concerns a run that was accepted is tried until it can be."""
        run = self._running.get(entry.run_id)
        if isinstance(entry, Inquiry):
            self._answer_inquiry(entry, None)
        elif isinstance(entry, RunRecord) and run is not None:
            self._forget(run)
            for ticket in run.tickets:
                self._emit(Refused(run.run_id, ticket, error))
        elif isinstance(entry, (AttemptRecord, EndRecord)):
            self._unrecorded.append(entry)
            self._record_again_at = min(self._record_again_at, now + RECORD_AGAIN_S)

    def _end_with(self, run: Run, error: FractosError, now: float) -> None:
        self._end(run, now, failure_of(error, self._here(run.attempt)))

    def _end(self, run: Run, now: float, failure: fractos_pb2.Failure | None) -> None:
        """Settle how a run ends, once, and have it recorded."""
        if run.result is not None:
            return
        run.end(self._here(run.attempt), failure, now)
        assert run.result is not None
        if run.result.HasField("failure"):
            self._emit(log_of(run.result.failure, run.run_id, run.plan.name, self._identity))
        self._ledger.finish(run.run_id, run.deadline)
        if not run.tickets:  # else the journal may know the run already, with another end
            self._record_end(run)

    def _record_end(self, run: Run) -> None:
        self._emit(Record(run.end_record(self._forget_at(run.deadline))))

    def _conclude(self, run: Run, now: float) -> None:
        """Answer the client, once, and have every node that may hold a part of the run forget it."""
        assert run.result is not None
        self._forget(run)
        run.ended_at = now
        self.ended += 1
        self.failed += run.result.HasField("failure")
        self._emit(RunEnded(run.result))
        self._farewell.add(run, now)
        if run.plan.topology == STAR:
            self._emit(FreeMemory((run.run_id,)))  # what has come here to be passed on
        if not is_shared(run.plan):
            run.plan = run.plan.without_steps()
        self._ended.add(run)

    def _forget(self, run: Run) -> None:
        del self._running[run.run_id]
        self._deadlines.discard(run.run_id, run.deadline)
        done = run.result is not None and run.result.failure.status not in STOPPED
        self._admission.release(run.plan.steps_by_type, run.plan.size_bytes, done=done)

    def _forget_at(self, deadline: float) -> float:
        return deadline + self._limits.answers_kept_s

    def _here(self, attempt: int) -> Context:
        return Context(node=self._identity.name, attempt=attempt, log_file=self._identity.log)


def _digest(request: application_pb2.SubmitRequest) -> bytes:
    return digest_of(request.graph, request.topology or RING)
