"""How an application node sends a run on its way, and once more when a part of it may have got lost. Pure.

A later attempt is the same graph again: nodes that did a step answer it from their ledger, what has got lost is done again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from protos import fractos_pb2
from Services.fractos.delivery import Bound
from Services.fractos.errors import FailedPreconditionError, FractosError, ResourceExhaustedError, UnavailableError
from Services.fractos.events import Effect, Log, Record, SendFrame
from Services.fractos.links import Links
from Services.fractos.placement import Identity, Owner, Placement
from Services.fractos.plan import MAX_MESSAGE_BYTES, MAX_VALUE_BYTES, node_type
from Services.fractos.records import AttemptRecord, Place
from Services.fractos.run import Gathered, Run
from Services.fractos.schedule import Schedule
from Services.fractos.trace_context import passed_on

MAX_ATTEMPTS = 16
REPEAT_S = 0.02  # how long the third attempt waits, doubled with each one after it; the second is sent at once
MAX_REPEAT_S = 1.0
RETRY_S = 0.1  # how often a node that has to answer again is looked for
GRACE_S = 5.0  # how long a node may take to answer again, or to be started anew
RESUME_GRACE_S = 15.0  # the same when the application node itself was started anew, perhaps with all others

GiveUp = Callable[[Run, FractosError, float], None]


class Attempts:
    """Places, sends and repeats runs. `give_up` ends one that cannot be sent again."""

    def __init__(
        self, identity: Identity, placement: Placement, links: Links, emit: Callable[[Effect], None], give_up: GiveUp
    ) -> None:
        self._identity = identity
        self._placement = placement
        self._links = links
        self._emit = emit
        self._give_up = give_up
        self.due: Schedule[bytes] = Schedule(tick_s=0.02)  # the runs that `repeat` is to be called for

    def place(self, run: Run, now: float) -> None:
        """See that every step has a node to go to, and choose those that all of the run has to agree on.

        Raises UnavailableError if there is none, FailedPreconditionError for a step that is pinned to a standby.
        """
        plan = run.plan
        members = []
        for step in plan.one_per_place:
            member = self._placement.choose(step, now)
            members.append(member)
            owner = self._placement.owner(member.node_type, now) if step.node else None
            if owner is not None and owner.member != member:
                raise FailedPreconditionError(
                    f"{step.node} is a standby: {owner.member.name} owns what {step.operation} works on;"
                    " leave the step unpinned, or pin it to the owner",
                    field="node",
                )
        for step in plan.placed:
            place = run.placed[step.id] = self._place(run, step, now)
            if (placed := self._placement.named(place.node)) is not None:
                members.append(placed)
        self._links.use(members, run.deadline)

    def send(self, run: Run, now: float) -> None:
        """Send the Requests that start the run's present attempt."""
        run.repeat_until = 0.0
        run.pending = set(run.plan.ends)
        run.trail = ()
        run.arrivals, run.gathered = [], Gathered()
        try:
            frames = self._frames(run, now)
        except UnavailableError as error:  # a node has died since it was chosen
            self.repeat_soon(run, error.message, now)
            return
        for frame in frames:
            self._emit(frame)

    def send_step(self, run: Run, step: fractos_pb2.Step, bound: Mapping[int, Bound], now: float) -> None:
        """Send one step alone, with the arguments that others have made: `bound` by the step that has."""
        frame = fractos_pb2.Frame()
        request = frame.request
        request.steps.append(step)
        request.sender = step.id
        delivered = [bound[sender] for sender in sorted(bound)]
        request.bound = b"".join(one.arguments for one in delivered)
        request.arrival.value_bytes = sum(one.value_bytes for one in delivered)
        for one in delivered:
            request.memories.extend(one.memories)
        if len(request.bound) > MAX_MESSAGE_BYTES:
            text = f"the arguments of step {step.id} have {len(request.bound)} bytes; the limit is {MAX_VALUE_BYTES} (64 MiB)"
            self._give_up(run, ResourceExhaustedError(text, definite=False), now)
            return
        try:
            self._emit(self._addressed(frame, run, self._owners(run, now), now))
        except UnavailableError as error:
            self.repeat_soon(run, error.message, now)

    def repeat_soon(self, run: Run, trouble: str, now: float, *, at_once: bool = False) -> None:
        """Have a run repeated of which a part may have got lost: at once, unless that has been done before."""
        if run.repeat_until:
            return  # it is due already
        run.repeat_until, run.trouble, run.reason = now + GRACE_S, run.trouble or trouble, trouble
        repeated = run.attempt - run.first_attempt
        if at_once or not repeated:
            self.repeat(run, now)
        else:
            self.due.add(run.run_id, now + min(REPEAT_S * 2 ** (repeated - 1), MAX_REPEAT_S))

    def resume(self, run: Run, now: float) -> None:
        """Have a run go on that an earlier owner of the journal left."""
        run.repeat_until, run.trouble = now + RESUME_GRACE_S, "the application node that started the run died"
        run.reason = run.trouble
        self.repeat(run, now)

    def repeat(self, run: Run, now: float) -> None:
        """Begin the next attempt; it is sent when that is recorded.

        Waits for nodes that have to answer, within the grace.
        """
        if run.attempt - run.first_attempt >= MAX_ATTEMPTS:
            self._give_up(run, UnavailableError(f"{MAX_ATTEMPTS} attempts failed: {run.trouble}", definite=False), now)
            return
        try:
            self.place(run, now)
        except UnavailableError as error:
            if now < run.repeat_until:
                self.due.add(run.run_id, now + RETRY_S)
            else:
                self._give_up(run, UnavailableError(f"{run.trouble}; {error.message}", definite=False), now)
            return
        except FailedPreconditionError as error:
            self._give_up(run, error, now)
            return
        run.attempt += 1
        run.begin_attempt(self._identity.name, now)
        text = f"{run.plan.name}: attempt {run.attempt}, since {run.reason}"
        self._emit(Log(logging.WARNING, text, run.run_id, run.attempt))
        self._emit(Record(AttemptRecord(run.run_id, run.attempt, dict(run.placed), run.recorded_attempts())))

    def _frames(self, run: Run, now: float) -> list[SendFrame]:
        owners = self._owners(run, now)
        frames = []
        for opening in run.plan.openings:
            frame = fractos_pb2.Frame()
            frame.request.ParseFromString(opening)
            frames.append(self._addressed(frame, run, owners, now))
        return frames

    def _addressed(self, frame: fractos_pb2.Frame, run: Run, owners: Mapping[str, Owner], now: float) -> SendFrame:
        """A Request with its steps, made one of this run's present attempt. Raises UnavailableError."""
        request = frame.request
        request.run_id = run.run_id
        request.attempt = run.attempt
        request.deadline = run.deadline
        request.home = self._identity.address
        request.sent_at = now
        request.began_at = run.submitted_at
        if run.traceparent:
            request.traceparent = passed_on(run.traceparent, run.run_id)
        for step in request.steps if run.placed or owners else ():
            _direct(step, run.placed.get(step.id), owners.get(node_type(step)))
        return SendFrame(self._placement.choose(request.steps[0], now).address, frame)

    def _owners(self, run: Run, now: float) -> Mapping[str, Owner]:
        return self._placement.owners(run.plan.steps_by_type, now)

    def _place(self, run: Run, step: fractos_pb2.Step, now: float) -> Place:
        """The process for a step that gets one at submission: in a later attempt the same, as long as it answers."""
        before = run.placed.get(step.id)
        if before is not None:
            member = self._placement.named(before.node)
            lives = member is not None and member.id == before.id and not self._placement.is_suspected(member, now)
            if step.id in run.plan.unrepeatable:
                if lives:
                    return before
                text = f"{before.node} died while it may have done {step.operation}, which may not be repeated: nobody knows"
                raise UnavailableError(text, definite=False)
            owner = self._placement.owner(node_type(step), now)
            if lives and (owner is None or owner.member == member):
                return before
        chosen = self._placement.choose(step, now)
        return Place(chosen.name, chosen.id)


def _direct(step: fractos_pb2.Step, place: Place | None, owner: Owner | None) -> None:
    """Say in a step which node it is for, where all of its run has to agree on that."""
    if place is not None:
        step.node, step.process = place
    if owner is not None and step.node in ("", owner.member.name):
        step.node = owner.member.name
        step.epoch = owner.epoch
