"""What happened to one run: its graph, attempts, hops, messages and bill, and what decided when it ended. Pure.

Made of what the run's application node says (`DescribeRun`); shown in a terminal, as JSON, in Perfetto, and as a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from protos import application_pb2, fractos_pb2
from Services.datacenter.tracing.critical_path import critical_spans, critical_steps
from Services.datacenter.tracing.messages import deliverer, read_messages
from Services.datacenter.tracing.parts import Attempt, ClockDifference, Edge, Failure, Hop, Message, Span, Step, StepState
from Services.fractos.bill import Bill


@dataclass(frozen=True)
class Trace:
    """What is known of a run at a time. `Trace.of` makes one."""

    run_id: str  # hexadecimal
    name: str  # the graph's
    topology: str
    state: str  # "running", "succeeded", "failed" or "cancelled"
    client: str
    submitted_at: float  # Unix times in seconds, as all others; by the application node's clock
    deadline: float
    ended_at: float | None  # None: it is under way
    seen_at: float  # when this was asked, by the clock of who asked
    attempts: tuple[Attempt, ...]
    steps: tuple[Step, ...]  # in the order of their ids: every edge leads to a later one
    messages: tuple[Message, ...]  # of the last attempt; none as long as the run is under way
    failure: Failure | None
    bill: Bill | None  # of the last attempt; None as long as the run is under way

    @classmethod
    def of(cls, description: application_pb2.RunDescription, seen_at: float) -> Trace:
        """Read what an application node says of a run."""
        info, result = description.info, description.result
        has_ended = description.HasField("result")
        failure = _failure(result.failure) if result.HasField("failure") else None
        steps = _steps(fractos_pb2.Graph.FromString(description.graph), result.trail, failure)
        by_id = {step.id: step for step in steps}
        ended_at = _ended_at(info, result) if has_ended else None
        return cls(
            run_id=info.run_id.hex(),
            name=info.name,
            topology=info.topology or "ring",
            state=state_name(info.state),
            client=info.client,
            submitted_at=info.submitted_at,
            deadline=info.deadline,
            ended_at=ended_at,
            seen_at=seen_at,
            attempts=_attempts(description.attempts, ended_at),
            steps=steps,
            messages=read_messages(result, by_id, info.topology or "ring"),
            failure=failure,
            bill=Bill(result) if has_ended else None,
        )

    @property
    def duration_s(self) -> float:
        """How long the run took, or has taken so far."""
        return max(0.0, (self.seen_at if self.ended_at is None else self.ended_at) - self.submitted_at)

    @property
    def is_open(self) -> bool:
        """Whether it is under way and nothing is known yet of what its steps have done."""
        return self.ended_at is None and not any(step.hop for step in self.steps)

    @property
    def attempt(self) -> int:
        """The number of the last attempt."""
        return max((attempt.number for attempt in self.attempts), default=1)

    @property
    def nodes(self) -> tuple[str, ...]:
        """All that had a part in it, the application node first, in the order in which they came in."""
        homes = [attempt.home for attempt in self.attempts]
        done = [step.hop for step in self.steps if step.hop is not None]
        seen = [*homes, *(hop.node for hop in sorted(done, key=lambda hop: hop.started_at))]
        seen += [end for message in self.messages for end in (message.source, message.target)]
        return tuple(dict.fromkeys(name for name in seen if name))

    def node_of(self, step: Step) -> str:
        """Where a step was done, or else failed; empty as long as that is not known."""
        return self.failure.node if step.state == "failed" and self.failure is not None else step.node

    @cached_property
    def critical_path(self) -> tuple[int, ...]:
        """The steps that decided when the run ended, the first one first."""
        return tuple(step.id for step in self._critical_steps)

    @cached_property
    def critical_spans(self) -> tuple[Span, ...]:
        """Where the run's time went: one after the other, from the submission to the end."""
        return critical_spans(self._critical_steps, self.attempts, self.submitted_at, self.ended_at)

    @cached_property
    def clock_differences(self) -> tuple[ClockDifference, ...]:
        """Whose clocks differ so much that a message seems to have arrived before it was sent: of each pair the most."""
        found: dict[tuple[str, str], float] = {}
        by_id = {step.id: step for step in self.steps}
        for step in self.steps:
            hop = step.hop
            if hop is None or hop.received_at >= hop.sent_at:
                continue
            before = deliverer(step, by_id, self.topology) if self.topology == "ring" else None
            source = before.hop.node if before is not None and before.hop is not None else self._home_of(hop.attempt)
            found[source, hop.node] = max(found.get((source, hop.node), 0.0), hop.sent_at - hop.received_at)
        return tuple(ClockDifference(*pair, at_least_s) for pair, at_least_s in found.items())

    @property
    def _critical_steps(self) -> tuple[Step, ...]:
        return critical_steps({step.id: step for step in self.steps}, self.topology, self.failure)

    def _home_of(self, number: int) -> str:
        return next((attempt.home for attempt in self.attempts if attempt.number == number), "")


