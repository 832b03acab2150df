"""Whole runs on simulated datacenters: right answers, one answer each, nothing left behind, whatever the seed."""

from __future__ import annotations

import random

import pytest

from Services.fractos.graph import TaskGraph
from Services.fractos.limits import Limits
from tests.simulation.graphs import chain, diamond, random_graph
from tests.simulation.world import World, integer

SEEDS = range(5)  # `test_seeds.py` has many more


def assert_nothing_left(world: World) -> None:
    """After the last deadline no node remembers anything, and no reservation is held."""
    world.run(60.0)
    for name, node in world.nodes.items():
        assert node.engine.waiting() == 0, name
        assert len(node.engine.ledger) == 0, name
        assert len(node.store) == 0, name
        if node.engine.runs is not None:
            assert node.engine.runs.in_flight() == 0
            assert node.engine.runs.reserved() == 0


def test_a_chain_hops_from_node_to_node_and_the_application_node_sees_its_ends_only() -> None:
    world = World(1, application=1, math=3)
    run_id = world.submit(chain(3, ("math-0", "math-1", "math-2")))
    world.run(1.0)
    assert integer(world.result(run_id), 2) == 8
    assert [hop.node for hop in world.result(run_id).trail] == ["math-0", "math-1", "math-2"]
    requests = [(sender, receiver) for sender, receiver, kind in world.frames if kind == "request"]
    assert requests == [("application-0", "math-0"), ("math-0", "math-1"), ("math-1", "math-2")]
    assert [frame[:2] for frame in world.frames if frame[2] == "completion"] == [("math-2", "application-0")]


