"""Single cases of Memory and capabilities, told one by one; `test_seeds.py` has whatever else may happen."""

from __future__ import annotations

import random

import pytest

from protos import application_pb2
from Services.fractos.graph import TaskGraph
from tests.simulation.graphs import chain
from tests.simulation.test_runs import assert_nothing_left
from tests.simulation.tricks import TRICKS, Trickster
from tests.simulation.world import Conditions, World, integer

LARGE = 3 << 100
SMALL_LIMIT = Conditions(inline_limit=4)
SPOILT = sorted({*TRICKS} - {"another client's files"})


def large_chain(*pins: str, name: str = "large") -> TaskGraph:
    """A large number doubled on each of the nodes; the last one is asked for."""
    graph = TaskGraph(name)
    value: object = LARGE
    for pin in pins:
        step = graph.node(pin).shift_left(value=value, bits=1)
        value = step.value
    graph.output(step)
    return graph


def kept(world: World) -> dict[str, int]:
    """How many Memory objects each node holds, if any."""
    return {name: len(node.store) for name, node in world.nodes.items() if len(node.store)}


def test_a_large_value_stays_where_it_was_made_until_its_run_is_over() -> None:
    world = World(1, application=1, math=2, conditions=SMALL_LIMIT)
    run_id = world.submit(large_chain("math-0", "math-1"))
    world.run(0.05)
    result = world.result(run_id)
    assert integer(result, 1) == LARGE << 2
    _, last = result.trail
    assert integer(result, 0) == LARGE << 1  # it is small enough for a copy to come with the trail
    assert last.fetched_bytes == ((LARGE << 1).bit_length() + 7) // 8
    assert kept(world) == {"math-0": 1, "math-1": 1}
    world.run(1.0)
    assert kept(world) == {}
    assert_nothing_left(world)


def test_memory_that_dies_with_its_node_is_made_again() -> None:
    world = World(2, application=1, math=2, conditions=Conditions(inline_limit=4, transfer_s=0.5))
    graph = TaskGraph("lost")
    made = graph.math.shift_left(value=LARGE, bits=1)
    graph.output(graph.node("math-1").shift_left(value=made.value, bits=1))
    run_id = world.submit(graph)
    world.run(0.02)
    assert kept(world) == {"math-0": 1}
    world.crash("math-0")
    world.run(5.0)
    assert integer(world.result(run_id), 1) == LARGE << 2
    assert [hop.node for hop in world.result(run_id).trail] == ["math-1", "math-1"]
    assert_nothing_left(world)


def test_an_older_run_takes_the_room_of_a_younger_one_and_not_the_other_way_round() -> None:
    world = World(3, application=1, math=2, conditions=Conditions(inline_limit=4, memory_bytes=20, transfer_s=1.0))
    older = world.submit(large_chain("math-1", "math-0", name="older"))
    world.run(0.0001)
    younger = world.submit(large_chain("math-0", "math-1", name="younger"))
    world.run(10.0)
    assert integer(world.result(older), 1) == LARGE << 2
    assert world.result(younger).failure.status == "RESOURCE_EXHAUSTED"
    assert list(world.history.crowded_out) == [younger]
    assert_nothing_left(world)


def spoilt_run(trick: str) -> tuple[World, bytes, int]:
    """A run with one step that may not be done: which."""
    world = World(4, application=1, math=1, storage=1, conditions=SMALL_LIMIT)
    world.submit(large_chain("math-0"))  # whose Memory can be stolen
    world.run(0.02)
    graph = TaskGraph("spoilt")
    value = graph.math.shift_left(value=1, bits=3)
    graph.storage.write_integer(client_id="admin", name="x", value=value.value)
    graph.storage.append_text(client_id="admin", name="log", text="a")
    authority = world.keys.authority("the test")
    serialized, is_spoilt = Trickster(world, authority, random.Random(trick)).spoil(authority.graph(graph), trick)
    assert is_spoilt
    run_id = b"spoilt run 16 by"
    world.history.submitted(run_id, serialized)
    world.nodes["application-0"].submit(
        application_pb2.SubmitRequest(run_id=run_id, graph=serialized), world.tester(), authority.capability("application")
    )
    world.run(2.0)
    return world, run_id, world.result(run_id).failure.step


@pytest.mark.parametrize("trick", SPOILT)
def test_what_a_client_may_not_do_is_not_done(trick: str) -> None:
    world, run_id, step = spoilt_run(trick)
    assert world.result(run_id).failure.status == "PERMISSION_DENIED"
    assert step not in [key.step for _, key in world.executed if key.run_id == run_id]
    assert world.history.violations == []


def test_what_was_revoked_allows_nothing_at_nodes_that_start_later_either() -> None:
    world = World(5, application=1, math=1)
    before = world.submit(chain(1))
    world.run(1.0)
    world.revoke("the test", "math")
    world.run(1.0)
    after = world.submit(chain(2))
    world.run(1.0)
    world.crash("math-0")
    world.restart("math-0")
    world.run(5.0)
    later = world.submit(chain(3))
    world.run(1.0)
    assert not world.result(before).HasField("failure")
    assert [world.result(run_id).failure.status for run_id in (after, later)] == ["PERMISSION_DENIED"] * 2
    assert {key.run_id for _, key in world.executed} == {before}
