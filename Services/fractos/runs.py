"""The runs that have their home at this application node: admitted here, started here, answered here once. Pure.

Between the first Requests and the last Completions nothing of a run passes through here: the nodes hand it on themselves.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from protos import application_pb2, fractos_pb2
from Services.fractos.admission import Admission
from Services.fractos.directory.interface import Member
from Services.fractos.errors import (
    AlreadyExistsError,
    Context,
    DeadlineExceededError,
    FractosError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    RunCancelledError,
    UnavailableError,
    failure_of,
)
from Services.fractos.events import Accepted, CancelAsked, Effect, KeepLink, Log, Refused, RunEnded, SendFrame, Submitted
from Services.fractos.ledger import Ledger
from Services.fractos.operations import Catalogue
from Services.fractos.placement import Identity, Placement
from Services.fractos.plan import MAX_MESSAGE_BYTES, Plan, check_timeout, make_plan
from Services.fractos.schedule import Schedule

DEFAULT_TIMEOUT_S = 30.0
TOPOLOGIES = ("ring",)
MAX_ATTEMPTS = 16
REPEAT_S = 0.02  # how long the third attempt waits, doubled with each one after it; the second is sent at once
MAX_REPEAT_S = 1.0
RETRY_S = 0.1  # how often a node that has to answer again is looked for
GRACE_S = 2.0  # how long a node that may hold what may not be repeated has to answer again
FLUSH_S = 0.2  # how long `finished` waits for company
FLUSH_RUNS = 256
PLANS_KEPT = 256  # graphs that were checked lately
PLAN_BYTES_KEPT = 64 << 10  # larger ones are checked each time
REOPEN_S = 1.0  # how often a channel is tried again to a node that is listed but does not answer
MAX_RESULT_BYTES = 2 * MAX_MESSAGE_BYTES
ENDED_KEPT = 1000  # runs that Watch and ListRuns still know after their end
ENDED_BYTES_KEPT = 64 << 20


@dataclass(slots=True)
class Run:
    """One run, from its submission until it is forgotten."""

    run_id: bytes
    plan: Plan
    submitted_at: float
    deadline: float
    pending: set[int]  # steps whose Completion is awaited
    placed: dict[int, Member] = field(default_factory=dict)  # the nodes of those steps that have got one
    trail: Sequence[fractos_pb2.Hop] = ()  # of each step once; that of a chain in the order of its steps
    attempt: int = 1
    troubled_at: float = 0.0  # when a part of this attempt may have got lost; 0: never
    trouble: str = ""  # what went wrong first
    ended_at: float = 0.0
    result: application_pb2.RunResult | None = None
    result_bytes: int = 0

    @property
    def state(self) -> application_pb2.RunState:
        """Where the run stands."""
        if self.result is None:
            return application_pb2.RUNNING
        if not self.result.HasField("failure"):
            return application_pb2.SUCCEEDED
        cancelled = self.result.failure.status == RunCancelledError.status
        return application_pb2.CANCELLED if cancelled else application_pb2.FAILED


class Runs:
    """The table of runs of one application node."""

    def __init__(
        self,
        identity: Identity,
        catalogue: Catalogue,
        placement: Placement,
        ledger: Ledger,
        emit: Callable[[Effect], None],
    ) -> None:
        self._identity = identity
        self._catalogue = catalogue
        self._placement = placement
        self._ledger = ledger
        self._emit = emit
        self._admission = Admission(steps_per_type=10_000, graph_bytes=512 << 20)
        self._plans: OrderedDict[bytes, Plan] = OrderedDict()
        self._running: dict[bytes, Run] = {}
        self._ended: OrderedDict[bytes, Run] = OrderedDict()
        self._ended_bytes = 0
        self._deadlines: Schedule[bytes] = Schedule(tick_s=0.02)
        self._repeats: Schedule[bytes] = Schedule(tick_s=0.02)
        self._reopenings: Schedule[Member] = Schedule(tick_s=0.1)
        self._to_tell: list[Run] = []  # ended runs that the nodes have not been told of
        self._flush_at = math.inf

    # -- questions --------------------------------------------------------------------------------------------------------

    def find(self, run_id: bytes) -> Run:
        """Return a run that is running or ended lately. Raises NotFoundError."""
        run = self._running.get(run_id) or self._ended.get(run_id)
        if run is None:
            raise NotFoundError(
                f"run {run_id.hex() or '(no id)'} is not known here; the last {ENDED_KEPT} that ended are", field="run_id"
            )
        return run

    def newest(self, limit: int) -> list[Run]:
        """Return up to `limit` runs, those in flight first, then those that ended, each the newest first."""
        running = sorted(self._running.values(), key=lambda run: -run.submitted_at)
        return [*running, *reversed(self._ended.values())][:limit]

    def in_flight(self) -> int:
        """How many runs have not ended."""
        return len(self._running)

    def reserved(self) -> int:
        """How many steps hold a reservation."""
        return self._admission.reserved()

    @property
    def next_due(self) -> float:
        """When `on_timer_due` has something to do."""
        return min(self._deadlines.next_due, self._repeats.next_due, self._reopenings.next_due, self._flush_at)

    # -- events -----------------------------------------------------------------------------------------------------------

    def on_submitted(self, event: Submitted, now: float) -> None:
        """Admit a run and send its first Requests, or refuse it with nothing changed."""
        request = event.request
        try:
            run = self._admit(request, now)
            requests = self._first_requests(run, now)
            self._admission.reserve(run.plan.steps_by_type, run.plan.size_bytes)
        except FractosError as error:
            self._emit(Refused(request.run_id, error))
            return
        self._running[run.run_id] = run
        self._deadlines.add(run.run_id, run.deadline)
        self._emit(Accepted(run.run_id))
        for first in requests:
            self._emit(first)

    def on_completion(self, completion: fractos_pb2.Completion, now: float) -> None:
        """Count a step that was the last of its branch; end the run when it was the last of all, or failed."""
        run = self._running.get(completion.run_id)
        if run is None or completion.attempt != run.attempt:
            return
        run.trail = _merged(run.trail, completion.trail) if run.trail else completion.trail
        if completion.lost and run.attempt < MAX_ATTEMPTS:
            self._repeat_soon(run, completion.failure.message, now)
            return
        if completion.HasField("failure"):
            self._end(run, now, completion.failure)
            return
        run.pending.discard(completion.step)
        if not run.pending:
            self._end(run, now, None)

    def on_cancel_asked(self, event: CancelAsked, now: float) -> None:
        """End a run because its client wants it."""
        run = self._running.get(event.run_id)
        if run is not None:
            self._end_with(run, now, RunCancelledError("the run was cancelled", definite=False))

    def on_link_lost(self, member: Member, now: float, *, opened: bool) -> None:
        """Try the channel again; repeat the runs that may have been at the node."""
        if self._placement.is_listed(member):
            if opened:
                self._emit(KeepLink(member.address))
            else:
                self._reopenings.add(member, now + REOPEN_S)
        for run in list(self._running.values()) if opened else ():
            plan = run.plan
            if member.node_type in plan.unpinned_types or member.name in plan.pinned or member in run.placed.values():
                self._repeat_soon(run, f"{member.name} died or lost its channel while it may have held a part of this run", now)

    def on_timer_due(self, now: float) -> None:
        """End the runs whose deadline has passed; tell the nodes which runs have ended."""
        for run_id in self._deadlines.pop_due(now):
            run = self._running.get(run_id)
            if run is not None:
                limit = run.deadline - run.submitted_at
                self._end_with(run, now, DeadlineExceededError(f"the run did not end within {limit:g} s", definite=False))
        for run_id in self._repeats.pop_due(now):
            run = self._running.get(run_id)
            if run is not None and run.troubled_at:
                self._repeat(run, now)
        for member in self._reopenings.pop_due(now):
            if self._placement.is_listed(member):
                self._emit(KeepLink(member.address))
        if self._flush_at <= now:
            self._flush()

    # -- a run's way ------------------------------------------------------------------------------------------------------

    def _admit(self, request: application_pb2.SubmitRequest, now: float) -> Run:
        if len(request.run_id) != 16:
            raise InvalidArgumentError(f"run_id has {len(request.run_id)} bytes, not 16", field="run_id")
        if request.run_id in self._running:
            raise AlreadyExistsError(f"run {request.run_id.hex()} is running already", field="run_id")
        self._ledger.check_new(request.run_id)
        if request.topology not in ("", *TOPOLOGIES):
            known = ", ".join(TOPOLOGIES)
            raise InvalidArgumentError(f"there is no topology {request.topology[:40]!r}; there is {known}", field="topology")
        timeout_s = request.timeout_s or DEFAULT_TIMEOUT_S
        check_timeout(timeout_s)
        plan = self._plan(request.graph)
        return Run(request.run_id, plan, now, now + timeout_s, set(plan.ends))

    def _plan(self, serialized: bytes) -> Plan:
        """The checked graph; graphs that were seen lately are not checked again."""
        plan = self._plans.get(serialized)
        if plan is None:
            plan = make_plan(serialized, self._catalogue)
            if plan.size_bytes <= PLAN_BYTES_KEPT:
                self._plans[serialized] = plan
                if len(self._plans) > PLANS_KEPT:
                    self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(serialized)
        return plan

    def _first_requests(self, run: Run, now: float) -> list[SendFrame]:
        """The Requests that start a run, on their way. Raises UnavailableError if a step has no node to go to."""
        plan = run.plan
        for step in plan.one_per_place:
            self._placement.choose(step, now)
        for step in plan.placed:
            run.placed[step.id] = self._place(run, step, now)
        requests = []
        for opening in plan.openings:
            frame = fractos_pb2.Frame()
            request = frame.request
            request.ParseFromString(opening)
            request.run_id = run.run_id
            request.attempt = run.attempt
            request.deadline = run.deadline
            request.home = self._identity.address
            request.sent_at = now
            for step in request.steps if run.placed else ():
                if step.id in run.placed:
                    step.node = run.placed[step.id].name
            requests.append(SendFrame(self._placement.choose(request.steps[0], now).address, frame))
        return requests

    def _place(self, run: Run, step: fractos_pb2.Step, now: float) -> Member:
        """The node for a step that gets one at submission: in a later attempt the same, as long as it answers."""
        before = run.placed.get(step.id)
        if before is not None and self._placement.is_listed(before) and not self._placement.is_suspected(before, now):
            return before
        if before is not None and step.id in run.plan.unrepeatable:
            text = f"{before.name} died while it may have done {step.operation}, which may not be repeated: nobody knows"
            raise UnavailableError(text, definite=False)
        return self._placement.choose(step, now)

    def _repeat_soon(self, run: Run, trouble: str, now: float) -> None:
        """Send a run again of which a part may have got lost: at once, unless that has been done before."""
        if run.troubled_at:
            return  # it is due already
        run.troubled_at, run.trouble = now, run.trouble or trouble
        if run.attempt == 1:
            self._repeat(run, now)
        else:
            self._repeats.add(run.run_id, now + min(REPEAT_S * 2 ** (run.attempt - 2), MAX_REPEAT_S))

    def _repeat(self, run: Run, now: float) -> None:
        """Begin the next attempt. Nodes that have done a step answer again; what has got lost is done again.

        Waits for the one node that a step may be done by, within the grace.
        """
        if run.attempt >= MAX_ATTEMPTS:
            self._give_up(run, f"{MAX_ATTEMPTS} attempts failed: {run.trouble}", now)
            return
        run.attempt += 1
        try:
            requests = self._first_requests(run, now)
        except UnavailableError as error:
            run.attempt -= 1
            if now < run.troubled_at + GRACE_S:
                self._repeats.add(run.run_id, now + RETRY_S)
            else:
                self._give_up(run, f"{run.trouble}; {error.message}", now)
            return
        run.troubled_at = 0.0
        run.pending = set(run.plan.ends)
        run.trail = ()
        self._emit(Log(logging.INFO, f"run {run.run_id.hex()} ({run.plan.name}): attempt {run.attempt}"))
        for first in requests:
            self._emit(first)

    def _give_up(self, run: Run, why: str, now: float) -> None:
        self._end_with(run, now, UnavailableError(why, definite=False))

    def _without_outputs(self, result: application_pb2.RunResult, size_bytes: int) -> application_pb2.RunResult:
        """The failure of a run whose outputs are too large together."""
        text = f"the outputs that were asked for have {size_bytes} bytes together; the limit is {MAX_RESULT_BYTES}"
        failure = failure_of(ResourceExhaustedError(text, definite=False), Context(node=self._identity.name, attempt=1))
        for hop in result.trail:
            hop.ClearField("output")
        return application_pb2.RunResult(run_id=result.run_id, trail=result.trail, failure=failure)

    def _end_with(self, run: Run, now: float, error: FractosError) -> None:
        here = Context(node=self._identity.name, attempt=run.attempt, log_file=self._identity.log)
        self._end(run, now, failure_of(error, here))

    def _end(self, run: Run, now: float, failure: fractos_pb2.Failure | None) -> None:
        """Answer the client, once, and have every node that may hold a part of the run forget it."""
        del self._running[run.run_id]
        self._deadlines.discard(run.run_id, run.deadline)
        self._admission.release(run.plan.steps_by_type, run.plan.size_bytes)
        trail = run.trail if run.plan.is_chain else sorted(run.trail, key=lambda hop: hop.finished_at)
        result = application_pb2.RunResult(run_id=run.run_id, trail=trail, failure=failure)
        run.result_bytes = result.ByteSize()
        if run.result_bytes > MAX_RESULT_BYTES:
            result = self._without_outputs(result, run.result_bytes)
            run.result_bytes = result.ByteSize()
            failure = result.failure
        if failure is not None:  # with several branches, or steps done, something has happened
            result.failure.definite &= not trail and len(run.plan.openings) == 1
        run.result, run.ended_at = result, now
        self._ledger.finish(run.run_id, run.deadline)
        run.trail = ()
        self._emit(RunEnded(result))
        self._keep(run)
        self._to_tell.append(run)
        if failure is not None:
            self._emit(Log(logging.INFO, f"run {run.run_id.hex()} ({run.plan.name}) failed: {failure.message}"))
        # What is stopped is told at the next tick: others that are stopped by the same event go along.
        soon = failure is not None or len(self._to_tell) >= FLUSH_RUNS
        self._flush_at = min(self._flush_at, now if soon else now + FLUSH_S)

    def _keep(self, run: Run) -> None:
        """Remember a run that has ended for Watch and ListRuns, within bounds."""
        self._ended[run.run_id] = run
        self._ended_bytes += run.result_bytes
        while len(self._ended) > 1 and (len(self._ended) > ENDED_KEPT or self._ended_bytes > ENDED_BYTES_KEPT):
            _, oldest = self._ended.popitem(last=False)
            self._ended_bytes -= oldest.result_bytes

    def _flush(self) -> None:
        """Tell the nodes which runs have ended: those that took part, or all that may have if a run was stopped."""
        batches: dict[str, fractos_pb2.Finished] = {}
        for run in self._to_tell:
            assert run.result is not None
            stopped = run.result.HasField("failure")
            for member in self._may_hold(run):
                batch = batches.setdefault(member.address, fractos_pb2.Finished())
                batch.runs.add(run_id=run.run_id, deadline=run.deadline, drop=stopped)
        for address, finished in batches.items():
            self._emit(SendFrame(address, fractos_pb2.Frame(finished=finished)))
        self._to_tell.clear()
        self._flush_at = math.inf

    def _may_hold(self, run: Run) -> list[Member]:
        """The nodes that may hold a part of a run that has ended."""
        assert run.result is not None
        if run.attempt > 1 or run.result.HasField("failure"):
            return [member for kind in run.plan.steps_by_type for member in self._placement.of_type(kind)]
        names = dict.fromkeys(hop.node for hop in run.result.trail)
        return [member for name in names if (member := self._placement.named(name))]


def _merged(known: Sequence[fractos_pb2.Hop], more: Iterable[fractos_pb2.Hop]) -> Sequence[fractos_pb2.Hop]:
    """Both trails' hops, of each step the one that carries its output."""
    hops = {hop.step: hop for hop in known}
    for hop in more:
        if hop.step not in hops or hop.HasField("output"):
            hops[hop.step] = hop
    return list(hops.values())