def test_steps_for_the_same_node_take_no_network() -> None:
    world = World(1, application=1, math=1)
    run_id = world.submit(chain(5))
    world.run(1.0)
    assert integer(world.result(run_id), 4) == 32
    assert [kind for _, _, kind in world.frames].count("request") == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_branches_meet_at_a_join_whatever_the_order(seed: int) -> None:
    world = World(seed, application=1, math=2, storage=1)
    run_id = world.submit(diamond())
    world.run(1.0)
    assert integer(world.result(run_id), 3) == 6
    assert world.files.writes == [("admin", "sum")]
    assert len(world.executed) == len(set(world.executed)) == 5
    assert_nothing_left(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_graphs_answer_right_and_once(seed: int) -> None:
    rng = random.Random(seed)
    world = World(seed, application=1, math=3)
    expected = {}
    for _ in range(40):
        graph, values = random_graph(rng, math_nodes=3)
        expected[world.submit(graph)] = values
        world.run(rng.uniform(0, 0.002))
    world.run(5.0)
    for run_id, values in expected.items():
        result = world.result(run_id)
        assert not result.HasField("failure"), result.failure.message
        assert [integer(result, step) for step in range(len(values))] == values
    assert len(world.executed) == len(set(world.executed)) == sum(map(len, expected.values()))
    assert_nothing_left(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_run_succeeds_once_although_a_leader_crashes(seed: int) -> None:
    world = World(seed, application=1, math=3, storage=1)
    run_ids = []
    for index in range(60):
        if index == 20:
            world.crash("math-0")
        graph = chain(4)
        graph.storage.write_integer(client_id="admin", name=f"{index}", value=graph.steps[-1].value)
        run_ids.append(world.submit(graph))
        world.run(0.001)
    world.run(40.0)
    assert all(integer(world.result(run_id), 3) == 16 for run_id in run_ids)
    # What the dead node did may be done again by another one; no node does a step twice, whatever the attempt.
    done = [(name, key.run_id, key.step) for name, key in world.executed]
    assert len(done) == len(set(done))
    assert len(world.files.writes) == len(set(world.files.writes))
    assert_nothing_left(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_may_not_be_repeated_is_done_once_or_reported(seed: int) -> None:
    world = World(seed, application=1, cnn=2)
    run_ids = []
    for index in range(30):
        if index == 15:
            world.crash("cnn-0")
        graph = TaskGraph("train")
        graph.cnn.train(model=f"m{index}")
        run_ids.append(world.submit(graph))
        world.run(0.0005)
    world.run(40.0)
    done = [key[0] for _, key in world.executed]
    assert len(done) == len(set(done))
    failures = [world.result(run_id).failure for run_id in run_ids]
    assert {failure.status for failure in failures} <= {"", "UNAVAILABLE"}
    assert all("nobody knows" in failure.message and not failure.definite for failure in failures if failure.status)
    assert_nothing_left(world)


def test_a_run_in_the_hands_of_a_node_that_crashes_is_repeated_at_once() -> None:
    world = World(1, application=1, math=2)
    world.device_s = 100.0
    run_id = world.submit(chain(1))
    world.run(1.0)
    assert not world.results[run_id]
    world.crash("math-0")
    world.device_s = 0.001
    world.run(0.05)
    (hop,) = world.result(run_id).trail
    assert (hop.node, hop.attempt) == ("math-1", 2)
    assert_nothing_left(world)


def test_a_standby_may_crash_without_any_run_noticing() -> None:
    world = World(3, application=1, math=2)
    run_ids = [world.submit(chain(6)) for _ in range(50)]
    world.crash("math-1")
    world.run(10.0)
    assert all(integer(world.result(run_id), 5) == 64 for run_id in run_ids)


def test_a_run_pinned_to_a_dead_node_fails_and_says_which() -> None:
    world = World(1, application=1, math=2)
    world.crash("math-1")
    world.run(0.5)
    run_id = world.submit(chain(2, ("math-0", "math-1")))
    world.run(8.0)
    assert world.result(run_id).failure.status == "UNAVAILABLE"
    assert "math-1" in world.result(run_id).failure.message


def test_a_failing_step_ends_the_run_with_its_place_and_the_other_branch_stops() -> None:
    world = World(1, application=1, math=1, storage=1)
    graph = TaskGraph("fails")
    missing = graph.storage.read_integer(client_id="admin", name="missing")
    graph.storage.write_integer(client_id="admin", name="copy", value=missing.value)
    run_id = world.submit(graph)
    world.run(1.0)
    failure = world.result(run_id).failure
    assert (failure.status, failure.step, failure.operation) == ("NOT_FOUND", 0, "storage.read_integer")
    assert (failure.node, failure.attempt, failure.definite) == ("storage-0", 1, True)
    assert world.files.writes == []
    assert_nothing_left(world)


def test_a_cancelled_run_does_nothing_more() -> None:
    world = World(1, application=1, math=2, storage=1)
    graph = chain(30, ("math-0", "math-1"))
    last = graph.steps[-1]
    graph.storage.write_integer(client_id="admin", name="late", value=last.value)
    run_id = world.submit(graph)
    world.run(0.005)
    world.cancel(run_id)
    world.run(5.0)
    assert world.result(run_id).failure.status == "CANCELLED"
    assert world.files.writes == []
    assert 0 < len(world.executed) < 30
    assert_nothing_left(world)


def test_a_run_ends_at_its_deadline_and_not_later() -> None:
    world = World(1, application=1, math=1)
    run_id = world.submit(chain(1000), timeout_s=0.1)
    submitted = world.now
    while not world.results[run_id]:
        world.run(0.001)
    assert world.result(run_id).failure.status == "DEADLINE_EXCEEDED"
    assert 0.1 <= world.now - submitted < 0.13
    executed = len(world.executed)
    world.run(5.0)
    assert len(world.executed) <= executed + 1
    assert_nothing_left(world)


def test_overload_is_refused_at_the_edge_and_what_was_admitted_ends_well() -> None:
    world = World(1, application=1, math=1)
    run_ids = [world.submit(chain(100)) for _ in range(150)]
    world.run(0.0)
    admitted = [run_id for run_id in run_ids if run_id not in world.refusals]
    assert len(admitted) == 100  # of 10,000 steps
    assert {error.status for error in world.refusals.values()} == {"RESOURCE_EXHAUSTED"}
    assert all(error.retry_after_s > 0 for error in world.refusals.values())
    world.run(20.0)
    assert all(integer(world.result(run_id), 99) == 1 << 100 for run_id in admitted)
    assert_nothing_left(world)


def test_a_full_ledger_refuses_and_names_its_limit() -> None:
    world = World(1, limits=Limits(runs_remembered=5), application=1, math=1)
    run_ids = [world.submit(chain(1)) for _ in range(8)]
    world.run(1.0)
    failures = [world.result(run_id).failure for run_id in run_ids]
    assert [failure.status for failure in failures].count("RESOURCE_EXHAUSTED") == 3
    assert all("5 runs" in failure.message for failure in failures if failure.status)
    world.run(60.0)
    late = world.submit(chain(1))
    world.run(1.0)
    assert integer(world.result(late), 0) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_what_has_ended_is_not_done_again_when_its_node_dies(seed: int) -> None:
    world = World(seed, application=1, storage=2)
    for value in (1, 2):
        graph = TaskGraph(f"write {value}")
        graph.storage.write_integer(client_id="admin", name="x", value=value)
        run_id = world.submit(graph)
        while not world.results[run_id]:
            world.run(0.001)
    world.crash("storage-0")  # it has acknowledged neither of them yet
    world.run(5.0)
    assert len(world.files.writes) == 2
    assert world.files.content["admin", "x"].magnitude == b"\x02"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_on_the_standby_is_not_doubted_although_the_dead_node_is_tried_again(seed: int) -> None:
    world = World(seed, application=1, math=2)
    world.crash("math-0")
    world.run(0.05)
    world.device_s = 0.5
    run_ids = []
    for _ in range(10):
        run_ids.append(world.submit(chain(4)))
        world.run(0.3)
    world.run(30.0)
    assert all(integer(world.result(run_id), 3) == 16 for run_id in run_ids)


@pytest.mark.parametrize("seed", SEEDS)
def test_streams_that_break_between_living_nodes_cost_no_run(seed: int) -> None:
    world = World(seed, application=1, math=3)
    links = [("application-0", "math-0"), ("math-0", "math-1"), ("math-1", "math-2"), ("math-2", "application-0")]
    run_ids = []
    for index in range(60):
        run_ids.append(world.submit(chain(3, ("math-0", "math-1", "math-2"))))
        world.run(0.001)
        if index % 10 == 5:
            world.cut(*world.random.choice(links))
    world.run(5.0)
    assert all(integer(world.result(run_id), 2) == 8 for run_id in run_ids)
    done = [(name, key.run_id, key.step) for name, key in world.executed]
    assert len(done) == len(set(done)) == 3 * len(run_ids)  # a repeated run is answered by those who have done its steps
    assert_nothing_left(world)


def test_a_node_that_dies_after_its_channel_had_broken_once_is_noticed() -> None:
    world = World(1, application=1, math=2)
    world.cut("application-0", "math-0")
    world.run(1.0)
    world.device_s = 100.0
    run_id = world.submit(chain(1))
    world.run(0.5)
    world.crash("math-0")
    world.device_s = 0.001
    world.run(0.05)
    assert integer(world.result(run_id), 0) == 2


@pytest.mark.parametrize("seed", SEEDS)
def test_a_slow_run_that_was_sent_another_way_is_not_doubted(seed: int) -> None:
    world = World(seed, application=1, math=2)
    run_id = world.submit(chain(3))  # on its way to the node that dies now
    world.crash("math-0")
    world.device_s = 5.0
    world.run(120.0)
    failure = world.result(run_id).failure
    assert failure.status in ("", "DEADLINE_EXCEEDED"), failure.message
