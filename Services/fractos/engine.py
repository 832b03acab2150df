"""The Controller's logic: what a node does with a Request. `handle(event, now)` returns effects and touches nothing else.

A Request is checked, its step goes to the device, the outputs are bound into the next steps' arguments, and each next step goes
on to its node with its own continuation. The last steps report to the run's home. `controller.py` runs the engine on gRPC, the
simulator in `tests/simulation` on virtual links.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError, Message

from protos import fractos_pb2
from Services.fractos.errors import (
    Context,
    DeadlineExceededError,
    FractosError,
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
    UnimplementedError,
    failure_of,
)
from Services.fractos.events import (
    CallDevice,
    CancelAsked,
    DeviceDone,
    DropCalls,
    Effect,
    Event,
    FrameReceived,
    KeepLink,
    LinkLost,
    LinkOpened,
    Log,
    MembersChanged,
    SendFrame,
    Submitted,
    TimerDue,
    Wake,
    WorkKey,
)
from Services.fractos.ledger import CLOCK_BOUND_S, BegunStep, Ledger
from Services.fractos.operations import Catalogue, Operation
from Services.fractos.placement import Identity, Placement
from Services.fractos.plan import MAX_MESSAGE_BYTES, MAX_VALUE_BYTES, continuation
from Services.fractos.runs import Runs

AGAIN_S = 0.2  # how long a Completion waits before it is sent again
SMALL_OUTPUT_BYTES = 4096  # responses up to this size come home with the trail, unasked


@dataclass(frozen=True)
class Limits:
    """How much one node holds."""

    runs_remembered: int = 500_000
    calls: int = 20_000  # device calls waiting or running


class _Work(NamedTuple):
    """A step that is at the device."""

    frame: fractos_pb2.Frame  # holds the Request
    request: fractos_pb2.Request
    step: fractos_pb2.Step
    operation: Operation
    received_at: float
    request_bytes: int


class Engine:
    """One node's engine. `runs` is what makes it the engine of an application node."""

    def __init__(
        self, identity: Identity, catalogue: Catalogue, *, limits: Limits | None = None, with_runs: bool = False
    ) -> None:
        self.identity = identity
        self._catalogue = catalogue
        self._limits = limits or Limits()
        self._effects: list[Effect] = []
        self._work: dict[WorkKey, _Work] = {}
        self._wake_at = math.inf
        self._now = 0.0  # of the event being handled
        self.placement = Placement()
        self.ledger = Ledger(self._limits.runs_remembered)
        self.runs = Runs(identity, catalogue, self.placement, self.ledger, self._emit) if with_runs else None
        self._again: deque[tuple[float, SendFrame]] = deque()  # Completions to send again, by when
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            FrameReceived: self._on_frame,
            DeviceDone: self._on_device_done,
            LinkOpened: self._on_link_opened,
            LinkLost: self._on_link_lost,
            MembersChanged: self._on_members_changed,
            TimerDue: self._on_timer_due,
        }
        if self.runs is not None:
            self._handlers[Submitted] = self.runs.on_submitted
            self._handlers[CancelAsked] = self.runs.on_cancel_asked

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take note of one event at Unix time `now`, in seconds, and return what is to be done, in this order."""
        self._now = now
        self._handlers[type(event)](event, now)
        due = self.ledger.expiry.next_due
        if self._again:
            due = min(due, self._again[0][0])
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

    def _emit(self, effect: Effect) -> None:
        self._effects.append(effect)

    def _on_frame(self, event: FrameReceived, now: float) -> None:
        frame = event.frame
        body = frame.WhichOneof("body")
        if body == "request" and frame.request.steps:
            self._on_request(frame, now)
        elif body == "completion" and self.runs is not None:
            self.runs.on_completion(frame.completion, now)
        elif body == "finished":
            self._on_finished(frame.finished)
        else:
            self._emit(Log(logging.WARNING, f"dropped a frame that is not for this node: {body}"))

    # -- a Request's way through the node ---------------------------------------------------------------------------------

    def _on_request(self, frame: fractos_pb2.Frame, now: float) -> None:
        request = frame.request
        if now > request.deadline + CLOCK_BOUND_S:
            self._emit(Log(logging.WARNING, f"refused a step of run {request.run_id.hex()}: its deadline is long over"))
            return
        try:
            arrived = self.ledger.admit(request)
            if arrived is not None:
                self._begin(frame, arrived, now)
        except FractosError as error:
            self._fail(request, error)

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
        if len(self._work) >= self._limits.calls:
            raise ResourceExhaustedError(
                f"{self.identity.name} has {self._limits.calls} calls waiting, which is its limit", retry_after_s=0.1
            )
        if len(arrived) > 1:
            request.trail.extend(_other_hops(request, arrived))
            arguments = b"".join((step.arguments, *(one.bound for one in arrived)))
        else:
            arguments = step.arguments + request.bound
        try:
            message = operation.request_class.FromString(arguments)
        except DecodeError as error:
            raise InvalidArgumentError(f"the arguments of {path} do not parse: {error}") from error
        key = WorkKey(request.run_id, request.attempt, step.id)
        known = self.ledger.begin(*key, arguments)
        if known is not None:
            self._begin_again(known, frame, step, operation, now)
            return
        self._work[key] = _Work(frame, request, step, operation, now, len(arguments))
        self._emit(CallDevice(key, operation, message, deadline))

    def _begin_again(
        self, known: BegunStep, frame: fractos_pb2.Frame, step: fractos_pb2.Step, operation: Operation, now: float
    ) -> None:
        """Have this attempt go on with what an earlier one made of a step."""
        request = frame.request
        if known.error is not None:
            self._fail(request, known.error)
        elif known.hop is None:
            key = WorkKey(request.run_id, known.began_in, step.id)
            self._work[key] = self._work[key]._replace(frame=frame, request=request, step=step)
        else:
            assert known.response is not None
            request.trail.add(**known.hop)
            message = operation.response_class.FromString(known.response)
            self._pass_on(frame, request, step, message, known.response, now)

    def _on_device_done(self, event: DeviceDone, now: float) -> None:
        key, message, error, started_at, finished_at = event
        work = self._work.pop(key, None)
        if work is None or self.ledger.is_over(key.run_id):
            return  # the run ended while the device was busy
        frame, request, step, operation, received_at, request_bytes = work
        response = message.SerializeToString() if message is not None else b""
        size = len(response)
        if size > MAX_MESSAGE_BYTES:
            text = f"{step.operation} returned {size} bytes; the limit is {MAX_VALUE_BYTES} (64 MiB)"
            message, error = None, ResourceExhaustedError(text)
        if message is None:
            error = error or InternalError("the device gave neither a response nor an error")
            self.ledger.fail(key.run_id, key.step, error)
            self._fail(request, error)
            return
        hop = {
            "step": key.step,
            "node": self.identity.name,
            "attempt": key.attempt,
            "sent_at": request.sent_at,
            "received_at": received_at,
            "started_at": started_at,
            "finished_at": finished_at,
            "request_bytes": request_bytes,
            "response_bytes": size,
            "output": response if size <= SMALL_OUTPUT_BYTES else None,
        }
        request.trail.add(**hop)
        self.ledger.end(key.run_id, key.step, hop, response, repeatable=operation.repeatable)
        self._pass_on(frame, request, step, message, response, now)

    # -- what follows a step ----------------------------------------------------------------------------------------------

    def _pass_on(
        self,
        frame: fractos_pb2.Frame,
        request: fractos_pb2.Request,
        step: fractos_pb2.Step,
        response: Message,
        serialized: bytes,
        now: float,
    ) -> None:
        """Report a step that is done, if it is to be reported, and send the next ones on their way.

        `serialized` is the response: a large one is not serialized twice.
        """
        edges = step.edges
        if step.output or not edges:
            large = step.output and len(serialized) > SMALL_OUTPUT_BYTES
            self._complete(request, output=serialized if large else None)
        if len(edges) == 1:
            # Whatever follows depends on this one next step, so the frame can go on as it is.
            del request.steps[0]
            self._go_on(frame, request, step.id, edges[0], response, now)
            return
        for edge in edges:
            onward = fractos_pb2.Request(
                run_id=request.run_id,
                attempt=request.attempt,
                deadline=request.deadline,
                home=request.home,
                steps=continuation(request.steps, edge.to),
                trail=request.trail,
            )
            branch = fractos_pb2.Frame(request=onward)
            self._go_on(branch, branch.request, step.id, edge, response, now)

    def _go_on(
        self,
        frame: fractos_pb2.Frame,
        request: fractos_pb2.Request,
        sender: int,
        edge: fractos_pb2.Edge,
        response: Message,
        now: float,
    ) -> None:
        """Send a step on its way: the first of `request`, which is that of `frame`."""
        step = request.steps[0]
        bound = self._bind(step, edge, response)
        request.sender = sender
        request.bound = bound
        request.sent_at = now
        if len(bound) > MAX_MESSAGE_BYTES:
            text = f"the arguments from step {sender} have {len(bound)} bytes; the limit is {MAX_VALUE_BYTES} (64 MiB)"
            self._fail(request, ResourceExhaustedError(text))
            return
        self._route(frame, step, now)

    def _bind(self, step: fractos_pb2.Step, edge: fractos_pb2.Edge, response: Message) -> bytes:
        """Copy outputs into fields of the next step's request message. Serialized messages merge when they are joined."""
        bindings = edge.bindings
        operation = self._catalogue.get(step.operation) if bindings else None
        if operation is None:
            return b""  # the node it goes to refuses an operation that nobody knows
        target = operation.request_class()
        for binding in bindings:
            value = getattr(response, binding.source)
            if isinstance(value, (bool, int, float, str, bytes)):
                setattr(target, binding.target, value)
            else:
                getattr(target, binding.target).MergeFrom(value)
        return target.SerializeToString()

    def _route(self, frame: fractos_pb2.Frame, step: fractos_pb2.Step, now: float, *, trusted_only: bool = False) -> None:
        try:
            member = self.placement.choose(step, now, trusted_only=trusted_only)
        except UnavailableError as error:
            self._complete(frame.request, failure=self._failure(frame.request, error), lost=True)
            return
        if member.address == self.identity.address:
            self._on_request(frame, now)
        else:
            self._emit(SendFrame(member.address, frame))

    def _fail(self, request: fractos_pb2.Request, error: BaseException) -> None:
        step = request.steps[0]
        self._emit(Log(logging.INFO, f"run {request.run_id.hex()} step {step.id} ({step.operation}) failed: {error}"))
        self._complete(request, failure=self._failure(request, error))

    def _failure(self, request: fractos_pb2.Request, error: BaseException) -> fractos_pb2.Failure:
        step = request.steps[0]
        context = Context(
            step=step.id,
            operation=step.operation,
            node=self.identity.name,
            attempt=request.attempt,
            log_file=self.identity.log,
        )
        failure = failure_of(error, context)
        failure.definite &= not request.trail  # what earlier steps did has happened
        return failure

    def _complete(
        self,
        request: fractos_pb2.Request,
        *,
        output: bytes | None = None,
        failure: fractos_pb2.Failure | None = None,
        lost: bool = False,
    ) -> None:
        """Send a Completion to the run's home. `lost`: the step did not reach its node, or may not have."""
        frame = fractos_pb2.Frame()
        completion = frame.completion  # filled in place: to put a message into another copies it
        completion.run_id = request.run_id
        completion.attempt = request.attempt
        completion.step = request.steps[0].id
        completion.trail.extend(request.trail)
        completion.deadline = request.deadline
        if failure is not None:
            completion.failure.CopyFrom(failure)
        completion.lost = lost
        if output is not None:
            completion.trail[-1].output = output
        if request.home == self.identity.address and self.runs is not None:
            self.runs.on_completion(completion, self._now)
        else:
            self._emit(SendFrame(request.home, frame))

    # -- everything else --------------------------------------------------------------------------------------------------

    def _on_finished(self, finished: fractos_pb2.Finished) -> None:
        for run in finished.runs:
            self.ledger.finish(run.run_id, run.deadline)
        stopped = frozenset(run.run_id for run in finished.runs if run.drop)
        if stopped:
            self._emit(DropCalls(stopped))
            self._work = {key: work for key, work in self._work.items() if key.run_id not in stopped}

    def _on_link_opened(self, event: LinkOpened, now: float) -> None:
        self.placement.trust(event.address)

    def _on_link_lost(self, event: LinkLost, now: float) -> None:
        member = self.placement.suspect(event.address, now)
        name = member.name if member else event.address
        if self.runs is not None and member is not None:
            # First, so that what is reported below belongs to an attempt that is past already.
            self.runs.on_link_lost(member, now, opened=event.opened)
        for frame in event.unsent:
            if frame.HasField("request") and not self.ledger.is_over(frame.request.run_id):
                # Certainly not received, so it may take another way.
                self._route(frame, frame.request.steps[0], now, trusted_only=True)
        for frame in event.unknown:
            if frame.HasField("request"):
                self._report_lost(frame.request, name)
        for frame in (*event.unknown, *event.unsent):
            # A Completion may come twice, since the home takes the first; a Finished that is lost only costs memory.
            if frame.HasField("completion"):
                self._again.append((now + AGAIN_S, SendFrame(event.address, frame)))

    def _report_lost(self, request: fractos_pb2.Request, name: str) -> None:
        """Tell the home of a Request that its node may or may not have taken."""
        lost = f"the channel to {name} broke before it acknowledged {request.steps[0].operation}"
        error = UnavailableError(f"{lost}: nobody knows whether it was done", definite=False)
        self._complete(request, failure=self._failure(request, error), lost=True)

    def _on_members_changed(self, event: MembersChanged, now: float) -> None:
        for member in self.placement.update(event.members):
            if self.runs is not None and member.node_type in self._catalogue.node_types:
                self._emit(KeepLink(member.address))

    def _on_timer_due(self, event: TimerDue, now: float) -> None:
        self._wake_at = math.inf
        self.ledger.expire(now)
        while self._again and self._again[0][0] <= now:
            _, effect = self._again.popleft()
            if now <= effect.frame.completion.deadline:
                self._emit(effect)
        if self.runs is not None:
            self.runs.on_timer_due(now)


def _other_hops(request: fractos_pb2.Request, arrived: list[fractos_pb2.Request]) -> list[fractos_pb2.Hop]:
    """The hops that the other Requests of a join bring and this one does not."""
    known = {hop.step for hop in request.trail}
    return list({hop.step: hop for other in arrived for hop in other.trail if hop.step not in known}.values())