def state_name(state: application_pb2.RunState) -> str:
    """How a state is written: "running", "succeeded", "failed" or "cancelled"."""
    return application_pb2.RunState.Name(state).lower()


def _steps(graph: fractos_pb2.Graph, trail: Sequence[fractos_pb2.Hop], failure: Failure | None) -> tuple[Step, ...]:
    """The graph's steps; of one that is not known any more, those of which a hop is there."""
    hops = {hop.step: _hop(hop) for hop in trail}
    declared = {step.id: step for step in graph.steps}
    for missing in hops.keys() - declared.keys():
        declared[missing] = fractos_pb2.Step(id=missing)
    needs: dict[int, list[int]] = {}
    for step in graph.steps:
        for edge in step.edges:
            needs.setdefault(edge.to, []).append(step.id)
    return tuple(
        Step(
            id=step.id,
            operation=step.operation,
            declared_node=step.node,
            edges=tuple(Edge(edge.to, tuple((one.source, one.target) for one in edge.bindings)) for edge in step.edges),
            needs=tuple(needs.get(step.id, ())),
            output=step.output,
            state=_step_state(step.id, hops, failure),
            hop=hops.get(step.id),
        )
        for _, step in sorted(declared.items())
    )


def _step_state(step: int, hops: dict[int, Hop], failure: Failure | None) -> StepState:
    if step in hops:
        return "done"
    return "failed" if failure is not None and failure.step == step else "open"


def _hop(hop: fractos_pb2.Hop) -> Hop:
    return Hop(
        node=hop.node,
        attempt=hop.attempt,
        sent_at=hop.sent_at,
        received_at=hop.received_at,
        started_at=hop.started_at,
        finished_at=hop.finished_at,
        request_bytes=hop.request_bytes,
        response_bytes=hop.response_bytes,
        fetched_bytes=hop.fetched_bytes,
    )


def _attempts(attempts: Sequence[fractos_pb2.Attempt], ended_at: float | None) -> tuple[Attempt, ...]:
    ends = [*(attempt.began_at for attempt in attempts[1:]), ended_at]
    return tuple(
        Attempt(attempt.number, attempt.began_at, end, attempt.home, attempt.reason)
        for attempt, end in zip(attempts, ends, strict=True)
    )


def _failure(failure: fractos_pb2.Failure) -> Failure:
    return Failure(
        status=failure.status,
        message=failure.message,
        step=failure.step if failure.operation else None,
        operation=failure.operation,
        node=failure.node,
        attempt=failure.attempt,
        causes=tuple(failure.causes),
        log_file=failure.log_file,
        definite=failure.definite,
        field=failure.field,
    )


def _ended_at(info: application_pb2.RunInfo, result: application_pb2.RunResult) -> float:
    """When the run ended; older journals do not know, but when the last step was done."""
    return result.ended_at or info.ended_at or max((hop.finished_at for hop in result.trail), default=info.submitted_at)
