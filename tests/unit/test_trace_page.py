"""The page of a trace: what it says of a run, that its texts stay texts, and that it needs nothing else."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from protos import application_pb2, fractos_pb2
from Services.datacenter.drawing.sequence import Message, Remark, Work
from Services.datacenter.tracing.figures import share, since, sized
from Services.datacenter.tracing.happened_graph import declared, happened
from Services.datacenter.tracing.happened_messages import MOST_EVENTS, messages_of
from Services.datacenter.tracing.html import to_html
from Services.datacenter.tracing.trace import Trace
from Services.fractos import TaskGraph

T = 1_760_000_000.0  # when the runs here were submitted
EVIL = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\x00"
VOID = {"meta", "line", "rect", "path", "br"}


class Reader(HTMLParser):
    """Reads a page, and sees to it that what is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def said(self) -> str:
        return " ".join(" ".join(self.texts).split())


def graph(name: str = "three") -> TaskGraph:
    """read (storage) → shift (math) → write (storage); the read comes before a fourth step."""
    made = TaskGraph(name)
    number = made.storage.read_integer(client_id="admin", name="number.txt")
    shifted = made.math.shift_left(value=number.value, bits=3)
    made.storage.write_integer(client_id="admin", name="out.txt", value=shifted.value)
    return made


def hop(step: int, node: str, at: float, *, attempt: int = 1, source: str = "", fetched: int = 0) -> fractos_pb2.Hop:
    """A step that was sent at `at` ms after the submission, and took 1 ms on the wire, 1 ms of waiting and 3 ms of work."""
    made = fractos_pb2.Hop(step=step, node=node, attempt=attempt, request_bytes=10, response_bytes=1200)
    made.sent_at, made.received_at, made.started_at, made.finished_at = (T + (at + more) / 1e3 for more in (0, 1, 2, 5))
    if source:
        made.arrivals.add(source=source, frame_bytes=700)
    if fetched:
        made.arrivals.add(source=source, value_bytes=fetched)
    return made


def describe(
    hops: list[fractos_pb2.Hop],
    *,
    name: str = "three",
    topology: str = "ring",
    reasons: tuple[str, ...] = ("",),
    failure: str = "",
) -> application_pb2.RunDescription:
    state = application_pb2.FAILED if failure else application_pb2.SUCCEEDED
    made = application_pb2.RunDescription(graph=graph(name).serialized())
    info = application_pb2.RunInfo(run_id=bytes(16), name=name, state=state, submitted_at=T, deadline=T + 30, client="ann")
    info.topology = topology
    made.info.CopyFrom(info)
    made.result.trail.extend(hops)
    made.result.home, made.result.attempt, made.result.ended_at = "application-0", len(reasons), T + 0.04
    for number, reason in enumerate(reasons, 1):
        made.attempts.add(number=number, began_at=T + (number - 1) / 100, home="application-0", reason=reason)
    if not failure:
        made.result.arrivals.add(source="storage-0", frame_bytes=99)
    else:
        made.result.arrivals.add(source="math-1", frame_bytes=55)
        failed = made.result.failure
        failed.status, failed.message, failed.step, failed.operation = "INTERNAL", failure, 1, "math.shift_left"
        failed.node, failed.attempt, failed.log_file = "math-1", len(reasons), "/logs/math-1.log"
        failed.causes.extend(["the outer one", "the inner one"])
    return made


def trace(description: application_pb2.RunDescription) -> Trace:
    return Trace.of(description, T + 1)


def ring() -> Trace:
    hops = [hop(0, "storage-0", 1, source="application-0"), hop(1, "math-1", 6, source="storage-0", fetched=5_000_000)]
    return trace(describe([*hops, hop(2, "storage-0", 11, source="math-1")]))


def repeated() -> Trace:
    """math-1 died: step 0 was answered from the ledger, the rest was done in attempt 2."""
    hops = [hop(0, "storage-0", 1, source="application-0"), hop(1, "math-0", 12, attempt=2, source="storage-0")]
    return trace(describe([*hops, hop(2, "storage-0", 17, attempt=2, source="math-0")], reasons=("", "math-1 died")))


