"""Which steps decided when a run ended, and where its time went. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from Services.datacenter.tracing.messages import deliverer
from Services.datacenter.tracing.parts import Attempt, Failure, Hop, Span, SpanKind, Step


def critical_steps(steps: Mapping[int, Step], topology: str, failure: Failure | None) -> tuple[Step, ...]:
    """The chain of steps that decided when the run ended, the first one first: over joins the latest deliverer.

    Of a run that failed it leads to the step that failed; of one that has not ended, to the last one that is known to be done.
    """
    step: Step | None
    if failure is not None and failure.step is not None and failure.step in steps:
        step = steps[failure.step]
    else:
        step = max((one for one in steps.values() if one.hop), key=lambda one: one.finished_at, default=None)
    chain: list[Step] = []
    while step is not None:
        chain.append(step)
        step = deliverer(step, steps, topology)
    return tuple(reversed(chain))


def critical_spans(
    chain: Sequence[Step], attempts: Sequence[Attempt], submitted_at: float, ended_at: float | None
) -> tuple[Span, ...]:
    """Where the time went from the submission to the end, along the critical path; without an end, as far as it is known."""
    path = _Path(submitted_at, attempts)
    for step in chain:
        if step.hop is not None:
            path.add_hop(step.id, step.hop)
    if ended_at is not None:
        path.go_to(ended_at, "end", chain[-1].id if chain else None)
    return tuple(path.spans)


class _Path:
    """The spans so far; each begins where the one before ended."""

    def __init__(self, began_at: float, attempts: Sequence[Attempt]) -> None:
        self.spans: list[Span] = []
        self._at = began_at
        self._attempts = attempts

    def add_hop(self, step: int, hop: Hop) -> None:
        self.go_to(hop.sent_at, "start", step)
        self._to(hop.received_at, "wire", step)
        self._to(hop.started_at, "wait", step)
        self._to(hop.finished_at, "device", step)

    def go_to(self, at: float, kind: SpanKind, step: int | None) -> None:
        """Go on to when a step was sent, or the run ended. What came before a further attempt began was lost."""
        began = [attempt.began_at for attempt in self._attempts if attempt.reason and self._at < attempt.began_at <= at]
        if began:
            self._to(max(began), "lost", step)
        self._to(at, kind, step)

    def _to(self, at: float, kind: SpanKind, step: int | None) -> None:
        if at > self._at:
            self.spans.append(Span(kind, step, self._at, at))
            self._at = at
