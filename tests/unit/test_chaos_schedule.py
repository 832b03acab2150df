"""Which faults a chaos chooses: the same for a seed, spread over everything, within what the datacenter promises to survive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import inf

import pytest

from Services.datacenter.chaos.outages import Outages
from Services.datacenter.chaos.schedule import KINDS, LONGEST_ROW, SERVERS, SLOW_S, Fault, Kind, Rows, Schedule, Target
from Services.datacenter.supervisor import MOST_FAILURES, STABLE_S


def node(name: str, **changes: object) -> Target:
    target = Target(name, name.rpartition("-")[0], ready=True, leads=name.endswith("-0"), supervised=True)
    return replace(target, **changes)  # type: ignore[arg-type]


def server(number: int, **changes: object) -> Target:
    return replace(node(f"zookeeper{number}"), type=SERVERS, **changes)  # type: ignore[arg-type]


PAIRS = [node(f"{kind}-{number}") for kind in ("math", "storage", "application") for number in range(2)]
ENSEMBLE = [server(number) for number in range(3)]


def turns(targets: Sequence[Target], kinds: Sequence[Kind], count: int = 300, *, silence: bool = False) -> list[Fault]:
    """What is chosen in so many turns, a minute apart, if everything always is as it is now."""
    schedule = Schedule(1, kinds, every_s=3)
    faults = (schedule.choose(targets, 60.0 * turn, silence=silence) for turn in range(count))
    return [fault for fault in faults if fault]


def test_a_seed_always_gives_the_same_faults_and_another_one_others() -> None:
    def draw(seed: int) -> list[tuple[float, Fault | None]]:
        schedule = Schedule(seed, KINDS, every_s=3)
        return [(schedule.pause_s(), schedule.choose(PAIRS + ENSEMBLE, 60.0 * turn, silence=False)) for turn in range(50)]

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)


def test_a_turn_in_which_nothing_was_possible_does_not_change_the_next_ones() -> None:
    one, other = Schedule(1, ["kill"], 3), Schedule(1, ["kill"], 3)
    assert one.choose([], 0, silence=False) is None
    assert other.choose(PAIRS, 0, silence=False)
    assert [one.choose(PAIRS, turn, silence=False) for turn in range(20)] == [
        other.choose(PAIRS, turn, silence=False) for turn in range(20)
    ]


def test_every_process_is_hit_the_leaders_more_often_and_each_kind_comes() -> None:
    faults = turns(PAIRS + ENSEMBLE, KINDS)
    hits = Counter(name for fault in faults if fault.kind == "kill" for name in fault.targets)
    assert hits.keys() == {one.name for one in PAIRS}
    assert sum(hits[one.name] for one in PAIRS if one.leads) > sum(hits[one.name] for one in PAIRS if not one.leads)
    assert {fault.kind for fault in faults} == set(KINDS)
    assert all(fault.targets == ("zookeeper0", "zookeeper1", "zookeeper2") for fault in faults if fault.kind == "zookeeper-all")


def test_kills_have_no_length_and_stops_are_within_their_bounds() -> None:
    faults = turns(PAIRS + ENSEMBLE, KINDS)
    lengths = {kind: [fault.lasts_s for fault in faults if fault.kind == kind] for kind in KINDS}
    assert set(lengths["kill"] + lengths["zookeeper"]) == {0.0}
    assert 1 <= min(lengths["stop"]) < max(lengths["stop"]) <= 8
    assert 5 <= min(lengths["zookeeper-all"]) < max(lengths["zookeeper-all"]) <= 30


@pytest.mark.parametrize("kind", ["kill", "stop"])
def test_of_a_type_one_node_always_stays_ready(kind: Kind) -> None:
    targets = [node("math-0", ready=False), node("math-1"), *(one for one in PAIRS if one.type != "math")]
    assert "math" not in {fault.type for fault in turns(targets, [kind])}
    assert {fault.type for fault in turns(targets, [kind])} == {"storage", "application"}


def test_a_single_node_is_killed_only_if_it_is_started_again() -> None:
    single = [node("math-0", supervised=False), node("storage-0")]
    assert {fault.targets for fault in turns(single, ["kill"])} == {("storage-0",)}
    assert {fault.targets for fault in turns(single, ["stop"])} == {("math-0",), ("storage-0",)}


def test_the_last_of_several_that_nobody_starts_again_is_spared() -> None:
    pair = [node("math-0", supervised=False), node("math-1", supervised=False)]
    assert turns(pair, ["kill"])
    assert not turns([replace(pair[0], ready=False, dead=True), pair[1]], ["kill"])


def test_what_the_supervisor_would_give_up_is_spared() -> None:
    tired = [node("math-0", row=LONGEST_ROW + 1), node("math-1", row=LONGEST_ROW)]
    assert {fault.targets for fault in turns(tired, ["kill"])} == {("math-1",)}
    assert {fault.targets for fault in turns(tired, ["stop"])} == {("math-1",)}  # its standby may end a stopped owner
    assert not turns([server(0, row=LONGEST_ROW + 1)], ["zookeeper"])
    assert LONGEST_ROW < MOST_FAILURES


def test_a_type_that_starts_slowly_is_killed_at_long_intervals() -> None:
    schedule = Schedule(1, ["kill"], every_s=3)
    kills = [now for now in range(0, 120, 3) if schedule.choose([node("cnn-0")], now, silence=False)]
    assert kills == [0, 30, 60, 90]
    assert SLOW_S["cnn"] == 30


@pytest.mark.parametrize("kind", ["zookeeper", "zookeeper-all"])
def test_servers_are_hit_only_while_all_of_them_serve(kind: Kind) -> None:
    assert not turns([*PAIRS, server(0, ready=False), server(1), server(2)], [kind])
    assert not turns([*PAIRS, *ENSEMBLE], [kind], silence=True)
    assert not turns(PAIRS, [kind])


def test_while_no_server_answers_only_nodes_with_a_living_substitute_are_hit_and_no_application_node() -> None:
    targets = [node("storage-0"), *(one for one in PAIRS if one.type != "storage"), *ENSEMBLE]
    assert {fault.type for fault in turns(targets, KINDS, silence=True)} == {"math"}


def test_servers_are_not_all_silenced_while_a_type_is_out() -> None:
    assert not turns([node("math-0", ready=False), *ENSEMBLE], ["zookeeper-all"])


def test_a_row_is_counted_as_the_supervisor_counts_it() -> None:
    rows = Rows()
    assert rows.with_one_more("math-0", lived_s=10, restarts=0) == 1
    rows.hit("math-0", lived_s=10, restarts=0)
    assert rows.with_one_more("math-0", lived_s=20, restarts=0) == 1  # it was only stopped
    assert rows.with_one_more("math-0", lived_s=1, restarts=1) == 2
    rows.hit("math-0", lived_s=1, restarts=1)
    assert rows.with_one_more("math-0", lived_s=1, restarts=4) == 5  # it crashed twice by itself
    assert rows.with_one_more("math-0", lived_s=STABLE_S + 10, restarts=4) == 1
    assert rows.with_one_more("other-0", lived_s=1, restarts=3) >= 4  # it may have crashed in a row before


def test_a_long_chaos_never_makes_the_supervisor_give_up() -> None:
    """Ten minutes with a fault every 3 s and nothing but single nodes, against the supervisor's rule for rows of crashes."""
    rows, schedule = Rows(), Schedule(3, ["kill"], every_s=3)
    names = ["math-0", "storage-0", "application-0"]
    started, restarts, row = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    kills = 0
    for turn in range(200):
        now = 3.0 * turn
        lived = {name: now - started[name] for name in names}
        targets = [
            node(name, ready=lived[name] > 1, row=rows.with_one_more(name, lived[name], restarts[name])) for name in names
        ]
        fault = schedule.choose(targets, now, silence=False)
        if fault is None:
            continue
        (name,) = fault.targets
        rows.hit(name, lived[name], restarts[name])
        row[name] = 1 if lived[name] > STABLE_S or restarts[name] == 0 else row[name] + 1
        assert row[name] <= MOST_FAILURES
        kills += 1
        started[name], restarts[name] = now + 0.5 * 2 ** (row[name] - 1), restarts[name] + 1
    assert kills > 60


