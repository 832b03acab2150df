"""One run as its application node sees it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from protos import application_pb2, fractos_pb2
from Services.fractos.delivery import Bound, Outputs
from Services.fractos.errors import AlreadyExistsError, Context, ResourceExhaustedError, RunCancelledError, failure_of
from Services.fractos.plan import MAX_MESSAGE_BYTES, Plan
from Services.fractos.records import EndRecord, Place

MAX_RESULT_BYTES = 2 * MAX_MESSAGE_BYTES


@dataclass(slots=True)
class Gathered:
    """What has come back to the centre of a star in one attempt."""

    replied: set[int] = field(default_factory=set)  # steps
    bringing: dict[int, tuple[Outputs, list[fractos_pb2.Memory]]] = field(default_factory=dict)  # by step: what is fetched now
    bound: dict[int, dict[int, Bound]] = field(default_factory=dict)  # step that waits → step that has delivered


@dataclass(slots=True)
class Run:
    """One run, from its submission until it is forgotten."""

    run_id: bytes
    plan: Plan
    submitted_at: float
    deadline: float
    client: str = ""  # whose run it is; empty: anybody's
    pending: set[int] = field(default_factory=set)  # steps whose Completion is awaited
    placed: dict[int, Place] = field(default_factory=dict)  # the processes of those steps that have got one
    tickets: list[int] = field(default_factory=list)  # submissions that are not answered yet, since nothing is recorded
    trail: Sequence[fractos_pb2.Hop] = ()  # of each step once; that of a chain in the order of its steps
    arrivals: list[dict[str, Any]] = field(default_factory=list)  # what has come here over the network in this attempt
    gathered: Gathered = field(default_factory=Gathered)
    attempt: int = 1
    first_attempt: int = 1  # of this owner of the journal
    repeat_until: float = 0.0  # a next attempt is due, and nodes that are missing are waited for until then; 0: none is due
    trouble: str = ""  # what went wrong first,
    reason: str = ""  # and last
    attempts: list[fractos_pb2.Attempt] = field(default_factory=list)  # those that were sent
    traceparent: str = ""  # the client's
    ended_at: float = 0.0
    result: application_pb2.RunResult | None = None
    result_bytes: int = 0

    def begin_attempt(self, home: str, now: float) -> None:
        """Take note that an attempt begins, the one with the number `attempt`."""
        self.attempts.append(fractos_pb2.Attempt(number=self.attempt, began_at=now, home=home, reason=self.reason))

    def recorded_attempts(self) -> bytes:
        """The attempts as the journal keeps them, and the trace that they belong to."""
        return application_pb2.RunResult(attempts=self.attempts, traceparent=self.traceparent).SerializeToString()

    def recall_attempts(self, recorded: bytes) -> None:
        """Take over what the journal has kept of them."""
        known = application_pb2.RunResult.FromString(recorded)
        self.attempts, self.traceparent = list(known.attempts), known.traceparent

    def end(self, here: Context, failure: fractos_pb2.Failure | None, now: float) -> None:
        """Make the result: that of a success without a `failure`. `here` is where that is."""
        trail = self.trail if self.plan.is_chain else sorted(self.trail, key=lambda hop: hop.finished_at)
        result = application_pb2.RunResult(
            run_id=self.run_id,
            trail=trail,
            failure=failure,
            arrivals=self.arrivals,
            home=here.node,
            attempt=self.attempt,
            attempts=self.attempts,
            ended_at=now,
            traceparent=self.traceparent,
        )
        if (size_bytes := result.ByteSize()) > MAX_RESULT_BYTES:
            text = f"the outputs that were asked for have {size_bytes} bytes together; the limit is {MAX_RESULT_BYTES}"
            result.failure.CopyFrom(failure_of(ResourceExhaustedError(text, definite=False), here))
            for hop in result.trail:
                hop.ClearField("output")
        if result.HasField("failure"):  # with several branches, or steps done, something has happened
            result.failure.definite &= not trail and len(self.plan.openings) == 1
        self.result = result
        self.trail, self.arrivals, self.gathered = (), [], Gathered()

    def end_record(self, forget_at: float) -> EndRecord:
        """What the journal keeps of a run that has ended."""
        assert self.result is not None
        serialized = self.result.SerializeToString()
        self.result_bytes = len(serialized)
        failed = self.result.HasField("failure")
        state, ended_at = state_of(self.result), self.result.ended_at
        return EndRecord(self.run_id, serialized, failed, forget_at, self.plan.outline, state, ended_at)

    def awaits(self, completion: fractos_pb2.Completion) -> bool:
        """Whether a Completion of this attempt is news: one may come twice."""
        if not completion.HasField("reply"):
            return completion.step in self.pending or completion.lost or completion.HasField("failure")
        step = self.plan.steps.get(completion.step)
        return step is not None and step.reply and step.id not in self.gathered.replied

    def add_trail(self, trail: Sequence[fractos_pb2.Hop]) -> None:
        """Take note of more steps that were done."""
        self.trail = _merged(self.trail, trail) if self.trail else trail

    @property
    def state(self) -> application_pb2.RunState:
        """Where the run stands. It has not ended until that is recorded."""
        return state_of(self.result) if self.result is not None and self.ended_at else application_pb2.RUNNING


def is_for(owner: str, client: str) -> bool:
    """Whether a client may see and end a run of `owner`; the client without a name may see all."""
    return client in ("", owner)


def check_same(run_id: bytes, known: tuple[str, bytes], asked: tuple[str, bytes]) -> None:
    """Raise AlreadyExistsError unless client and graph are those that are known under the same id."""
    if known != asked:
        different = "with another graph" if known[0] == asked[0] else "by another client"
        raise AlreadyExistsError(
            f"run {run_id.hex()} was submitted before {different}; a new run needs a new id", field="run_id"
        )


def state_of(result: application_pb2.RunResult) -> application_pb2.RunState:
    """How a run ended."""
    if not result.HasField("failure"):
        return application_pb2.SUCCEEDED
    return application_pb2.CANCELLED if result.failure.status == RunCancelledError.status else application_pb2.FAILED


def _merged(known: Sequence[fractos_pb2.Hop], more: Iterable[fractos_pb2.Hop]) -> Sequence[fractos_pb2.Hop]:
    """Both trails' hops, of each step the one that carries its output."""
    hops = {hop.step: hop for hop in known}
    for hop in more:
        if hop.step not in hops or hop.HasField("output"):
            hops[hop.step] = hop
    return list(hops.values())
