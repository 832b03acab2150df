"""What a trace is made of. Pure.

Times are Unix times in seconds, each by the clock of the node where it was taken. Clocks of several hosts differ: durations are
never negative here, and `ClockDifference` says which nodes' times do not fit together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StepState = Literal["done", "failed", "open"]  # open: nothing is known of it. It has not begun, is under way, or got lost
MessageKind = Literal["request", "reply", "completion", "memory"]
SpanKind = Literal["lost", "start", "wire", "wait", "device", "end"]
MEANINGS: dict[SpanKind, str] = {  # what the time of a run went to
    "lost": "lost until a further attempt began",
    "start": "before steps were sent",
    "wire": "on the wire",
    "wait": "waiting at nodes",
    "device": "at devices",
    "end": "from the last step home",
}
ENDS = {  # what "end" means where a run did not succeed
    "failed": "after what was done of that path, until it failed",
    "cancelled": "after what was done of that path, until it was cancelled",
}


@dataclass(frozen=True)
class Attempt:
    """One time that the run was sent on its way."""

    number: int  # counts from 1
    began_at: float
    ended_at: float | None  # when the next one began, or the run ended; None: it is under way
    home: str  # the application node that sent it
    reason: str  # why the one before was not enough; empty for the first


@dataclass(frozen=True)
class Edge:
    """One step delivers to another."""

    to: int
    fields: tuple[tuple[str, str], ...]  # of the response → of the next request; none: it only orders the two


@dataclass(frozen=True)
class Hop:
    """One step as it was done."""

    node: str
    attempt: int  # in which the device did it; a later one may have got it from the node's ledger
    sent_at: float  # by the clock of the sender, as it handed the step on
    received_at: float  # by the node's clock, as the next two
    started_at: float  # the device began
    finished_at: float  # the device was done
    request_bytes: int
    response_bytes: int
    fetched_bytes: int  # of the request, what came as Memory

    @property
    def wire_s(self) -> float:
        """From the sender's hand into the node's."""
        return max(0.0, self.received_at - self.sent_at)

    @property
    def waited_s(self) -> float:
        """From arrival until the device began; Memory was fetched meanwhile."""
        return max(0.0, self.started_at - self.received_at)

    @property
    def device_s(self) -> float:
        """How long the device took."""
        return max(0.0, self.finished_at - self.started_at)


@dataclass(frozen=True)
class Step:
    """A step of the graph, and what happened to it."""

    id: int
    operation: str  # "storage.read_image"; empty: the graph is not known any more
    declared_node: str  # empty: any node of the type
    edges: tuple[Edge, ...]  # to the steps that wait for this one
    needs: tuple[int, ...]  # the steps that this one waits for
    output: bool  # the client asked for the whole response
    state: StepState
    hop: Hop | None  # when it is done

    @property
    def name(self) -> str:
        """The operation without its type; where the graph is not known any more, the step's number."""
        return self.operation.partition(".")[2] or self.operation or f"step {self.id}"

    @property
    def node(self) -> str:
        """The node that did it; empty if none is known to have."""
        return self.hop.node if self.hop is not None else ""

    @property
    def finished_at(self) -> float:
        """When the device was done; 0 if it is not known to be."""
        return self.hop.finished_at if self.hop is not None else 0.0


@dataclass(frozen=True)
class Message:
    """What came over the network for the run in its last attempt, as it was counted where it arrived."""

    kind: MessageKind
    source: str
    target: str
    bytes: int  # of the frame, or of the Memory that was fetched
    from_step: int | None  # that delivered it; None: the application node sent it, or nobody knows
    to_step: int | None  # that it was for; None: for the application node
    sent_at: float | None  # None: not known, as of a step whose ledger answered this attempt
    received_at: float | None


@dataclass(frozen=True)
class Span:
    """A part of the time that the run took. Those of the critical path follow one another without a gap.

    lost: work of attempts that came to nothing, until the next one began; start: a step that could be sent was not yet (the
    journal, admission, a centre); wire: on its way; wait: at the node, until the device began; device; end: after what was
    done, which is the way home of a run that succeeded.
    """

    kind: SpanKind
    step: int | None  # the one that it is a part of
    began_at: float
    ended_at: float  # never before it began

    @property
    def duration_s(self) -> float:
        """In seconds."""
        return self.ended_at - self.began_at


def meanings(state: str) -> dict[SpanKind, str]:
    """What each kind of span means in a run that is in this state."""
    return {**MEANINGS, "end": ENDS.get(state, MEANINGS["end"])}


@dataclass(frozen=True)
class Failure:
    """Why the run failed."""

    status: str  # the name of a gRPC status code
    message: str
    step: int | None  # None: no single step did
    operation: str
    node: str  # that said so
    attempt: int
    causes: tuple[str, ...]  # the outermost first
    log_file: str  # of that node
    definite: bool  # what was asked for has certainly not happened
    field: str  # the argument at fault, if it is one


@dataclass(frozen=True)
class ClockDifference:
    """A message seems to have arrived before it was sent: the target's clock is behind the source's."""

    source: str
    target: str
    at_least_s: float
