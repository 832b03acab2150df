"""Runs whose nodes crash, come back and lose their streams: all of them end with the right outputs."""

from __future__ import annotations

import random

import pytest

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


@pytest.mark.parametrize("seed", range(60))
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
