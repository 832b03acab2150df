"""What the page of the dashboard is told: in order, of some runs as a whole, and never more than a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from protos import fractos_pb2
from Services.datacenter.dashboard import notices
from Services.datacenter.dashboard.activity import MOST_FOLLOWED, MOST_HELD, RECENT, Activity
from Services.datacenter.dashboard.audience import Audience
from Services.datacenter.dashboard.doors import Doors
from Services.datacenter.dashboard.mailbox import AWAY_S, MOST_MOVES, MOST_NOTICES, Mailbox
from Services.datacenter.dashboard.picture import Process, Said, picture
from Services.datacenter.observation import NodeStatus
from Services.fractos.network_rules import NetworkRules, Rule

Kind = fractos_pb2.NodeEvent


def event(kind: Kind.Kind, at: float, run: int = 1, **more: Any) -> fractos_pb2.NodeEvent:
    return Kind(kind=kind, at=at, run_id=run.to_bytes(16, "big"), **more)


def whole_run(run: int, at: float) -> Iterator[tuple[str, fractos_pb2.NodeEvent]]:
    """A run of one step, as the two nodes tell it."""
    yield "application-0", event(Kind.RUN_ACCEPTED, at, run, operation="a graph")
    yield "math-0", event(Kind.REQUEST_RECEIVED, at + 0.001, run, source="application-0", operation="math.power", bytes=99)
    yield "math-0", event(Kind.STEP_DONE, at + 0.002, run, operation="math.power", started_at=at + 0.0015)
    yield "application-0", event(Kind.COMPLETION_RECEIVED, at + 0.003, run, source="math-0")
    yield "application-0", event(Kind.RUN_ENDED, at + 0.004, run, detail="SUCCEEDED")


def test_events_of_several_nodes_are_told_in_the_order_of_their_times() -> None:
    activity = Activity()
    told = list(whole_run(1, at=100.0))
    for node, one in reversed(told):
        activity.saw(node, [one])
    assert activity.take(now=100.05) == ([], {})
    moves, _ = activity.take(now=101.0)
    assert [move["kind"] for move in moves] == ["accepted", "request", "done", "completion", "ended"]
    assert moves[1] | {"at": 0} == {
        "run": told[0][1].run_id.hex(), "kind": "request", "node": "math-0", "at": 0, "source": "application-0",
        "operation": "math.power", "bytes": 99,
    }  # fmt: skip


def test_runs_are_followed_as_a_whole_and_only_so_many_at_once() -> None:
    activity = Activity()
    for run in range(100):
        for node, one in whole_run(run, at=100 + run / 1e6):
            activity.saw(node, [one])
    moves, _ = activity.take(now=101.0)
    kinds: dict[str, list[str]] = {}
    for move in moves:
        kinds.setdefault(move["run"], []).append(move["kind"])
    assert len(kinds) == MOST_FOLLOWED
    assert {tuple(kind) for kind in kinds.values()} == {("accepted", "request", "done", "completion", "ended")}
    for node, one in whole_run(7, at=102.0):
        activity.saw(node, [one])
    assert len(activity.take(now=103.0)[0]) == 5, "those that have ended gave their places away"


def test_a_run_that_had_begun_before_is_followed_if_no_other_begins() -> None:
    activity = Activity()
    activity.saw("math-0", [event(Kind.REQUEST_RECEIVED, 100.0, source="math-1")])
    assert [move["kind"] for move in activity.take(now=101.0)[0]] == ["request"]


def test_the_last_steps_of_a_node_are_known_until_it_is_forgotten() -> None:
    activity = Activity()
    activity.saw("math-0", [event(Kind.STEP_DONE, 100 + n, n, started_at=100 + n - 0.5) for n in range(RECENT + 5)])
    activity.saw("math-0", [event(Kind.STEP_FAILED, 150.0, 99, detail="it could not")])
    activity.take(now=200.0)
    steps = activity.recent("math-0")
    assert len(steps) == RECENT
    assert (steps[0]["failed"], steps[1]["failed"], steps[1]["ms"]) == ("it could not", "", 500)
    activity.forget("math-0")
    assert not activity.recent("math-0")


def test_reasons_of_repetitions_are_counted() -> None:
    activity = Activity()
    activity.saw("application-0", [event(Kind.RUN_REPEATED, 100.0, n, detail="math-0 died") for n in range(500)])
    activity.saw("application-0", [event(Kind.RUN_REPEATED, 100.0, 1, detail=f"reason {n}") for n in range(5)])
    told = notices.repetitions(activity.take(now=101.0)[1])
    assert told[0] == "500 runs were repeated: math-0 died"
    assert told[1] == "1 run was repeated: reason 0"
    assert told[-1] == "3 runs were repeated for other reasons"


def test_what_waits_to_be_put_in_order_is_bounded_and_a_fast_clock_holds_nothing_up() -> None:
    activity = Activity()
    for _ in range(3):
        activity.saw("math-0", [event(Kind.STEP_DONE, 1e9, n) for n in range(MOST_HELD)])
    assert len(activity._held) == MOST_HELD
    activity.take(now=100.0)
    assert not activity._held


def test_a_page_that_does_not_ask_is_told_the_last_and_no_more_than_a_bound() -> None:
    async def use() -> tuple[dict[str, Any], dict[str, Any]]:
        box = Mailbox()
        box.ask()
        box.put("state", 0)
        first = await box.take()
        for number in range(10_000):
            box.put("state", number)
            box.move([{"n": number}])
            box.note([{"text": str(number)}])
        waiting = asyncio.create_task(box.take())
        await asyncio.sleep(0)
        assert not waiting.done(), "nothing is sent before it is asked for"
        box.ask()
        return first, await waiting

    first, later = asyncio.run(use())
    assert first == {"state": 0}
    assert later["state"] == 9999
    assert [move["n"] for move in later["moves"]] == list(range(10_000 - MOST_MOVES, 10_000))
    assert len(later["notices"]) == MOST_NOTICES


def test_nobody_looks_where_no_page_asks() -> None:
    async def use() -> None:
        now = 0.0
        audience, box = Audience(), Mailbox(clock=lambda: now)
        assert not audience.is_looking
        audience.put("state", "old")
        audience.join(box)
        assert audience.is_looking
        box.ask()
        assert await box.take() == {"state": "old"}
        now = AWAY_S + 1
        assert not audience.is_looking, "it is hidden: it does not ask for the next message"
        box.ask()
        assert audience.is_looking
        audience.leave(box)
        assert not audience.is_looking

    asyncio.run(use())


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:8000", True),
        ("127.0.0.1", False),
        ("127.0.0.1:8001", False),
        ("evil.example:8000", False),
        ("127.0.0.1:8000.evil.example", False),
        ("", False),
    ],
)
def test_only_the_own_name_is_a_host_and_an_origin(host: str, let_in: bool) -> None:
    doors = Doors(8000, "key", "token")
    assert doors.is_host(host) is let_in
    assert doors.is_origin(f"http://{host}") is let_in
    assert not doors.is_origin("null")
    assert not doors.is_origin(f"https://{host}")
    assert (doors.is_key("key"), doors.is_key("kéy"), doors.is_token("token"), doors.is_token("key")) == (
        True,
        False,
        True,
        False,
    )


def status(name: str, state: Any = "ready", *, leads: bool = False, pid: int | None = 7) -> NodeStatus:
    role: Any = "leader" if leads else "standby"
    return NodeStatus(name, name[:-2], role, state, f"host:{name}", pid, f"{name}.log")


def said(now: float, steps: int, sent: int = 0, epoch: int = 0) -> fractos_pb2.NodeDescription:
    links = [fractos_pb2.LinkCount(peer="host:math-1", frames_sent=sent, frame_bytes_sent=100 * sent)]
    return fractos_pb2.NodeDescription(
        now=now, steps_done=steps, cpu_s=now / 2, epoch=epoch, traffic=fractos_pb2.CountResponse(links=links)
    )


def test_rates_follow_from_two_descriptions() -> None:
    heard = {"math-0": Said(said(12.0, 50, 30), said(10.0, 10, 10)), "math-1": Said(said(12.0, 5))}
    rules = NetworkRules((Rule("math-1", "math-0", cut=True),))
    statuses = [status("math-0", leads=True), status("math-1")]
    drawn = picture(statuses, [], heard, {"math-1": Process(ours=True, stopped=True)}, rules, "/datacenter")
    first, second = drawn["nodes"]
    assert (first["leads"], first["ours"], first["said"]["done_s"], first["said"]["cpu"]) == (True, False, 20, 0.5)
    assert (second["state"], second["ours"], second["said"]["done_s"]) == ("stopped", True, 0)
    there, back = drawn["links"]
    assert there == {
        "source": "math-0", "target": "math-1", "frames": 30, "bytes": 3000, "frames_s": 10, "bytes_s": 1000, "cut": True,
    }  # fmt: skip
    assert back == {"source": "math-1", "target": "math-0", "cut": True}


def test_a_node_that_does_not_answer_any_more_is_silent_and_not_starting() -> None:
    statuses = [status("math-0", "starting"), status("math-1", "starting"), status("math-2", "dead", pid=None)]
    processes = {"math-1": Process(silent=True), "math-2": Process(silent=True)}
    drawn = picture(statuses, [], {}, processes, NetworkRules(), "/datacenter")
    assert [node["state"] for node in drawn["nodes"]] == ["starting", "silent", "dead"]


def test_what_is_different_is_told() -> None:
    def drawn(statuses: list[NodeStatus], epoch: int = 0, rules: tuple[Rule, ...] = ()) -> dict[str, Any]:
        heard = {"math-1": Said(said(1.0, 0, epoch=epoch))}
        return picture(statuses, [], heard, {}, NetworkRules(rules), "/datacenter")

    before = drawn([status("math-0", leads=True), status("math-1")])
    assert notices.changes(None, before) == []
    assert notices.changes(before, before) == []
    cut = (Rule("math-0", "math-1", cut=True),)
    after = drawn([status("math-0", "dead", pid=None), status("math-1", leads=True)], 3, cut)
    assert notices.changes(before, after) == [
        "math-0 is dead",
        "math-1 leads the math nodes",
        "math-1 owns its state, epoch 3",
        "the link between math-0 and math-1 is cut",
    ]
    again = drawn([status("math-0", pid=8), status("math-1", leads=True)], 3)
    assert notices.changes(after, again) == ["math-0 is ready", "the link between math-0 and math-1 is whole again"]
    assert notices.changes(again, drawn([status("math-1", leads=True)], 3)) == ["math-0 is gone"]
