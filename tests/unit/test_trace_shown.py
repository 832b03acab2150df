"""A trace in a terminal, for programs, and for Perfetto."""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import pytest

from protos import application_pb2, fractos_pb2
from Services.datacenter.tracing.exported import trace_as_json
from Services.datacenter.tracing.figures import duration, size
from Services.datacenter.tracing.perfetto import to_perfetto
from Services.datacenter.tracing.story import story
from Services.datacenter.tracing.trace import Trace
from Services.datacenter.tracing.waterfall import ASCII
from Services.fractos.config import CODE_ROOT
from tests.unit.described_runs import HOME, attempts, described, graph, hop, trace_of

KILLED = "the channel to math-1 broke, and it may have held a part of this run"


def recovered() -> Trace:
    """A join of two branches, of which one was done again; the other was kept."""
    trail = [
        hop(0, "math-0", (0.01, 0.02, 0.02, 0.2), [HOME], attempt=1),
        hop(1, "math-2", (0.51, 0.52, 0.53, 0.8), [HOME], attempt=2),
        hop(2, "math-0", (0.8, 0.81, 0.82, 0.9), ["math-2"], attempt=2),
    ]
    end = [fractos_pb2.Arrival(source="math-0", frame_bytes=50)]
    sent = attempts((0.0, ""), (0.5, KILLED))
    return trace_of(described(graph((0, 2), (1, 2), steps=3), trail, ended=1.0, sent=sent, home_arrivals=end))