def test_a_page_is_whole_needs_nothing_else_and_runs_nothing() -> None:
    page = to_html(ring())
    read = Reader(page)
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert not read.tags.keys() & {"script", "link", "img", "iframe", "object", "base", "a", "form"}
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in read.attributes
    assert not [name for name, value in read.attributes if name.startswith("on") or name in {"src", "href"}]
    assert not re.search(r"url\(|@import|https?://", page)
    ids = [value for name, value in read.attributes if name == "id"]
    assert len(ids) == len(set(ids)) == 2 * read.tags["svg"] == 6
    assert "prefers-color-scheme:dark" in page


@pytest.mark.usefixtures("in_a_zone")
def test_a_page_says_what_happened() -> None:
    said = Reader(to_html(ring())).said
    for text in (
        "three succeeded",
        f"run {bytes(16).hex()} , as a ring, for ann, submitted 2025-10-09 10:53:20 ABC",
        "took 40.0 ms of 30.0 s allowed",
        "steps done 3 of 3",
        "1 math.shift_left math-1 1 +6.00 ms 1.00 ms 1.00 ms 3.00 ms 10 B 1.20 kB",
        "storage-0 → math-1 1 1 – – 1 700 B – 5.00 MB –",
        "device: at devices: 9.00 ms, 2",
        "end: from the last step home: 24.0 ms",
    ):
        assert text in said
    assert "Attempts" not in said


def test_texts_stay_texts() -> None:
    evil = trace(describe([hop(0, EVIL, 1, source="application-0")], name=EVIL, reasons=("", EVIL), failure=EVIL))
    read = Reader(to_html(evil))
    assert not read.tags.keys() & {"script", "img"}
    assert not [name for name, _ in read.attributes if name == "onerror"]
    assert "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&\ufffd" in read.said
    assert "\x00" not in to_html(evil)


def test_a_failure_has_its_causes_and_its_log() -> None:
    failed = trace(describe([hop(0, "storage-0", 1, source="application-0")], failure="it broke"))
    said = Reader(to_html(failed)).said
    assert "Failed: INTERNAL it broke Because, the outermost cause first: the outer one the inner one" in said
    assert "Where: step 1, math.shift_left, on math-1, in attempt 1 of 1." in said
    assert "A part of what was asked for may have happened." in said
    assert "Its log: /logs/math-1.log" in said
    assert [(step.mark, step.facts[-1]) for step in happened(failed).steps[1:]] == [
        ("bad", "failed: INTERNAL"),
        ("open", "no news of it"),
    ]
    assert [step.ran_on for step in happened(failed).steps] == ["storage-0", "math-1", ""]
    assert "1 math.shift_left math-1 failed" in said
    assert told(failed) == [
        "program > application-0: submit",
        "application-0 > storage-0: request",
        "storage-0: read_integer 3.00 ms",
        "math-1: shift_left failed",
        "math-1 > application-0: completion",
        "-- INTERNAL: it broke",
        "application-0 > program: result",
    ]
    *_, work, news, remark, end = messages_of(failed).events
    assert isinstance(work, Work)
    assert (work.place, work.text, work.failed) == ("math-1", "shift_left failed", True)
    assert isinstance(news, Message)
    assert (news.source, news.target, news.text) == ("math-1", "application-0", "failed, 55 B")
    assert remark == Remark("INTERNAL: it broke", bad=True)
    assert isinstance(end, Message)
    assert (end.kind, end.text) == ("result", "failed")


def test_a_cancelled_run_did_not_fail() -> None:
    description = describe([hop(0, "storage-0", 1)], failure="the run was cancelled")
    description.info.state = application_pb2.CANCELLED
    description.result.failure.status = "CANCELLED"
    said = Reader(to_html(trace(description))).said
    assert "Cancelled the run was cancelled" in said
    assert "until it was cancelled: 34.0 ms" in said


def test_attempts_have_their_reasons_and_what_they_kept() -> None:
    said = Reader(to_html(repeated())).said
    assert "1 +0.00 ms 10.0 ms application-0 the first 2 +10.00 ms 30.0 ms application-0 math-1 died" in said
    assert "Steps that were done are not done again unless their node died." in said
    assert "The bill of the last of 2 attempts" in said
    assert "Dashed lines: a further attempt began." in said
    assert [step.facts[-1] for step in happened(repeated()).steps] == [
        "in attempt 1 of 2",
        "in attempt 2 of 2",
        "in attempt 2 of 2",
    ]


