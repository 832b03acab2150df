"""Runs whose nodes crash, come back and lose their streams: all of them end with the right outputs."""

from __future__ import annotations

import random

import pytest

from Services.fractos.graph import TaskGraph
from Services.fractos.values import to_big_integer
from tests.simulation.graphs import random_graph
from tests.simulation.test_runs import assert_nothing_left
from tests.simulation.world import World, integer

MATH = ("math-0", "math-1", "math-2")


def one_fault(world: World, rng: random.Random) -> None:
    """A crash, a restart or a broken stream; one math node always lives."""
    living = [name for name in MATH if name in world.nodes]
    dead = [name for name in MATH if name not in world.nodes]
    match rng.choice(("crash", "restart", "cut", "cut")):
        case "crash" if len(living) > 1:
            world.crash(rng.choice(living))
        case "restart" if dead:
            world.restart(rng.choice(dead))
        case _:
            world.cut(*rng.sample([*living, "application-0"], 2))


@pytest.mark.parametrize("seed", range(30))
def test_runs_end_right_whatever_crashes_or_breaks(seed: int) -> None:
    rng = random.Random(seed)
    world = World(seed, application=1, math=3)
    expected = {}
    for index in range(60):
        graph, values = random_graph(rng, math_nodes=0)
        expected[world.submit(graph)] = values
        world.run(rng.uniform(0, 0.004))
        if index % 5 == 4:
            one_fault(world, rng)
    world.run(20.0)
    for run_id, values in expected.items():
        result = world.result(run_id)
        assert not result.HasField("failure"), result.failure.message
        assert [integer(result, step) for step in range(len(values))] == values
    assert_nothing_left(world)
    assert all(node.engine.ledger.kept_bytes == 0 for node in world.nodes.values())


def two_views() -> TaskGraph:
    """One value is read and doubled by two nodes, and their sum is what the run answers."""
    graph = TaskGraph("two views")
    read = graph.storage.read_integer(client_id="admin", name="x")
    left = graph.math.shift_left(value=read.value, bits=1)
    right = graph.node("math-1").shift_left(value=read.value, bits=1)
    graph.node("math-1").shift_left(value=left.value, bits=0)
    graph.output(right)
    return graph


def write(value: int) -> TaskGraph:
    graph = TaskGraph("write")
    graph.storage.write_integer(client_id="admin", name="x", value=value)
    return graph


@pytest.mark.parametrize("seed", range(30))
def test_no_run_mixes_what_was_read_before_a_crash_with_what_was_read_after_it(seed: int) -> None:
    rng = random.Random(seed)
    world = World(seed, application=1, math=2, storage=2)
    run_ids = []
    for index in range(40):
        world.submit(write(index))
        run_ids.append(world.submit(two_views()))
        world.run(rng.uniform(0, 0.004))
        if index == 20:
            world.crash("storage-0")
        elif index % 8 == 4:
            world.cut(*rng.sample(["storage-1", "math-0", "math-1", "application-0"], 2))
    world.run(20.0)
    ends = [world.result(run_id) for run_id in run_ids]
    assert {end.failure.status for end in ends} <= {"", "ABORTED", "NOT_FOUND"}  # NOT_FOUND: before the first write
    succeeded = [end for end in ends if not end.HasField("failure")]
    assert len(succeeded) > 20
    assert all(integer(end, 1) == integer(end, 2) == integer(end, 3) == 2 * integer(end, 0) for end in succeeded)
    assert_nothing_left(world)


def test_a_run_whose_input_changed_between_two_attempts_says_so() -> None:
    world = World(1, application=1, math=1, storage=2)
    world.submit(write(1))
    world.run(1.0)
    world.device_s = 0.05
    graph = TaskGraph("reads and goes on")
    read = graph.storage.read_integer(client_id="admin", name="x")
    doubled = graph.math.shift_left(value=read.value, bits=1)
    graph.storage.write_integer(client_id="admin", name="y", value=doubled.value)
    run_id = world.submit(graph)
    while len(world.executed) < 3:  # the doubling is done, the write is on its way
        world.run(0.0001)
    world.files.content["admin", "x"] = to_big_integer(2)
    world.crash("storage-0")
    world.run(5.0)
    failure = world.result(run_id).failure
    assert (failure.status, failure.operation, failure.definite) == ("ABORTED", "math.shift_left", False)
    assert ("admin", "y") not in world.files.content