def outages(*hits: tuple[str, float, float]) -> Outages:
    """Two math nodes and one storage node with these outages."""
    made = Outages({"math-0": "math", "math-1": "math", "storage-0": "storage", "zookeeper0": SERVERS})
    for name, began, ended in hits:
        made.begin(name, began)
        if ended < inf:
            made.end(name, ended)
    return made


def test_an_outage_lasts_from_before_the_fault_until_a_look_that_began_later() -> None:
    made = outages(("math-0", 10, inf))
    made.end("math-0", 10)  # a look that began just then may not show the fault
    assert made.now_out() == {"math-0"}
    made.end("math-0", 11)
    assert made.now_out() == set()
    assert made.touch({"math"}, 0, 10)
    assert made.touch({"math"}, 10.5, 99)
    assert not made.touch({"math"}, 12, 99)
    assert not made.touch({"math"}, 0, 9)
    assert not made.touch({"storage"}, 0, 99)


def test_a_stopped_process_is_out_until_it_goes_on_whatever_it_seems() -> None:
    made = outages()
    made.begin("math-0", 10, held=True)
    made.end("math-0", 12)  # what answered a moment ago is believed to be ready
    assert made.now_out() == {"math-0"}
    made.let_go("math-0", 15)
    made.end("math-0", 14)
    assert made.now_out() == {"math-0"}
    made.end("math-0", 16)
    assert not made.now_out()


def test_a_type_lives_as_long_as_its_nodes_are_not_out_at_once() -> None:
    assert outages(("math-0", 10, 20), ("math-1", 20, 30)).one_lived({"math"}, 0, 99)
    made = outages(("math-0", 10, 20), ("math-1", 19, 30))
    assert not made.one_lived({"math"}, 0, 99)
    assert not made.one_lived({"math", "storage"}, 19.5, 19.6)
    assert made.one_lived({"math"}, 20, 99)
    assert made.one_lived({"storage"}, 0, 99)


def test_a_type_is_back_when_the_first_of_its_nodes_is() -> None:
    assert outages(("math-0", 10, 20)).back_since("math") == -inf
    assert outages(("math-0", 10, 20), ("math-1", 15, 30)).back_since("math") == 20
    assert outages(("storage-0", 10, inf)).back_since("storage") == inf
    assert outages(("storage-0", 10, 20), ("storage-0", 30, 40)).back_since("storage") == 40