def test_a_graph_as_it_was_run_has_nodes_times_and_ways() -> None:
    submitted, run = declared(ring()), happened(ring())
    assert [(step.place, step.ran_on) for step in submitted.steps] == [("storage", ""), ("math", ""), ("storage", "")]
    assert [step.ran_on for step in run.steps] == ["storage-0", "math-1", "storage-0"]
    assert run.steps[0].facts == ("device 3.00 ms", "gave 1.20 kB")
    assert [edge.labels for edge in submitted.edges] == [("value",), ("value",)]
    assert [edge.labels for edge in run.edges] == [("700 B in 1.00 ms", "fetched 5.00 MB"), ("700 B in 1.00 ms",)]
    assert {edge.mark for edge in run.edges} == {"critical"}


def test_what_stays_at_a_node_takes_no_message() -> None:
    hops = [hop(0, "storage-0", 1, source="application-0"), hop(1, "storage-0", 6)]
    hops[1].received_at = hops[1].sent_at
    local = trace(describe(hops))
    assert happened(local).edges[0].labels == ("on the same node",)
    assert "wire -, wait 2.00 ms, device 3.00 ms" in Reader(to_html(local)).said
    assert "1 math.shift_left storage-0 1 +6.00 ms - 2.00 ms" in Reader(to_html(local)).said


def told(shown: Trace) -> list[str]:
    """The events of a sequence, in words."""
    words = []
    for event in messages_of(shown).events:
        if isinstance(event, Message):
            words.append(f"{event.source} > {event.target}: {event.kind}")
        else:
            words.append(f"{event.place}: {event.text}" if isinstance(event, Work) else f"-- {event.text}")
    return words


def test_messages_are_in_the_order_in_which_they_went() -> None:
    assert told(ring()) == [
        "program > application-0: submit",
        "application-0 > storage-0: request",
        "storage-0: read_integer 3.00 ms",
        "storage-0 > math-1: request",
        "storage-0 > math-1: memory",
        "math-1: shift_left 3.00 ms",
        "math-1 > storage-0: request",
        "storage-0: write_integer 3.00 ms",
        "storage-0 > application-0: completion",
        "application-0 > program: result",
    ]


def test_messages_and_work_are_in_the_order_of_the_times_that_are_printed() -> None:
    made = TaskGraph("beside one another")
    made.math.factorial(n=1)
    made.math.factorial(n=2)
    fetching = hop(0, "math-0", 1, source="application-0", fetched=5_000_000)
    fetching.started_at, fetching.finished_at = T + 0.02, T + 0.025
    description = describe([fetching, hop(1, "math-1", 1, source="application-0")])
    description.graph = made.serialized()
    events = [event for event in messages_of(trace(description)).events if not isinstance(event, Remark)]
    times = [float(event.at.strip("+ms ")) for event in events if event.at]
    assert times == sorted(times)


def test_what_a_kept_step_sent_again_has_no_time() -> None:
    made = TaskGraph("a join")
    first, second = made.math.factorial(n=1), made.math.factorial(n=2)
    made.math.shift_left(value=first.value, bits=second.value)
    joined = hop(2, "storage-0", 20, attempt=2, source="math-1")
    joined.arrivals.add(source="math-0", frame_bytes=700)
    kept = hop(0, "math-0", 1, source="application-0")
    description = describe([kept, hop(1, "math-1", 12, attempt=2), joined], reasons=("", "math-1 died"))
    description.graph = made.serialized()
    sent = {one.source: one.sent_at for one in trace(description).messages if one.to_step == 2}
    assert sent == {"math-1": pytest.approx(T + 0.02), "math-0": None}


def test_an_attempt_begins_after_what_was_kept_of_the_one_before() -> None:
    assert told(repeated()) == [
        "program > application-0: submit",
        "storage-0: read_integer 3.00 ms",
        "-- attempt 2, +10.00 ms: math-1 died",
        "application-0 > storage-0: request",
        "storage-0: read_integer, again",
        "storage-0 > math-0: request",
        "math-0: shift_left 3.00 ms",
        "math-0 > storage-0: request",
        "storage-0: write_integer 3.00 ms",
        "storage-0 > application-0: completion",
        "application-0 > program: result",
    ]


