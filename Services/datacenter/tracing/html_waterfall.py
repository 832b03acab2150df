"""When each step of a run was under way, waiting and at work, as rows of bars below one another. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from Services.datacenter.drawing.markup import node
from Services.datacenter.tracing.figures import duration, share, wire
from Services.datacenter.tracing.parts import MEANINGS, Span, Step, meanings
from Services.datacenter.tracing.trace import Trace

TICKS = 4  # parts of the scale
LONG_PAUSE = 0.4  # of the whole; what is longer is drawn
PAUSE = 10.0  # percent of the width wide


def where_time_went(trace: Trace) -> Iterator[Element]:
    """The critical path as one bar, with what each part of it comes to."""
    spans, total = trace.critical_spans, sum(span.duration_s for span in trace.critical_spans)
    if not total:
        return
    bars = [
        node("i", class_=f"{span.kind}-bar", style=f"flex:{span.duration_s / total:.5f}", title=_tip(span, trace))
        for span in spans
    ]
    yield node("div", *bars, class_="stack", role="img", aria_label="The critical path; the list below has its parts.")
    sums = {kind: sum(span.duration_s for span in spans if span.kind == kind) for kind in MEANINGS}
    names = meanings(trace.state)
    items = [
        node(
            "li",
            node("i", class_=f"{kind}-bar"),
            f"{kind}: {names[kind]}: ",
            node("b", f"{duration(spent)}, {share(spent / total)}"),
        )
        for kind, spent in sums.items()
        if spent
    ]
    yield node("ul", *items, class_="legend")


def _tip(span: Span, trace: Trace) -> str:
    step = next((one for one in trace.steps if one.id == span.step), None)
    return f"{span.kind}{f' of {step.name}' if step is not None else ''}: {duration(span.duration_s)}"


def waterfall(trace: Trace) -> Iterator[Element]:
    """A row for each step that is done, in the order in which they were sent, and what the marks in it mean."""
    done = sorted((step for step in trace.steps if step.hop is not None), key=_sent_at)
    scale = _Scale(trace, done)
    rows = [node("li", node("span", class_="what"), node("div", *scale.ticks(), class_="track"), class_="ruler")]
    rows += [_row(step, scale, trace) for step in done]
    notes = ["Every step from when it was sent until its device was done. ●: it is on the critical path."]
    notes += ["Dashed lines: a further attempt began."] if trace.attempt > 1 else []
    notes += ["Hatched: nothing was done that counted; drawn shorter than it was."] if scale.pause is not None else []
    yield node("p", " ".join(notes), class_="dim")
    yield node("ul", *rows, class_="fall")


def _sent_at(step: Step) -> float:
    return step.hop.sent_at if step.hop is not None else 0.0


def _row(step: Step, scale: _Scale, trace: Trace) -> Element:
    hop = step.hop
    assert hop is not None
    parts = [
        ("wire", hop.sent_at, hop.wire_s),
        ("wait", hop.received_at, hop.waited_s),
        ("device", hop.started_at, hop.device_s),
    ]
    said = f"wire {wire(hop)}, wait {duration(hop.waited_s)}, device {duration(hop.device_s)}"
    where = f"{hop.node}, attempt {hop.attempt}" if trace.attempt > 1 else hop.node
    what = node("div", node("b", f"{step.id} {step.name}"), f" on {where}", node("span", said), class_="what")
    bars = [scale.bar(kind, at, spent) for kind, at, spent in parts]
    track = node("div", *scale.marks(), *bars, class_="track", aria_hidden="true")
    return node("li", what, track, class_="critical" if step.id in trace.critical_path else "")


class _Scale:
    """From times to places, in percent of the width. A long time without any work, as after a death, is drawn short."""

    def __init__(self, trace: Trace, done: Sequence[Step]) -> None:
        hops = [step.hop for step in done if step.hop is not None]
        self._from = trace.submitted_at
        self._whole = max([*(hop.finished_at for hop in hops), self._from + trace.duration_s]) - self._from or 1e-3
        self._began = [attempt.began_at for attempt in trace.attempts[1:]]
        self.pause = _longest_pause([(hop.sent_at - self._from, hop.finished_at - self._from) for hop in hops], self._whole)

    def bar(self, kind: str, at: float, spent: float) -> Element:
        left, right = self._place(at), self._place(at + spent)
        return node(
            "i", class_=f"{kind}-bar", style=f"left:{left:.3f}%;width:{right - left:.3f}%", title=f"{kind}: {duration(spent)}"
        )

    def marks(self) -> Iterator[Element]:
        """What is behind the bars of every row."""
        if self.pause is not None:
            left, right = (self._place(self._from + at) for at in self.pause)
            yield node("s", style=f"left:{left:.3f}%;width:{right - left:.3f}%", title="nothing was done that counted")
        for number, at in enumerate(self._began, 2):
            yield node("u", style=f"left:{self._place(at):.3f}%", title=f"attempt {number}")

    def ticks(self) -> Iterator[Element]:
        at = [self._whole * number / TICKS for number in range(TICKS + 1)]
        if self.pause is not None:
            at = list(dict.fromkeys([0.0, *self.pause, self._whole]))  # it may be at an end
        for one in at:
            yield node("span", duration(one) if one else "0", style=f"left:{self._place(self._from + one):.1f}%")

    def _place(self, at: float) -> float:
        after = min(self._whole, max(0.0, at - self._from))
        if self.pause is None:
            return 100 * after / self._whole
        start, end = self.pause
        shown = min(after, start) + max(0.0, after - end)
        return (100 - PAUSE) * shown / (self._whole - end + start) + PAUSE * min(1.0, max(0.0, (after - start) / (end - start)))


def _longest_pause(busy: Sequence[tuple[float, float]], whole: float) -> tuple[float, float] | None:
    """From when to when nothing was under way, if that is so long that the rest could hardly be seen."""
    pauses, until = [], 0.0
    for start, end in sorted(busy):
        pauses.append((until, max(until, start)))
        until = max(until, end)
    longest = max(pauses, key=lambda pause: pause[1] - pause[0], default=(0.0, 0.0))
    return longest if longest[1] - longest[0] > LONG_PAUSE * whole else None
