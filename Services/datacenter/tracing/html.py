"""A trace as one page that needs nothing else: no network, no program, in any browser. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from Services.datacenter.drawing import svg
from Services.datacenter.drawing.graph_drawing import draw_graph
from Services.datacenter.drawing.markup import Content, node, page, scrolling, table
from Services.datacenter.drawing.picture import Picture
from Services.datacenter.drawing.sequence_drawing import draw_sequence
from Services.datacenter.tracing.figures import duration, moment, since, sized, wire, zone
from Services.datacenter.tracing.happened_graph import declared, happened
from Services.datacenter.tracing.happened_messages import messages_of
from Services.datacenter.tracing.html_style import style
from Services.datacenter.tracing.html_waterfall import waterfall, where_time_went
from Services.datacenter.tracing.parts import Failure, Step
from Services.datacenter.tracing.trace import Trace
from Services.fractos.bill import Bill, Charge
from Services.fractos.errors import ResourceExhaustedError

CHARGES = ("hops", "requests", "replies", "completions", "control", "frames", "values in them", "fetched", "outputs")


def to_html(trace: Trace) -> str:
    """The page. Its texts, wherever they come from, stay texts."""
    return page(f"{trace.name}: {trace.state}", style(), _sections(trace))


def _sections(trace: Trace) -> Iterator[Element]:
    yield _head(trace)
    if trace.failure is not None:
        yield _failure(trace.failure, trace)
    yield _tiles(trace)
    if trace.ended_at is None:
        yield node("p", "The run is under way: what its steps have done is known once it has ended.")
    yield from _attempts(trace)
    yield from _graphs(trace)
    yield from _times(trace)
    yield from _messages(trace)
    yield from _bill(trace.bill)
    if not trace.is_open:
        yield from _steps(trace)


def _head(trace: Trace) -> Element:
    state = node("span", trace.state, class_=f"state {trace.state}")
    facts = (
        f"as a {trace.topology}"
        + (f", for {trace.client}" if trace.client else "")
        + f", submitted {moment(trace.submitted_at, trace.seen_at, with_day=True)} {zone(trace.seen_at)}"
    )
    return node(
        "header",
        node("h1", trace.name or "a run without a name", " ", state),
        node("p", "run ", node("code", trace.run_id), f", {facts}", class_="dim"),
    )


def _failure(failure: Failure, trace: Trace) -> Element:
    made = node("section", node("h2", _headline(failure, trace)), node("p", failure.message), class_="failure")
    if failure.causes:
        made.append(node("p", "Because, the outermost cause first:"))
        made.append(node("ol", *(node("li", cause) for cause in failure.causes)))
    where = [f"step {failure.step}" if failure.step is not None else "", failure.operation]
    where += [f"on {failure.node}" if failure.node else "", f"in attempt {failure.attempt} of {trace.attempt}"]
    where += [f"argument {failure.field}" if failure.field else ""]
    made.append(node("p", f"Where: {', '.join(filter(None, where))}."))
    definite = (
        "What was asked for has certainly not happened."
        if failure.definite
        else "A part of what was asked for may have happened."
    )
    made.append(node("p", definite))
    if failure.log_file:
        made.append(node("p", "Its log: ", node("code", failure.log_file)))
    return made


def _headline(failure: Failure, trace: Trace) -> str:
    return "Cancelled" if trace.state == "cancelled" else f"Failed: {failure.status}"


def _tiles(trace: Trace) -> Element:
    done = sum(step.hop is not None for step in trace.steps)
    tiles = [
        (
            "took" if trace.ended_at is not None else "so far",
            duration(trace.duration_s),
            f"of {duration(trace.deadline - trace.submitted_at)} allowed",
        ),
        ("steps", str(len(trace.steps)), "done by now: not known")
        if trace.is_open
        else ("steps done", f"{done} of {len(trace.steps)}", f"{len(trace.critical_path)} on the critical path"),
        ("attempts", str(trace.attempt), "nothing was repeated" if trace.attempt == 1 else "the reasons are below"),
        ("nodes", str(len(trace.nodes)), ", ".join(trace.nodes[:4]) + (" …" if len(trace.nodes) > 4 else "")),
    ]
    if trace.bill is not None:
        total = trace.bill.total
        tiles.append(("hops", str(total.hops), f"and {total.control} that nobody waited for"))
        tiles.append(("bytes", sized(total.total_bytes), f"{sized(total.value_bytes)} of values"))
    return node(
        "dl",
        *(node("div", node("dt", name), node("dd", value, node("small", more))) for name, value, more in tiles),
        class_="tiles",
    )


def _attempts(trace: Trace) -> Iterator[Element]:
    if len(trace.attempts) < 2:
        return
    rows = [
        (
            str(attempt.number),
            since(attempt.began_at - trace.submitted_at),
            duration(max(0.0, attempt.ended_at - attempt.began_at)) if attempt.ended_at is not None else "under way",
            attempt.home,
            attempt.reason or "the first",
        )
        for attempt in trace.attempts
    ]
    yield node("h2", "Attempts")
    columns = ("attempt", "began", "lasted", "sent by", "why")
    yield table(
        "Each time that the run was sent on its way. Steps that were done are not done again unless their node died.",
        columns,
        rows,
    )


def _graphs(trace: Trace) -> Iterator[Element]:
    yield node("h2", "What was asked for, and what happened")
    notes = ["Bold: the critical path, which decided when the run ended."]
    if any(step.state == "open" for step in trace.steps):
        notes.append("Dashed boxes: nothing is known of these steps; they have not begun, were under way, or got lost.")
    yield node("p", " ".join(notes), class_="dim")
    pair = [("As submitted", declared(trace), "declared")]
    if any(step.state != "open" for step in trace.steps):
        pair.append(("As run", happened(trace), "happened"))
    yield node(
        "div", *(node("div", node("h3", title), _graph(picture, prefix)) for title, picture, prefix in pair), class_="pair"
    )


def _graph(picture: Picture, prefix: str) -> Element:
    if not picture.steps:
        return node("p", "The graph is not known any more.")
    try:
        return scrolling(picture.name, svg.inline(draw_graph(picture), prefix))
    except ResourceExhaustedError:
        return node("p", f"{len(picture.steps)} steps with {len(picture.edges)} edges are too many to be drawn here.")


def _times(trace: Trace) -> Iterator[Element]:
    if not any(step.hop for step in trace.steps):
        return
    yield node("h2", "Where the time went")
    yield from where_time_went(trace)
    yield from waterfall(trace)
    for difference in trace.clock_differences:
        apart = f"at least {duration(difference.at_least_s)} behind that of {difference.source}"
        yield node("p", f"The clock of {difference.target} is {apart}: times between the two are not exact.")


def _messages(trace: Trace) -> Iterator[Element]:
    shown = messages_of(trace)
    yield node("h2", "Messages")
    explained = "Orange: values that the receiver fetched. All others are control, with the small values that go with it."
    if trace.attempt > 1:
        explained += f" Of attempts before {trace.attempt} the steps are known, not the messages."
    yield node("p", explained, class_="dim")
    yield scrolling("messages", svg.inline(draw_sequence(shown), "messages"))


def _bill(bill: Bill | None) -> Iterator[Element]:
    if not bill:
        return
    rows: list[tuple[Content, ...]] = [(f"{source} → {target}", *_cells(bill[source, target])) for source, target in bill]
    made = table(
        "What went over each link. Control: acknowledgements and the news that the run is over, which nobody waits for.",
        ("link", *CHARGES),
        [*rows, ("total", *_cells(bill.total))],
        numbers=len(CHARGES),
    )
    list(made.iter("tr"))[-1].set("class", "total")
    yield node("h2", "The bill" if bill.attempts == 1 else f"The bill of the last of {bill.attempts} attempts")
    yield made


def _cells(charge: Charge) -> tuple[str, ...]:
    counts = (charge.hops, charge.requests, charge.replies, charge.completions, charge.control)
    sizes = (charge.frame_bytes, charge.argument_bytes, charge.fetched_bytes, charge.output_bytes)
    return (*(f"{count or '–'}" for count in counts), *(sized(count) if count else "–" for count in sizes))


def _steps(trace: Trace) -> Iterator[Element]:
    columns = ("step", "operation", "node", "attempt", "sent", "wire", "wait", "device", "took in", "gave")
    yield node("h2", "Steps")
    yield table(
        "In the order of the graph. Times since the submission.",
        columns,
        [_step(step, trace) for step in trace.steps],
        numbers=7,
    )


def _step(step: Step, trace: Trace) -> tuple[str, ...]:
    name, hop = step.operation or step.name, step.hop
    if hop is None:
        where = trace.node_of(step) or (step.declared_node and f"only {step.declared_node}")
        return (str(step.id), name, where, "failed" if step.state == "failed" else "no news", *[""] * 6)
    sent = since(hop.sent_at - trace.submitted_at)
    times = (wire(hop), duration(hop.waited_s), duration(hop.device_s))
    return (str(step.id), name, hop.node, str(hop.attempt), sent, *times, sized(hop.request_bytes), sized(hop.response_bytes))
