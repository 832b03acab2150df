"""What star, fast-star and ring must cost, by the graph alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from Applications.face_verification import embedded
from Services.datacenter.bench.image import PICTURE
from Services.datacenter.bench.own_datacenter import CLIENT
from Services.datacenter.bench.rules import Link, Stage, Traffic, Value, chain, expected, network_ms
from Services.datacenter.bench.workloads import Workload, face_verification, image_prediction
from Services.fractos import TaskGraph
from Services.fractos.topology import FAST_STAR, RING, STAR

pure = settings(deadline=None, database=None)
LINK = Link(latency_ms=1.0, bandwidth_mbit=1_000.0)


@pure
@given(st.integers(1, 40), st.integers(0, 10**9))
def test_chains_cost_what_the_rule_says(devices: int, size_bytes: int) -> None:
    stages = chain([f"math-{index}" for index in range(devices)], size_bytes)
    between = (devices - 1) * size_bytes
    assert expected(stages, RING) == Traffic(devices + 1, between)
    assert expected(stages, FAST_STAR) == Traffic(2 * devices, between)
    assert expected(stages, STAR) == Traffic(2 * devices, 2 * between)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Stage, ...]:
    """Steps on a few nodes, each with values of some of those before it."""
    made: list[Stage] = []
    for index in range(draw(st.integers(1, 8))):
        sources = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=3)) if index else []
        sizes = {source: draw(st.integers(0, 10**6)) for source in sources}
        made.append(Stage(f"math-{draw(st.integers(0, 3))}", tuple(Value(*one) for one in sizes.items())))
    return tuple(made)


@pure
@given(graphs())
def test_a_ring_never_costs_more_than_a_star(stages: tuple[Stage, ...]) -> None:
    ring, fast, star = (expected(stages, topology) for topology in (RING, FAST_STAR, STAR))
    assert fast.hops == star.hops
    assert ring.value_bytes == fast.value_bytes <= star.value_bytes
    times = [network_ms(stages, topology, LINK, 0) for topology in (RING, FAST_STAR, STAR)]
    assert times[0] <= times[1] + 1e-9
    assert times[0] <= times[2] + 1e-9
    assert all(time >= 2 * LINK.latency_ms for time in times)  # there and back


def test_what_stays_at_a_node_costs_a_ring_nothing() -> None:
    stages = (Stage("math-0"), Stage("math-0", (Value(0, 1000),)), Stage("math-1", (Value(1, 10),)))
    assert expected(stages, RING) == Traffic(3, 10)
    assert expected(stages, FAST_STAR) == Traffic(6, 10)
    assert expected(stages, STAR) == Traffic(6, 2020)


def test_a_value_for_two_steps_goes_to_the_centre_once() -> None:
    stages = (Stage("math-0"), Stage("math-1", (Value(0, 100),)), Stage("math-2", (Value(0, 100),)))
    assert expected(stages, STAR) == Traffic(6, 300)
    assert expected(stages, RING) == Traffic(5, 200)


def test_the_time_of_the_network_alone() -> None:
    small, large = (chain(["math-0", "math-1"], size_bytes) for size_bytes in (1_000, 1_000_000))
    assert LINK.transfer_ms(1_000_000) == pytest.approx(8)
    assert [network_ms(small, one, LINK, 65_536) for one in (RING, STAR)] == pytest.approx([3 + 0.008, 4 + 0.016])
    assert network_ms(large, RING, LINK, 65_536) == pytest.approx(3 + 2 + 8)  # and two to ask for it
    assert network_ms(large, FAST_STAR, LINK, 65_536) == pytest.approx(4 + 2 + 8)
    assert network_ms(large, STAR, LINK, 65_536) == pytest.approx(4 + 2 * (2 + 8))


def test_the_face_verification_is_the_application_of_that_name() -> None:
    application = TaskGraph("as a user runs it")
    embedded(application, CLIENT, PICTURE)
    steps = [(step.operation, step.arguments) for step in application._message.steps]
    assert [operation for operation, _ in steps] == ["storage.read_image", "math.crop", "cnn.embed"]
    assert [(step.operation, step.arguments) for step in face_verification(2048).graph._message.steps[1:4]] == steps


@pytest.mark.parametrize("workload", [image_prediction("Cat"), face_verification(2048)], ids=lambda one: one.name)
def test_what_is_said_of_an_application_is_what_its_graph_is(workload: Workload) -> None:
    steps = workload.graph._message.steps
    stages = workload.stages
    assert [step.node for step in steps] == [stage.node for stage in stages]
    edges = {(step.id, edge.to) for step in steps for edge in step.edges}
    assert edges == {(value.source, index) for index, stage in enumerate(stages) for value in stage.values}
