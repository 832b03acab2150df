"""A trace as a person reads it in a terminal: what the run was, where its time went, why it failed, what it cost. Pure."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from Services.datacenter.next_command import to_type
from Services.datacenter.tracing.figures import duration, harmless, moment, size, zone
from Services.datacenter.tracing.finding import SHOWN_DIGITS
from Services.datacenter.tracing.parts import MEANINGS, Failure, meanings
from Services.datacenter.tracing.trace import Trace
from Services.datacenter.tracing.waterfall import BLOCKS, Marks, attempt_lines, waterfall

STATE_STYLES = {"running": "yellow", "succeeded": "green", "failed": "bold red", "cancelled": "yellow"}
NARROWEST = 80  # columns
MOST_STEPS = 20  # of the graph of a run under way, the first ones


def story(trace: Trace, root: Path, width: int, marks: Marks = BLOCKS) -> list[Text]:
    """All lines, with commands for the datacenter in `root`.

    None is longer than `width` or 80, whichever is more, but for names of files and commands to copy.
    """
    width = max(width, NARROWEST)
    lines = [*_head(trace, width), Text()]
    if trace.is_open:
        lines += _asked(trace, width)
    elif trace.steps:
        lines += [*waterfall(trace, width, marks), Text(), *_legend(trace, width, marks)]
    for part in (_critical, _recoveries, _clocks, _bill):
        lines += [Text(line) for text in part(trace) for line in _wrapped(text, width)]
    if trace.ended_at is None:
        lines += _under_way(trace, root, width)
    if trace.failure is not None:
        lines += [Text(), *_failure(trace.failure, trace.run_id[-SHOWN_DIGITS:], root, width)]
    for line in lines:
        line.plain = harmless(line.plain)
    return lines


def _head(trace: Trace, width: int) -> Iterator[Text]:
    ended = " for" if trace.ended_at is None else " after" if trace.state != "succeeded" else " in"
    said = f"{trace.state}{ended} {duration(trace.duration_s)}"
    yield Text.assemble(f"run {trace.run_id}  ", (said, STATE_STYLES.get(trace.state, "")))
    submitted = f"{moment(trace.submitted_at, trace.seen_at)} {zone(trace.seen_at)}"
    attempts = f", {len(trace.attempts)} attempts" if len(trace.attempts) > 1 else ""
    steps = f"{len(trace.steps)} step{'s' * (len(trace.steps) != 1)}"
    text = f"{trace.name!r}, a {trace.topology} of {steps}{attempts}, submitted {submitted} by {trace.client or 'a client'}"
    for line in _wrapped(text, width):
        yield Text(line)


def _asked(trace: Trace, width: int) -> Iterator[Text]:
    """What is known of a run under way: its attempts and its graph."""
    for attempt in trace.attempts:
        yield from attempt_lines(trace, attempt, width)
    shown = [
        f"{step.id} {step.operation}" + (f" > {', '.join(str(edge.to) for edge in step.edges)}" if step.edges else "")
        for step in trace.steps[:MOST_STEPS]
    ]
    shown += [f"and {len(trace.steps) - MOST_STEPS:,} more"] if len(trace.steps) > MOST_STEPS else []
    for line in _wrapped(f"graph: {'; '.join(shown)}", width):
        yield Text(line)


def _legend(trace: Trace, width: int, marks: Marks) -> Iterator[Text]:
    said = [f"{marks.wire} on the wire", f"{marks.wait} waiting", f"{marks.device} at the device"]
    if len(trace.attempts) > 1:
        said.append(f"{marks.attempt} a further attempt")
    said += ["* on the critical path", "in, out: bytes"]
    if any(step.hop is not None and step.hop.attempt < trace.attempt for step in trace.steps):
        said.append("att (n): done in attempt n and kept, for its node answered the last attempt without doing it again")
    for line in _wrapped("; ".join(said), width):
        yield Text(line, style="dim")


def _critical(trace: Trace) -> Iterator[str]:
    path, spans = trace.critical_path, trace.critical_spans
    if not path or not spans:
        return
    shown = [str(step) for step in path]
    if len(shown) > 12:
        shown = [*shown[:5], "...", *shown[-5:]]
    sums = {kind: sum(span.duration_s for span in spans if span.kind == kind) for kind in MEANINGS}
    names = meanings(trace.state)
    parts = [f"{duration(took)} {names[kind]}" for kind, took in sorted(sums.items(), key=lambda item: -item[1]) if took > 0]
    yield f"critical path: {' > '.join(shown)}; {', '.join(parts)}"


def _recoveries(trace: Trace) -> Iterator[str]:
    if len(trace.attempts) < 2:
        return
    counts = Counter(step.hop.attempt for step in trace.steps if step.hop is not None)
    if counts:
        done = ", ".join(f"{counts[one.number] or 'none'} in attempt {one.number}" for one in trace.attempts)
        yield f"recovery: the graph was sent {len(trace.attempts)} times; steps done: {done}"
    if len(trace.attempts) > 2:
        yield (
            "why more than once: a death is noticed by every node that has a channel to the dead one, and by the directory; at"
            " each notice what it may have got by then is sent again. Steps that were done"
            " are answered, not done twice, unless their node died"
        )


def _clocks(trace: Trace) -> Iterator[str]:
    for one in trace.clock_differences:
        yield (
            f"clocks: {one.target}'s is behind {one.source}'s by at least {duration(one.at_least_s)}; times between the two are"
            " not exact, and none is shown as negative"
        )


def _bill(trace: Trace) -> Iterator[str]:
    if trace.bill is None:
        return
    total = trace.bill.total
    counts = {"requests": total.requests, "replies": total.replies, "completions": total.completions}
    said = ", ".join(f"{count} {name if count != 1 else _ONE[name]}" for name, count in counts.items() if count)
    of = " of the last attempt" if trace.attempt > 1 else ""
    fetched = f", and {size(total.fetched_bytes)} bytes fetched as Memory" if total.fetched_bytes else ""
    messages = f"{total.hops} message{'s' * (total.hops != 1)} ({said or 'none'})"
    yield f"network{of}: {messages} of {size(total.frame_bytes)} bytes{fetched}"


def _under_way(trace: Trace, root: Path, width: int) -> Iterator[Text]:
    left = duration(max(0.0, trace.deadline - trace.seen_at))
    said = f"it is under way, for {left} at most; what its steps have done is told when it has ended"
    for line in _wrapped(said, width):
        yield Text(line)
    yield Text(f"look again: {to_type(root, f'trace {trace.run_id[-SHOWN_DIGITS:]}')}")


def _failure(failure: Failure, run: str, root: Path, width: int) -> Iterator[Text]:
    where = f" at step {failure.step} ({failure.operation})" if failure.step is not None else ""
    node = f" on {failure.node}" if failure.node and where else f", said by {failure.node}" if failure.node else ""
    yield Text(f"{failure.status}{where}{node}, attempt {failure.attempt or 1}", style="bold red")
    for line in _wrapped(f"  {failure.message}", width):
        yield Text(line)
    for cause in failure.causes:
        for line in _wrapped(f"  caused by: {cause}", width):
            yield Text(line)
    if failure.field:
        yield Text(f"  the argument at fault: {failure.field}")
    yield Text(f"  {'nothing of it has' if failure.definite else 'some of the run may have'} happened")
    if failure.log_file:
        yield Text(f"  log: {failure.log_file}")
    yield Text(f"  next: {to_type(root, _next_command(failure, run))}")


def _next_command(failure: Failure, run: str) -> str:
    """What to type to find out more."""
    if failure.status == "UNAVAILABLE" or not failure.node:
        return "status"
    return f"logs --run {run}"


def _wrapped(text: str, width: int) -> list[str]:
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(
        text.strip(),
        width,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


_ONE = {"requests": "request", "replies": "reply", "completions": "completion"}