def test_causes_come_before_effects_although_clocks_differ() -> None:
    hops = [hop(0, "storage-0", 1, source="application-0"), hop(1, "math-1", -500, source="storage-0")]
    shown = trace(describe([*hops, hop(2, "storage-0", 11, source="math-1")]))
    assert told(shown)[3:5] == ["storage-0 > math-1: request", "math-1: shift_left 3.00 ms"]


def test_in_a_star_a_step_is_sent_once_the_one_before_has_replied() -> None:
    hops = [hop(0, "storage-0", 1, source="application-0"), hop(1, "math-0", 12, attempt=2, source="application-0")]
    hops.append(hop(2, "storage-0", 18, attempt=2, source="application-0"))
    description = describe(hops, topology="star", reasons=("", "math-1 died"))
    description.result.arrivals.insert(0, fractos_pb2.Arrival(source="storage-0", frame_bytes=42, reply=True))
    assert told(trace(description))[3:8] == [
        "application-0 > storage-0: request",
        "storage-0: read_integer, again",
        "storage-0 > application-0: reply",
        "application-0 > math-0: request",
        "math-0: shift_left 3.00 ms",
    ]
    assert happened(trace(description)).edges[0].labels == ("via application-0",)


def test_a_run_under_way_has_its_graph() -> None:
    description = describe([])
    description.ClearField("result")
    description.info.state = application_pb2.RUNNING
    said = Reader(to_html(trace(description))).said
    assert "three running" in said
    assert "so far 1.00 s" in said
    assert "The run is under way" in said
    assert "As run" not in said
    assert "In the order of the graph" not in said
    assert "steps 3 done by now: not known" in said
    assert "The bill" not in said


def test_a_run_whose_graph_is_not_known_any_more_has_its_steps() -> None:
    description = describe([hop(0, "storage-0", 1, source="application-0")])
    description.graph = b""
    said = Reader(to_html(trace(description))).said
    assert "step 0 on storage-0" in said
    description.result.ClearField("trail")
    assert "The graph is not known any more." in Reader(to_html(trace(description))).said


def test_a_graph_that_cannot_be_drawn_does_not_spoil_the_page() -> None:
    made = TaskGraph("dense")
    steps = [made.math.factorial(n=1)]
    for _ in range(80):
        steps.append(made.math.factorial(n=1, after=steps))
    description = describe([])
    description.graph = made.serialized()
    assert "81 steps with 3240 edges are too many to be drawn here." in Reader(to_html(trace(description))).said


def test_a_long_sequence_is_cut() -> None:
    made = TaskGraph("long")
    steps = [made.math.factorial(n=1) for _ in range(900)]
    description = describe([hop(step._id, "math-0", 1) for step in steps])
    description.graph = made.serialized()
    events = messages_of(trace(description)).events
    assert len(events) == MOST_EVENTS + 1
    assert events[-1] == Remark("and 303 more")


def test_a_long_time_without_work_is_drawn_short() -> None:
    hops = [hop(0, "storage-0", 1, source="application-0"), hop(1, "math-0", 1000, attempt=2, source="storage-0")]
    description = describe([*hops, hop(2, "storage-0", 1005, attempt=2)], reasons=("", "math-1 died"))
    description.result.ended_at = T + 1.011
    page = to_html(trace(description))
    assert "Hatched: nothing was done that counted" in page
    lengths = [float(width) for width in re.findall(r'class="device-bar" style="left:[\d.]+%;width:([\d.]+)%"', page)]
    assert len(lengths) == 3
    assert min(lengths) > 10  # to scale it would be 0.3
    assert "Hatched" not in to_html(ring())


def test_a_pause_at_the_beginning_is_ruled_once() -> None:
    description = describe([hop(0, "storage-0", 1000, source="application-0")])
    description.result.ended_at = T + 1.01
    ruler = to_html(trace(description)).partition('class="ruler"')[2].partition("</li>")[0]
    assert re.findall(r">([^<>]+)</span>", ruler) == ["0", "1.00 s", "1.01 s"]


@pytest.mark.parametrize(
    ("said", "text"),
    [
        (since(1.06321), "+1,063.21 ms"),
        (since(-1), "+0.00 ms"),
        (share(0.0001), "<1%"),
        (share(0), "0%"),
        (share(0.256), "26%"),
        (sized(0), "0 B"),
        (sized(999), "999 B"),
        (sized(12_345_678), "12.3 MB"),
    ],
)
def test_figures_are_short(said: str, text: str) -> None:
    assert said == text