def shown(trace: Trace, width: int = 100) -> list[str]:
    return [line.plain for line in story(trace, CODE_ROOT, width, ASCII)]


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_recovery_is_told_in_the_order_of_time_within_the_width(width: int) -> None:
    lines = shown(recovered(), width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    began = next(number for number, line in enumerate(lines) if "attempt 2 at 500 ms" in line)
    first = next(number for number, line in enumerate(lines) if line.lstrip("* ").startswith("0 math-0"))
    later = next(number for number, line in enumerate(lines) if line.lstrip("* ").startswith("1 math-2"))
    assert first < began < later
    assert "the channel to math-1 broke" in " ".join(" ".join(lines).split())
    assert "(1)" in lines[first]
    assert lines[first].startswith(" ")
    assert lines[later].startswith("*")
    assert "critical path: 1 > 2" in text
    assert "1 in attempt 1, 2 in attempt 2" in " ".join(text.split())


def test_bars_are_to_scale() -> None:
    line = next(line for line in shown(recovered(), 200) if line.startswith("*") and " math-2 " in line)
    heading = next(line for line in shown(recovered(), 200) if line.strip().startswith("step"))
    bar = line[heading.index("  0 ") + 2 :]
    assert bar.index("#") / len(bar) == pytest.approx(0.53, abs=0.03)
    assert bar.count("#") / len(bar) == pytest.approx(0.27, abs=0.03)
    assert bar.rstrip().endswith("#")


def test_a_failure_is_told_with_its_causes_the_log_and_what_to_type() -> None:
    failure = fractos_pb2.Failure(
        status="INTERNAL", message="the disk is gone", step=1, operation="math.power", node="math-1", attempt=1,
        causes=["OSError: no such device", "a cable"], log_file="/a folder/math-1.log",
    )  # fmt: skip
    text = "\n".join(shown(trace_of(described(graph((0, 1), steps=2), ended=0.1, failure=failure))))
    assert "INTERNAL at step 1 (math.power) on math-1, attempt 1" in text
    assert "caused by: OSError: no such device\n  caused by: a cable" in text
    assert "log: /a folder/math-1.log" in text
    assert "next: python3 run_datacenter.py logs --run 0c0d0e0f" in text


@pytest.mark.usefixtures("in_a_zone")
def test_times_of_day_have_their_zone() -> None:
    assert "submitted 00:13:20 ABC by admin" in " ".join(shown(recovered()))


def test_commands_are_for_the_datacenter_that_was_asked() -> None:
    elsewhere = Path("/another place")
    told = [line.plain for line in story(trace_of(described(graph(steps=1))), elsewhere, 100)]
    assert told[-1] == "look again: python3 run_datacenter.py trace 0c0d0e0f --path '/another place'"
    failed = described(graph(steps=1), ended=0.1, failure=fractos_pb2.Failure(status="UNAVAILABLE"))
    told = [line.plain for line in story(trace_of(failed), elsewhere, 100)]
    assert told[-1] == "  next: python3 run_datacenter.py status --path '/another place'"


def test_the_end_of_a_run_is_told_as_what_it_was() -> None:
    trail = [hop(0, "math-0", (0.0, 0.0, 0.0, 0.2), [HOME])]
    description = described(graph((0, 1), steps=2), trail, ended=0.3, failure=fractos_pb2.Failure(status="CANCELLED"))
    told = " ".join(" ".join(shown(trace_of(description))).split())
    assert "100 ms after what was done of that path, until it failed" in told
    description.info.state = application_pb2.CANCELLED
    told = " ".join(" ".join(shown(trace_of(description))).split())
    assert "100 ms after what was done of that path, until it was cancelled" in told
    assert "failed" not in told
    description.result.ClearField("failure")
    description.info.state = application_pb2.SUCCEEDED
    assert "100 ms from the last step home" in " ".join(" ".join(shown(trace_of(description))).split())


def test_many_attempts_are_explained() -> None:
    sent = attempts((0.0, ""), (0.1, KILLED), (0.2, KILLED))
    told = " ".join(" ".join(shown(trace_of(described(graph(steps=1), ended=1.0, sent=sent)))).split())
    assert "Steps that were done are answered, not done twice, unless their node died" in told


def test_no_text_of_a_run_steers_the_terminal() -> None:
    evil = "\x1b[2J\x9b2J\x85\u202e"
    failure = fractos_pb2.Failure(
        status="INTERNAL", message=evil, step=0, operation=evil, node=evil, causes=[evil], log_file=evil, field=evil
    )
    made = graph(steps=1)
    made.name = made.steps[0].operation = evil
    told = "".join(shown(trace_of(described(made, ended=0.1, failure=failure, sent=attempts((0.0, ""), (0.05, evil))))))
    assert told.isprintable()
    assert told.count("?[2J?2J??") >= 9


def test_of_many_steps_those_that_are_open_are_counted() -> None:
    lines = shown(trace_of(described(graph(steps=500), ended=1.0)))
    assert any("495 more: not done, as far as is known" in line for line in lines)
    assert len(lines) < 30


def test_a_run_under_way_has_its_attempts_and_its_graph() -> None:
    sent = attempts((0.0, ""), (0.1, KILLED))
    told = "\n".join(shown(trace_of(described(graph((0, 2), (1, 2), steps=30), sent=sent)), 200))
    assert f"  attempt 2 at 100 ms: sent again by {HOME}, since {KILLED}\n" in told
    assert "graph: 0 math.power > 2; 1 math.power > 2; 2 math.power;" in told
    assert " and 10 more" in " ".join(told.split())
    assert "device" not in told


def test_of_very_many_steps_the_middle_ones_are_left_out() -> None:
    trail = [hop(number, "math-0", (number, number, number, number + 1)) for number in range(1000)]
    lines = shown(trace_of(described(graph(steps=1000), trail, ended=1000)))
    assert any("800 lines more" in line for line in lines)
    assert any(line.split()[:2] == ["*", "999"] for line in lines)


def test_for_programs_everything_is_json() -> None:
    document = json.loads(json.dumps(trace_as_json(recovered())))
    assert document["critical_path"] == [1, 2]
    assert document["steps"][0]["edges"] == [{"to": 2, "fields": [{"source": "value", "target": "base"}]}]
    assert document["steps"][1]["hop"]["device_s"] == pytest.approx(0.27)
    assert [attempt["reason"] for attempt in document["attempts"]] == ["", KILLED]
    assert document["bill"]["total"]["hops"] == len(document["messages"]) == 4
    under_way = trace_as_json(trace_of(described(graph(steps=1))))
    assert (under_way["bill"], under_way["failure"], under_way["ended_at"]) == (None, None, None)


def test_perfetto_gets_slices_that_nest_and_arrows_that_have_both_ends() -> None:
    document = json.loads(json.dumps(to_perfetto(recovered())))
    events = document["traceEvents"]
    processes = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert set(processes.values()) == {HOME, "math-0", "math-2"}
    lanes = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            assert event["dur"] >= 0
            lanes[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for slices in lanes.values():
        slices.sort()
        assert all(end <= begin + 1e-3 for (_, end), (begin, _) in pairwise(slices))
    arrows: defaultdict[int, dict[str, dict[str, float]]] = defaultdict(dict)
    for event in events:
        if event["ph"] in "sf":
            arrows[event["id"]][event["ph"]] = event
            inside = lanes[event["pid"], event["tid"]]
            assert any(begin <= event["ts"] <= end for begin, end in inside), event
    assert len(arrows) == 3  # all but that to the step that was kept
    assert all(ends["s"]["ts"] <= ends["f"]["ts"] for ends in arrows.values())
    assert [event["name"] for event in events if event["ph"] == "i"] == ["attempt 1", f"attempt 2: {KILLED}"]


def test_steps_of_one_node_at_the_same_time_get_lanes_of_their_own() -> None:
    trail = [hop(number, "math-0", (0.0, 0.1, 0.2, 0.5), [HOME]) for number in range(3)]
    events = to_perfetto(trace_of(described(graph(steps=3), trail, ended=1.0)))["traceEvents"]
    assert {event["tid"] for event in events if event.get("cat") == "device"} == {1, 2, 3}


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0.00 ms"), (0.00031, "0.31 ms"), (0.0552, "55.2 ms"), (0.9994, "999 ms"), (0.9996, "1.00 s"), (125, "2m05s"),
     (90_180, "25h03m")],
)  # fmt: skip
def test_durations_are_short(seconds: float, written: str) -> None:
    assert duration(seconds) == written


@pytest.mark.parametrize(
    ("count", "written"), [(0, "0"), (999, "999"), (1000, "1.00k"), (999_400, "999k"), (999_600, "1.00M"), (8_000_000, "8.00M")]
)
def test_sizes_are_short(count: int, written: str) -> None:
    assert size(count) == written
