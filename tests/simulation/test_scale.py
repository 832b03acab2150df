"""What does not grow with the number of nodes, and what grows with those that are used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from Services.fractos.graph import TaskGraph
from Services.fractos.limits import Limits
from tests.simulation.__main__ import main
from tests.simulation.scale import Scale, measure
from tests.simulation.world import Conditions, World

FEW, MANY, USED = 60, 240, 20


@pytest.fixture(scope="module")
def scales() -> Iterator[tuple[Scale, Scale]]:
    """The same load on few and on many nodes."""
    yield measure(FEW, USED), measure(MANY, USED)


def test_channels_and_followers_grow_with_what_is_used(scales: tuple[Scale, Scale]) -> None:
    few, many = (scale.figures for scale in scales)
    types = 3
    for name in ("channels of the application node", "nodes that follow the directory"):
        assert few[name] <= USED + types * Limits().links_per_type + 1
        assert many[name] <= USED + types * Limits().links_per_type + 1
    assert many["watches per node"] < few["watches per node"]
    assert many["channels per node"] < few["channels per node"]


def test_messages_do_not_grow(scales: tuple[Scale, Scale]) -> None:
    few, many = (scale.figures for scale in scales)
    assert many["messages per run"] <= 1.1 * few["messages per run"]
    assert many["heartbeats per second and node"] < few["heartbeats per second and node"]


def test_the_command_prints_all_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale", "--nodes", "10,20", "--used", "5"]) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[0].split() == ["nodes", "10", "20"]
    assert "messages per run" in table


def pinned(node: str) -> TaskGraph:
    graph = TaskGraph("pinned")
    graph.node(node).shift_left(value=1, bits=1)
    return graph


def test_a_node_that_a_run_names_is_missed_when_it_dies() -> None:
    world = World(1, application=1, math=4, conditions=Conditions(first=1))
    world.device_s = 5.0
    run_id = world.submit(pinned("math-3"), timeout_s=30.0)
    world.run(0.5)
    assert world.executed[-1][0] == "math-3"
    world.crash("math-3")
    world.restart("math-3")
    world.run(60.0)
    assert not world.result(run_id).HasField("failure")
    assert [name for name, _ in world.executed] == ["math-3", "math-3"]


def test_a_channel_is_let_go_when_no_run_needs_it_any_more() -> None:
    world = World(1, application=1, math=4, conditions=Conditions(first=1))
    assert world.network.counts()["application-0"] == 1
    run_id = world.submit(pinned("math-3"), timeout_s=5.0)
    world.run(1.0)
    assert not world.result(run_id).HasField("failure")
    assert world.network.counts()["application-0"] == 2
    world.run(30.0)
    assert world.network.counts()["application-0"] == 1


def test_the_next_in_line_has_a_channel_when_the_first_dies() -> None:
    world = World(1, application=1, math=4, conditions=Conditions(first=1))
    world.crash("math-0")
    world.run(1.0)
    graph = TaskGraph("anywhere")
    graph.math.shift_left(value=1, bits=1)
    world.device_s = 5.0
    run_id = world.submit(graph)
    world.run(0.5)
    assert world.executed[-1][0] == "math-1"
    world.crash("math-1")
    world.run(60.0)
    assert not world.result(run_id).HasField("failure")
    assert world.executed[-1][0] == "math-2"
