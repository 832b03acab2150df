"""What a node tells the home of a run: that a step is done, that it failed, or that it may have got lost. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping
from typing import Any

from protos import fractos_pb2
from Services.fractos.errors import Context, UnavailableError, failure_of, log_level, told_of
from Services.fractos.events import Effect, Log, SendFrame
from Services.fractos.ledger import Ledger
from Services.fractos.placement import Identity

AGAIN_S = 0.2  # how long a Completion waits before it is sent again, doubled as long as its home cannot be reached
MAX_AGAIN_S = 5.0

TakeHere = Callable[[fractos_pb2.Completion], None]


class Reports:
    """The Completions of one node. `take_here` takes those of runs that have their home at this very node."""

    def __init__(self, identity: Identity, ledger: Ledger, emit: Callable[[Effect], None], take_here: TakeHere | None) -> None:
        self._identity = identity
        self._ledger = ledger
        self._emit = emit
        self._take_here = take_here
        self._again: list[tuple[float, int, SendFrame]] = []  # a heap: when they are due, and what keeps them in order
        self._count = 0
        self.next_due = math.inf  # when `resend` has something to do
        self._waits: dict[str, float] = {}  # by home that could not be reached: how long the next Completion waits

    def complete(
        self,
        request: fractos_pb2.Request,
        *,
        output: bytes | None = None,
        reply: fractos_pb2.Reply | None = None,
        failure: fractos_pb2.Failure | None = None,
        lost: bool = False,
        owner: fractos_pb2.Owner | None = None,
    ) -> None:
        """Send a Completion to the run's home. `lost`: the step did not reach its node, or may not have.

        `output` is the response as a whole, `reply` what other steps wait for, if the home has to pass it on.
        """
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
        if owner is not None:
            completion.owner.CopyFrom(owner)
        if reply is not None:
            completion.reply.CopyFrom(reply)
        if output is not None:
            completion.trail[-1].output = output
        if request.steps[0].output and failure is None:
            completion.output_bytes = len(completion.trail[-1].output)
        if self._take_here is not None and request.home == self._identity.address:
            self._take_here(completion)
        else:
            self._emit(SendFrame(request.home, frame))

    def fail(self, request: fractos_pb2.Request, error: BaseException, hop: Mapping[str, Any] | None = None) -> None:
        """A step failed, and its run with it. `hop` are the fields of a Hop, if it was at the device."""
        step, failure = request.steps[0], self._failure(request, error)
        text = f"step failed: {told_of(failure)}"
        self._emit(Log(log_level(failure.status), text, request.run_id, request.attempt, step.id, step.operation))
        if hop is not None:
            failure.hop.CopyFrom(fractos_pb2.Hop(**hop))
        self.complete(request, failure=failure)

    def lose(self, request: fractos_pb2.Request, error: BaseException) -> None:
        """A step did not get to where it could be done, or may not have: another attempt may."""
        self.complete(request, failure=self._failure(request, error), lost=True)

    def lose_unknown(self, request: fractos_pb2.Request, node: str) -> None:
        """A node may or may not have taken a Request."""
        lost = f"the channel to {node} broke before it acknowledged {request.steps[0].operation}"
        self.lose(request, UnavailableError(f"{lost}: nobody knows whether it was done", definite=False))

    def redirect(self, request: fractos_pb2.Request, address: str, epoch: int) -> None:
        """A Request should have been sent to another owner, or in another epoch. It has changed nothing."""
        operation = request.steps[0].operation
        text = f"{operation} was not sent to the owner of what it works on, which is at {address} in epoch {epoch}"
        failure = self._failure(request, UnavailableError(text))
        self.complete(request, failure=failure, lost=True, owner=fractos_pb2.Owner(address=address, epoch=epoch))

    def lost(self, address: str, completions: list[fractos_pb2.Frame], now: float) -> None:
        """Have Completions sent once more that may not have arrived. One may come twice: the home takes the first."""
        if not completions:
            return
        wait_s = self._waits.get(address, AGAIN_S)
        self._waits[address] = min(2 * wait_s, MAX_AGAIN_S)
        for frame in completions:
            self._count += 1
            heapq.heappush(self._again, (now + wait_s, self._count, SendFrame(address, frame)))
        self.next_due = self._again[0][0]

    def reached(self, address: str) -> None:
        """A node answers: what is lost on the way to it next need not wait for long."""
        self._waits.pop(address, None)

    def resend(self, now: float) -> None:
        """Send once more what is due, unless nobody waits for it any more: the run is over, or a later attempt has begun."""
        while self._again and self._again[0][0] <= now:
            _, _, effect = heapq.heappop(self._again)
            completion = effect.frame.completion
            if now <= completion.deadline and not self._ledger.is_past(completion.run_id, completion.attempt):
                self._emit(effect)
        self.next_due = self._again[0][0] if self._again else math.inf
        if not self._again:
            self._waits.clear()

    def _failure(self, request: fractos_pb2.Request, error: BaseException) -> fractos_pb2.Failure:
        step = request.steps[0]
        context = Context(
            step=step.id,
            operation=step.operation,
            node=self._identity.name,
            attempt=request.attempt,
            log_file=self._identity.log,
        )
        failure = failure_of(error, context)
        failure.definite &= not request.trail  # what earlier steps did has happened
        return failure


def log_of(failure: fractos_pb2.Failure, run_id: bytes, name: str, home: Identity) -> Log:
    """What the home of a run tells its log when the run, of that name, has failed."""
    text = f"{name} failed on {failure.node}: {told_of(failure)}"
    if failure.log_file != home.log:
        text += f"; see {failure.log_file}"
    step = failure.step if failure.operation else None
    return Log(log_level(failure.status), text, run_id, failure.attempt, step, failure.operation)
