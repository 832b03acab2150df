"""The messages of a run in their order, as far as they are known: between program, application node and devices. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from Services.datacenter.drawing import sequence
from Services.datacenter.drawing.sequence import HOME, PROGRAM, Event, Lifeline, Remark, Sequence, Work
from Services.datacenter.tracing.figures import duration, since, sized
from Services.datacenter.tracing.happened_graph import took
from Services.datacenter.tracing.parts import Hop, Message, Step
from Services.datacenter.tracing.trace import Trace

MOST_EVENTS = 600  # of a sequence; the first ones are shown
JUST_AFTER = 1e-6  # seconds; what a Unix time in a float can tell apart


def messages_of(trace: Trace) -> Sequence:
    """What went between the program, the application node and the devices. Of earlier attempts only steps are known."""
    events = [event for _, event in sorted(_Order(trace).events(), key=lambda pair: pair[0])]
    if len(events) > MOST_EVENTS:
        events = [*events[:MOST_EVENTS], Remark(f"and {len(events) - MOST_EVENTS} more")]
    kinds = {step.hop.node: step.operation.partition(".")[0] for step in trace.steps if step.hop is not None}
    homes = {attempt.home for attempt in trace.attempts}
    lifelines = [Lifeline(name, HOME if name in homes else kinds.get(name, name.rpartition("-")[0])) for name in _names(trace)]
    title = f"messages of {trace.name}"
    return Sequence(title, (Lifeline(PROGRAM, PROGRAM), *lifelines), tuple(events))


def _names(trace: Trace) -> list[str]:
    failed = [trace.failure.node] if trace.failure is not None and trace.failure.node else []
    return list(dict.fromkeys([*trace.nodes, *failed])) or [HOME]


Key = tuple[float, int, int]  # time; then causes before effects; then the order in which they were found


class _Order:
    """The events of a run with what puts them in order.

    Each node has a clock of its own. What caused an event was before it all the same, so its time counts as that of its cause
    at least. Where a time is not known, as of a step that a ledger has answered, it counts as just after its cause.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._began = trace.attempts[-1].began_at if trace.attempts else trace.submitted_at
        self._home = trace.attempts[-1].home if trace.attempts else _names(trace)[0]
        self._steps = {step.id: step for step in trace.steps}
        self._done: dict[int, float] = {}  # when each step's outputs were there, in the last attempt
        self._count = 0

    def events(self) -> Iterator[tuple[Key, Event]]:
        trace = self._trace
        first = trace.attempts[0].home if trace.attempts else self._home
        yield self._at(trace.submitted_at, 0, self._message(PROGRAM, first, "submit", "the graph", trace.submitted_at))
        for attempt in trace.attempts[1:]:
            text = f"attempt {attempt.number}, {self._since(attempt.began_at)}: {attempt.reason}"
            yield self._at(attempt.began_at, -1, Remark(text, bad=True))
        for step in trace.steps:
            yield from self._step(step)
        yield from self._home_again()
        if trace.ended_at is not None:
            yield from self._end(trace.ended_at)

    def _step(self, step: Step) -> Iterator[tuple[Key, Event]]:
        """How a step was sent, and that it was done."""
        hop, ready = step.hop, max([self._began, *(self._done.get(one, self._began) for one in step.needs)])
        arrivals = [one for one in self._trace.messages if one.to_step == step.id]
        is_of_attempt = hop is not None and hop.attempt == self._trace.attempt
        started = max(ready, hop.started_at) if hop is not None and is_of_attempt else ready
        requested = ready
        for one in sorted(arrivals, key=lambda message: message.kind != "request"):
            if one.kind == "request":
                at = min(started, max(self._sent(one, ready), one.sent_at or 0.0))
                requested = max(requested, at)
            else:
                at = min(started, max(requested, one.sent_at or started))
            name = step.name
            what = f"{name}, {sized(one.bytes)}" if one.kind == "request" else sized(one.bytes)
            yield self._at(at, 2, self._message(one.source, one.target, one.kind, what, one.sent_at, _detail(one, name)))
        if hop is not None and not is_of_attempt:
            yield self._at(hop.started_at, 3, self._work(step, hop))
            if arrivals:
                detail = f"{hop.node} had done it in attempt {hop.attempt} and answered it again"
                yield self._at(started, 3, Work(hop.node, f"{step.name}, again", detail))
        elif hop is not None:
            yield self._at(started, 3, self._work(step, hop))
            self._done[step.id] = max(started, hop.finished_at) + JUST_AFTER
        self._done.setdefault(step.id, started + JUST_AFTER)

    def _sent(self, message: Message, ready: float) -> float:
        """When a message can have been sent at the earliest: once the step that sent it was done, if one did."""
        return self._done.get(message.from_step, ready) if message.from_step is not None else ready

    def _home_again(self) -> Iterator[tuple[Key, Event]]:
        """Replies and completions, and what the centre of a star fetched."""
        for one in self._trace.messages:
            if one.to_step is None and not self._is_failure(one):
                at = max(self._sent(one, self._began), one.sent_at or 0.0)
                step = self._steps.get(one.from_step) if one.from_step is not None else None
                name = step.name if step is not None else "a step"
                words = f"{name} done, {sized(one.bytes)}" if one.kind == "completion" else sized(one.bytes)
                yield self._at(at, 1, self._message(one.source, one.target, one.kind, words, one.sent_at, _detail(one, name)))

    def _is_failure(self, message: Message) -> bool:
        """Whether a message brought the news that ended the run: from the node that failed, of no step that was done."""
        failure = self._trace.failure
        is_end = message.kind == "completion" and message.from_step is None
        return is_end and failure is not None and message.source == failure.node

    def _end(self, ended_at: float) -> Iterator[tuple[Key, Event]]:
        failure, latest = self._trace.failure, max([ended_at, *self._done.values()])
        if failure is not None:
            text = f"{failure.status}: {failure.message}"
            if failure.node and failure.step in self._steps:
                work = Work(failure.node, f"{self._steps[failure.step].name} failed", text, failed=True)
                yield self._at(latest, 3, work)
            for one in filter(self._is_failure, self._trace.messages):
                yield self._at(latest, 4, self._message(one.source, one.target, one.kind, f"failed, {sized(one.bytes)}", None))
            yield self._at(latest, 5, Remark(text, bad=True))
        yield self._at(latest, 6, self._message(self._home, PROGRAM, "result", self._trace.state, ended_at))

    def _work(self, step: Step, hop: Hop) -> Work:
        detail = f"{step.operation} on {hop.node}, attempt {hop.attempt}: device {duration(hop.device_s)}"
        return Work(hop.node, f"{step.name} {duration(hop.device_s)}", detail, self._since(hop.started_at))

    def _message(
        self, source: str, target: str, kind: sequence.Kind, text: str, at: float | None, detail: str = ""
    ) -> sequence.Message:
        return sequence.Message(source, target, kind, text, detail, self._since(at) if at is not None else "")

    def _since(self, at: float) -> str:
        return since(at - self._trace.submitted_at)

    def _at(self, at: float, rank: int, event: Event) -> tuple[Key, Event]:
        self._count += 1
        return (at, rank, self._count), event


def _detail(message: Message, name: str) -> str:
    return f"{name}: {sized(message.bytes)}{took(message)}"
