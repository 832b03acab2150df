"""Single cases of recovery, told one by one; `test_seeds.py` has whatever else may happen."""

from __future__ import annotations

import random

import pytest

from Services.fractos.graph import TaskGraph
from Services.fractos.values import to_big_integer
from tests.simulation.graphs import chain
from tests.simulation.test_runs import assert_nothing_left
from tests.simulation.world import Conditions, World, integer


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


@pytest.mark.parametrize("seed", range(5))
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


def test_a_run_that_is_submitted_to_the_successor_and_cancelled_has_the_end_that_is_recorded() -> None:
    world = World(1, application=2, math=1, conditions=Conditions(sync_s=0.05))
    run_id = world.submit(chain(1))
    world.run(1.0)
    world.crash("application-0")
    world.run(5.0)
    world.submit(chain(1), to="application-1", run_id=run_id)
    world.cancel(run_id, to="application-1")  # before the journal has said that it knows the run
    world.run(1.0)
    world.submit(chain(1), to="application-1", run_id=run_id)
    world.run(1.0)
    assert len(world.results[run_id]) == 3
    assert all(result == world.results[run_id][0] for result in world.results[run_id])
    assert len(world.history.ends[run_id]) == 1


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
