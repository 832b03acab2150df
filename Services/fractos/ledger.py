"""What a node remembers of runs: steps and what they answered, joins half full, runs that are over. Pure.

It makes a Request that arrives twice, or after its run has ended, do nothing, and has a step that an earlier attempt did answer
again instead of being done again. An entry lasts until the run's deadline and `CLOCK_BOUND_S` beyond it, since later no node
accepts a Request of the run anyway. It never forgets early: a full ledger refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xxhash

from protos import fractos_pb2
from Services.fractos.errors import AbortedError, ResourceExhaustedError
from Services.fractos.schedule import Schedule

CLOCK_BOUND_S = 5.0  # channels refuse a peer whose clock is further off than this
KEPT_BYTES = 256 << 20  # of answers that may be made again; what may not be is kept in any case
SHORT_BYTES = 64  # inputs up to this size are kept as they are, of longer ones a digest


class BegunStep:
    """A step of a run that this node has begun."""

    __slots__ = ("attempt", "began_in", "beside", "error", "hop", "inputs", "response", "whole")

    def __init__(self, attempt: int, inputs: bytes) -> None:
        self.attempt = attempt  # the latest that asked for it
        self.began_in = attempt  # the one whose Request the device got
        self.inputs = inputs
        self.hop: dict[str, Any] | None = None  # the fields of its Hop; None: the device is at work
        self.response: bytes | None = None  # serialized; None although it is done: it failed, or was too large to be kept
        self.beside: Sequence[fractos_pb2.Argument] = ()  # outputs that are not in it, since they are Memory
        self.whole: bytes | None = None  # the response with all of its values, if the client wants it
        self.error: BaseException | None = None


class _Run:
    """What passed through of a run that is not over."""

    __slots__ = ("attempt", "joins", "kept_bytes", "steps")

    def __init__(self) -> None:
        self.attempt = 0  # the latest that was seen
        self.steps: dict[int, BegunStep] = {}
        self.joins: dict[int, dict[int, fractos_pb2.Request]] = {}  # of this attempt: step → sender → Request
        self.kept_bytes = 0


class Ledger:
    """Runs by id, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._runs: dict[bytes, _Run | None] = {}  # None: the run is over
        self._kept_bytes = 0
        self.expiry: Schedule[bytes] = Schedule(tick_s=1.0)  # when `expire` has something to do

    def __len__(self) -> int:
        return len(self._runs)

    def admit(self, request: fractos_pb2.Request) -> list[fractos_pb2.Request] | None:
        """Take note of a Request. Returns all that its step was waiting for, this one included, in the order of their senders.

        Returns None if there is nothing to do: the step waits for more, this attempt has asked for it before, a later attempt
        is under way, or the run is over. Raises ResourceExhaustedError if the ledger is full.
        """
        run = self._run(request.run_id, request.deadline)
        if run is None:
            return None
        attempt = request.attempt
        if attempt != run.attempt:
            if attempt < run.attempt:
                return None
            run.attempt = attempt
            run.joins.clear()
        step = request.steps[0]
        known = run.steps.get(step.id)
        if known is not None and known.attempt == attempt:
            return None
        if step.needs <= 1:
            return [request]
        joined = run.joins.setdefault(step.id, {})
        joined.setdefault(request.sender, request)
        if len(joined) < step.needs:
            return None
        return [one for _, one in sorted(run.joins.pop(step.id).items())]

    def has_begun(self, run_id: bytes, step_id: int) -> bool:
        """Whether a step of a run that is not over was begun here before."""
        run = self._runs.get(run_id)
        return run is not None and step_id in run.steps

    def begin(self, run_id: bytes, attempt: int, step_id: int, inputs: bytes) -> BegunStep | None:
        """Take note that an admitted step begins. Returns what an earlier attempt made of it, or None: it has to be done now.

        Raises AbortedError if the earlier attempt had other inputs.
        """
        run = self._runs[run_id]
        assert run is not None
        if len(inputs) > SHORT_BYTES:
            inputs = xxhash.xxh3_128_digest(inputs)  # as Memory has: they need to be told apart, not proven
        known = run.steps.get(step_id)
        if known is None:
            run.steps[step_id] = BegunStep(attempt, inputs)
            return None
        if known.inputs != inputs:
            raise AbortedError(
                f"the inputs of step {step_id} are not those of attempt {known.began_in}, which did it: what an earlier step"
                " read has changed since; run the graph again",
                definite=False,
            )
        known.attempt = attempt
        if known.hop is not None and known.response is None and known.error is None:
            run.steps[step_id] = BegunStep(attempt, inputs)
            return None
        return known

    def end(
        self,
        run_id: bytes,
        step_id: int,
        hop: dict[str, Any],
        response: bytes,
        *,
        beside: Sequence[fractos_pb2.Argument] = (),
        whole: bytes | None = None,
        repeatable: bool,
    ) -> None:
        """Keep what a step answered, for later attempts. A large answer is not kept if it may be made again.

        As plain values, which keep no Request alive and cost the garbage collector nothing.
        """
        run = self._runs[run_id]
        assert run is not None
        step = run.steps[step_id]
        step.hop = hop
        size = len(response) + len(whole or b"")
        if not repeatable or self._kept_bytes + size <= KEPT_BYTES:
            step.response, step.beside, step.whole = response, beside, whole
            run.kept_bytes += size
            self._kept_bytes += size

    def forget(self, run_id: bytes, step_id: int) -> None:
        """A step that was begun did not reach the device after all: a later attempt may have other inputs for it."""
        run = self._runs[run_id]
        assert run is not None
        del run.steps[step_id]

    def fail(self, run_id: bytes, step_id: int, error: BaseException) -> None:
        """Keep why a step failed, for later attempts."""
        run = self._runs[run_id]
        assert run is not None
        run.steps[step_id].error = error

    def finish(self, run_id: bytes, deadline: float) -> None:
        """The run is over: keep nothing of it but its id."""
        if run_id not in self._runs:
            self.expiry.add(run_id, deadline + CLOCK_BOUND_S)
        self._drop(self._runs.get(run_id))
        self._runs[run_id] = None

    def is_over(self, run_id: bytes) -> bool:
        """Whether the run is known to have ended."""
        return self._runs.get(run_id, self) is None

    def is_past(self, run_id: bytes, attempt: int) -> bool:
        """Whether the run is known to have ended, or to be under way in a later attempt."""
        run = self._runs.get(run_id, self)
        return run is None or (isinstance(run, _Run) and run.attempt > attempt)

    def is_open(self, run_id: bytes) -> bool:
        """Whether the run is known and has not ended."""
        return self._runs.get(run_id) is not None

    def expire(self, now: float) -> None:
        """Forget the runs whose time is over."""
        for run_id in self.expiry.pop_due(now):
            self._drop(self._runs.pop(run_id, None))

    @property
    def kept_bytes(self) -> int:
        """How much the answers hold that are kept."""
        return self._kept_bytes

    def _run(self, run_id: bytes, deadline: float) -> _Run | None:
        if run_id in self._runs:
            return self._runs[run_id]
        self.check_room()
        self.expiry.add(run_id, deadline + CLOCK_BOUND_S)
        run = self._runs[run_id] = _Run()
        return run

    def _drop(self, run: _Run | None) -> None:
        if run is not None:
            self._kept_bytes -= run.kept_bytes

    def check_room(self) -> None:
        """Raise ResourceExhaustedError if there is no room for another run."""
        if len(self._runs) >= self._limit:
            raise ResourceExhaustedError(
                f"this node remembers {self._limit} runs, which is its limit; use shorter timeouts or submit more slowly",
                retry_after_s=1.0,
            )
