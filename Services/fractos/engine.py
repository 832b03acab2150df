"""The Controller's logic: what a node does with a Request. `handle(event, now)` returns effects and touches nothing else.

A Request is checked, its step goes to the device, the outputs are bound into the next steps' arguments, and each next step goes
on to its node with its own continuation. The last steps report to the run's home. `controller.py` runs the engine on gRPC, the
simulator in `tests/simulation` on virtual links.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from protos import fractos_pb2
from Services.fractos.delivery import SMALL_OUTPUT_BYTES, Outputs, other_hops
from Services.fractos.errors import (
    DeadlineExceededError,
    FractosError,
    InternalError,
    InvalidArgumentError,
    MemoryLostError,
    ResourceExhaustedError,
    UnavailableError,
    UnimplementedError,
)
from Services.fractos.events import (
    CallDevice,
    CancelAsked,
    DeviceDone,
    DropCalls,
    Effect,
    Event,
    FrameReceived,
    FreeMemory,
    LinkLost,
    LinkOpened,
    Log,
    MembersChanged,
    MemoryBrought,
    NotOwned,
    Owned,
    OwnedElsewhere,
    PeerEpoch,
    Recorded,
    Refused,
    Submitted,
    TimerDue,
    Wake,
    WorkKey,
)
from Services.fractos.guard import Guard
from Services.fractos.large_values import references, without_places
from Services.fractos.ledger import CLOCK_BOUND_S, BegunStep, Ledger
from Services.fractos.limits import Limits
from Services.fractos.onward import Onward
from Services.fractos.operations import Catalogue, Operation
from Services.fractos.placement import Identity, Placement
from Services.fractos.plan import MAX_MESSAGE_BYTES, MAX_VALUE_BYTES
from Services.fractos.reports import Reports
from Services.fractos.runs import Runs
from Services.fractos.tally import completion_arrival, memory_arrivals, note_arrival, request_arrivals
from Services.fractos.tenure import Tenure

KNOWN_BY_ATTEMPT = 6  # 0.6 s after the first one: by then the directory has told of a node that was new


class _Work(NamedTuple):
    """A step that is at the device."""

    frame: fractos_pb2.Frame  # holds the Request
    request: fractos_pb2.Request
    step: fractos_pb2.Step
    operation: Operation
    sent_at: float  # both of the Request that began it: that of a later attempt may have come since
    received_at: float
    request_bytes: int
    frames: list[dict[str, Any]]  # the arrivals that its hop tells of: the Requests,
    fetched: list[dict[str, Any]]  # and the Memory that they refer to


class Engine:
    """One node's engine. `runs` is what makes it the engine of an application node.

    One with runs or with a `durable` device serves only once it is the owner of the journal, or of what the device works on.
    """

    def __init__(
        self,
        identity: Identity,
        catalogue: Catalogue,
        *,
        limits: Limits | None = None,
        with_runs: bool = False,
        durable: bool = False,
        guard: Guard | None = None,
    ) -> None:
        """`guard` checks what steps are allowed; without one everything is."""
        self.identity = identity
        self._catalogue = catalogue
        self._limits = limits or Limits()
        self._effects: list[Effect] = []
        self._work: dict[WorkKey, _Work] = {}
        self._wake_at = math.inf
        self._now = 0.0  # of the event being handled
        self.placement = Placement()
        self.ledger = Ledger(self._limits.runs_remembered)
        self._durable = durable
        self.guard = guard
        self.runs = Runs(identity, catalogue, self.placement, self.ledger, self._limits, self._emit) if with_runs else None
        self._reports = Reports(identity, self.ledger, self._emit, self._take_completion if with_runs else None)
        self._onward = Onward(identity, catalogue, self.placement, self._reports, self._emit, self._on_request)
        self.tenure = Tenure(identity, self._limits.held, self._reports, self._emit)
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            FrameReceived: self._on_frame,
            DeviceDone: self._on_device_done,
            LinkOpened: self._on_link_opened,
            LinkLost: self._on_link_lost,
            MembersChanged: self._on_members_changed,
            PeerEpoch: self._on_peer_epoch,
            Owned: self._on_owned,
            OwnedElsewhere: self.tenure.on_owned_elsewhere,
            NotOwned: self.tenure.on_not_owned,
            TimerDue: self._on_timer_due,
        }
        if self.runs is not None:
            self._handlers[Submitted] = self._on_submitted
            self._handlers[Recorded] = self.runs.on_recorded
            self._handlers[CancelAsked] = self.runs.on_cancel_asked
            self._handlers[MemoryBrought] = self.runs.on_memory_brought

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take note of one event at Unix time `now`, in seconds, and return what is to be done, in this order."""
        self._now = now
        self._handlers[type(event)](event, now)
        return self.settle()

    def settle(self) -> list[Effect]:
        """Return what is to be done, with a Wake if need be; after an event that raised, what it had led to by then."""
        due = min(self.ledger.expiry.next_due, self._reports.next_due, self.tenure.next_due)
        if self.guard is not None:
            due = min(due, self.guard.expiry.next_due)
        if self.runs is not None:
            due = min(due, self.runs.next_due)
        if due < self._wake_at:
            self._wake_at = due
            self._emit(Wake(due))
        effects, self._effects = self._effects, []
        return effects

    def waiting(self) -> int:
        """How many steps are at the device."""
        return len(self._work)

    def _take_completion(self, completion: fractos_pb2.Completion) -> None:
        assert self.runs is not None
        self.runs.on_completion(completion, None, self._now)

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _on_frame(self, event: FrameReceived, now: float) -> None:
        frame = event.frame
        body = frame.WhichOneof("body")
        if body == "request" and frame.request.steps:
            note_arrival(frame.request, event.source, event.size)
            self._on_request(frame, now)
        elif body == "completion" and self.runs is not None:
            arrival = completion_arrival(frame.completion, event.source, event.size)
            self.runs.on_completion(frame.completion, arrival, now)
        elif body == "finished":
            self._on_finished(frame.finished)
        else:
            self._emit(Log(logging.WARNING, f"dropped a frame that is not for this node: {body}"))

    # -- a Request's way through the node ---------------------------------------------------------------------------------

    def _on_request(self, frame: fractos_pb2.Frame, now: float) -> None:
        request = frame.request
        if now > request.deadline + CLOCK_BOUND_S:
            self._emit(Log(logging.WARNING, "refused a step: its deadline is long over", request.run_id, request.attempt))
            return
        try:
            if self._durable and not self.tenure.admits(frame):
                return
            if request.steps[0].process not in ("", self.identity.id):
                self._reports.lose(request, UnavailableError(f"{self.identity.name} was started anew: it is not the one meant"))
                return
            arrived = self.ledger.admit(request)
            if arrived is not None:
                self._begin(frame, arrived, now)
        except MemoryLostError as error:
            if request.attempt < KNOWN_BY_ATTEMPT:
                self._reports.lose(request, error)
            else:
                self._reports.fail(request, error)
        except FractosError as error:
            self._reports.fail(request, error)

    def _begin(self, frame: fractos_pb2.Frame, arrived: list[fractos_pb2.Request], now: float) -> None:
        """Hand a step to the device. `arrived` are the Requests it was waiting for, that of `frame` among them."""
        request = frame.request
        step = request.steps[0]
        path = step.operation
        deadline = request.deadline
        if now > deadline:
            raise DeadlineExceededError(f"the run's deadline passed before {path} could begin")
        operation = self._catalogue.get(path)
        if operation is None or operation.node_type != self.identity.node_type:
            raise UnimplementedError(f"{self.identity.name} is a {self.identity.node_type} node; it has no {path}")
        if len(self._work) >= self._limits.calls and not self.ledger.has_begun(request.run_id, step.id):
            raise ResourceExhaustedError(
                f"{self.identity.name} has {self._limits.calls} calls waiting, which is its limit", retry_after_s=0.1
            )
        if len(arrived) > 1:
            request.trail.extend(other_hops(request, arrived))
        arguments = b"".join((step.arguments, *(one.bound for one in arrived)))
        try:
            message = operation.request_class.FromString(arguments)
        except DecodeError as error:
            raise InvalidArgumentError(f"the arguments of {path} do not parse: {error}") from error
        beside = [*step.memories, *(argument for one in arrived for argument in one.memories)]
        links: tuple[bytes, ...] = ()
        if self.guard is not None:
            unseen = [argument.name for argument in beside]
            links = self.guard.check_call(step.capability, operation, message, self.identity.name, now, unseen)
        memories = references(operation, message, beside)
        size = len(arguments)
        frames = request_arrivals(arrived)
        fetched: list[dict[str, Any]] = []
        if memories:
            self._check_owners(memories, request.home)
            fetched = memory_arrivals(memories, self.identity.address, self.placement)
            size = min(size + sum(memory.size for memory in memories), 2**63 - 1)  # a client may claim more
            arguments = without_places(operation, message, beside)
        key = WorkKey(request.run_id, request.attempt, step.id)
        known = self.ledger.begin(*key, arguments)
        if known is not None:
            self._begin_again(known, frame, step, operation, frames)
            return
        self._work[key] = _Work(frame, request, step, operation, request.sent_at, now, size, frames, fetched)
        began_at = request.began_at
        self._emit(CallDevice(key, operation, message, deadline, beside, step.output, began_at, links, step.leave))

    def _check_owners(self, memories: Sequence[fractos_pb2.Memory], home: str) -> None:
        """See that Memory is at nodes of this datacenter: a Request must not make this one call anybody else.

        Its home is one, though the directory may not have told yet. Raises MemoryLostError.
        """
        for memory in memories:
            if memory.owner != home and not self.placement.is_known(memory.owner):
                raise MemoryLostError(f"{memory.owner or 'nobody'}, where an argument is Memory, is no node of this datacenter")

    def _begin_again(
        self,
        known: BegunStep,
        frame: fractos_pb2.Frame,
        step: fractos_pb2.Step,
        operation: Operation,
        frames: list[dict[str, Any]],
    ) -> None:
        """Have this attempt go on with what an earlier one made of a step."""
        request = frame.request
        if known.error is not None:
            self._reports.fail(request, known.error)
        elif known.hop is None:
            key = WorkKey(request.run_id, known.began_in, step.id)
            self._work[key] = self._work[key]._replace(frame=frame, request=request, step=step, frames=frames)
        else:
            assert known.response is not None
            request.trail.add(**known.hop | {"arrivals": frames})
            message = operation.response_class.FromString(known.response)
            self._onward.pass_on(frame, Outputs(message, known.beside, known.whole), self._now)

    def _on_device_done(self, event: DeviceDone, now: float) -> None:
        key, message, error, started_at, finished_at, beside, whole, memory_bytes, fetched_bytes = event
        work = self._work.pop(key, None)
        if work is None or not self.ledger.is_open(key.run_id):
            # The run ended while the device was busy, perhaps so long ago that it is forgotten.
            if memory_bytes:
                self._emit(FreeMemory((key.run_id,)))
            return
        frame, request, step, operation, sent_at, received_at, request_bytes, frames, fetched = work
        response = message.SerializeToString() if message is not None else b""
        size = len(response)
        hop: dict[str, Any] = {
            "step": key.step,
            "node": self.identity.name,
            "attempt": key.attempt,
            "sent_at": sent_at,
            "received_at": received_at,
            "started_at": started_at,
            "finished_at": finished_at,
            "request_bytes": request_bytes,
        }
        if max(size, len(whole or b"")) > MAX_MESSAGE_BYTES:
            size = max(size, len(whole or b""))
            text = f"{step.operation} returned {size} bytes; the limit is {MAX_VALUE_BYTES} (64 MiB)"
            message, error = None, ResourceExhaustedError(text)
        if message is None:
            error = error or InternalError("the device gave neither a response nor an error")
            if isinstance(error, MemoryLostError):
                self.ledger.forget(key.run_id, key.step)
                self._reports.lose(request, error)
                return
            self.ledger.fail(key.run_id, key.step, error)
            self._reports.fail(request, error, hop)
            return
        small = whole if memory_bytes else response
        hop |= {
            "response_bytes": size + memory_bytes,
            "output": small if small is not None and len(small) <= SMALL_OUTPUT_BYTES else None,
            "fetched_bytes": fetched_bytes,
            "arrivals": [*frames, *fetched],
        }
        if whole is None and step.output and size > SMALL_OUTPUT_BYTES:
            whole = response
        request.trail.add(**hop)
        self.ledger.end(key.run_id, key.step, hop, response, beside=beside, whole=whole, repeatable=operation.repeatable)
        self._onward.pass_on(frame, Outputs(message, beside, whole), now)

    # -- everything else --------------------------------------------------------------------------------------------------

    def _on_finished(self, finished: fractos_pb2.Finished) -> None:
        for run in finished.runs:
            self.ledger.finish(run.run_id, run.deadline)
        stopped = frozenset(run.run_id for run in finished.runs if run.drop)
        if stopped:
            self._emit(DropCalls(stopped))
            self._work = {key: work for key, work in self._work.items() if key.run_id not in stopped}
        self._emit(FreeMemory(tuple(run.run_id for run in finished.runs)))

    def _on_link_opened(self, event: LinkOpened, now: float) -> None:
        self.placement.trust(event.address)
        self._reports.reached(event.address)
        if self.runs is not None:
            self.runs.on_link_opened(event.address, now)

    def _on_link_lost(self, event: LinkLost, now: float) -> None:
        member = self.placement.suspect(event.address, now)
        name = member.name if member else event.address
        if self.runs is not None and member is not None:
            # First, so that what is reported below belongs to an attempt that is past already.
            self.runs.on_link_lost(member, now, opened=event.opened)
        for frame in event.unsent:
            if frame.HasField("request") and not self.ledger.is_over(frame.request.run_id):
                # Certainly not received, so it may take another way.
                self._onward.route(frame, frame.request.steps[0], now, trusted_only=True)
        for frame in event.unknown:
            if frame.HasField("request"):
                self._reports.lose_unknown(frame.request, name)
        # Of a Finished that is lost the home tells again, if it stopped something, when the channel opens again.
        lost = [frame for frame in (*event.unknown, *event.unsent) if frame.HasField("completion")]
        self._reports.lost(event.address, lost, now)

    # -- ownership --------------------------------------------------------------------------------------------------------

    def _on_owned(self, event: Owned, now: float) -> None:
        held = self.tenure.on_owned(event)
        if self.runs is not None:
            self.runs.on_owned(event, now)
        for frame in held:
            self._on_request(frame, now)

    def _on_submitted(self, event: Submitted, now: float) -> None:
        assert self.runs is not None
        if self.tenure.epoch:
            self.runs.on_submitted(event, now)
            return
        self.tenure.ask()
        error = UnavailableError(f"{self.identity.name} is a standby: another application node owns the journal of runs")
        self._emit(Refused(event.request.run_id, event.ticket, error))

    def _on_peer_epoch(self, event: PeerEpoch, now: float) -> None:
        if self.placement.learn(event.address, event.epoch) and self.runs is not None:
            self.runs.links.refresh()

    # -- the directory and time -------------------------------------------------------------------------------------------

    def _on_members_changed(self, event: MembersChanged, now: float) -> None:
        departed = self.placement.update(event.members)
        if self.runs is not None:
            for member in departed:
                self.runs.on_departed(member, now)
            self.runs.links.refresh()
        if self._durable or self.runs is not None:
            leader = next(iter(self.placement.of_type(self.identity.node_type)), None)
            self.tenure.lead(is_leader=leader is not None and leader.address == self.identity.address)

    def _on_timer_due(self, event: TimerDue, now: float) -> None:
        self._wake_at = math.inf
        self.ledger.expire(now)
        if self.guard is not None:
            self.guard.expire(now)
        self._reports.resend(now)
        self.tenure.on_timer_due(now)
        if self.runs is not None:
            self.runs.on_timer_due(now)
