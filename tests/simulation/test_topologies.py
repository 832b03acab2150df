"""The same graph as a ring, a fast-star and a star: the same outputs, and the bill that docs/topologies.md says."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from protos import application_pb2, fractos_pb2
from Services.fractos.bill import Bill
from Services.fractos.graph import TaskGraph
from Services.fractos.topology import FAST_STAR, RING, STAR, TOPOLOGIES
from tests.simulation.graphs import random_graph
from tests.simulation.world import Conditions, World, integer

HOME = "application-0"
INLINE, MEMORY = 1 << 20, 1  # limits: everything travels in Requests, or everything of more than a byte is Memory


def run(graph: TaskGraph, topology: str, inline_limit: int = INLINE) -> application_pb2.RunResult:
    world = World(1, application=1, math=4, storage=2, conditions=Conditions(inline_limit=inline_limit))
    run_id = world.submit(graph, topology=topology)
    world.run(5.0)
    result = world.result(run_id)
    assert not result.HasField("failure"), result.failure
    world.run(60.0)
    assert not any(len(node.store) for node in world.nodes.values())
    return result


class Rule:
    """What a run has to cost: by link, the Requests, the replies, the Completions and the bytes of values."""

    def __init__(self, graph: TaskGraph, result: application_pb2.RunResult, topology: str, limit: int) -> None:
        self.steps = {step.id: step for step in fractos_pb2.Graph.FromString(graph.serialized()).steps}
        self.node = {hop.step: hop.node for hop in result.trail}
        self.size = {hop.step: (integer(result, hop.step).bit_length() + 7) // 8 for hop in result.trail}
        self.limit = limit
        self.requests: dict[tuple[str, str], int] = defaultdict(int)
        self.replies: dict[tuple[str, str], int] = defaultdict(int)
        self.completions: dict[tuple[str, str], int] = defaultdict(int)
        self.values: dict[tuple[str, str], int] = defaultdict(int)
        if topology == RING:
            self.ring()
        else:
            self.star(passes_values=topology == STAR)

    def ring(self) -> None:
        targets = {edge.to for step in self.steps.values() for edge in step.edges}
        for step in self.steps.values():
            here = self.node[step.id]
            if step.id not in targets:
                self.requests[HOME, here] += 1
            if step.output or not step.edges:
                self.completions[here, HOME] += 1
            for edge in step.edges:
                self.requests[here, self.node[edge.to]] += 1
                self.values[here, self.node[edge.to]] += self.delivered(step, edge)
        self.drop_local()

    def star(self, passes_values: bool) -> None:
        for step in self.steps.values():
            here = self.node[step.id]
            self.requests[HOME, here] += 1
            (self.replies if step.edges else self.completions)[here, HOME] += 1
            is_needed = any(edge.bindings for edge in step.edges)
            if passes_values and is_needed:
                self.values[here, HOME] += self.size[step.id]
            for edge in step.edges:
                source = HOME if passes_values else here
                limit = self.limit if passes_values else 0
                self.values[source, self.node[edge.to]] += self.delivered(step, edge, limit)
        self.drop_local()

    def delivered(self, step: fractos_pb2.Step, edge: fractos_pb2.Edge, limit: int | None = None) -> int:
        """A value that goes into two arguments of a step travels twice in a Request, and is fetched once as Memory."""
        is_memory = self.size[step.id] > (self.limit if limit is None else limit)
        times = min(len(edge.bindings), 1) if is_memory else len(edge.bindings)
        return times * self.size[step.id]

    def drop_local(self) -> None:
        """What stays at a node takes no network."""
        for counted in (self.requests, self.values):
            for link in [link for link in counted if link[0] == link[1]]:
                del counted[link]


def charged(bill: Bill, name: str) -> dict[tuple[str, str], int]:
    return {link: getattr(charge, name) for link, charge in bill.items() if getattr(charge, name)}


def nonzero(counted: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {link: count for link, count in counted.items() if count}


@pytest.mark.parametrize("limit", [INLINE, MEMORY], ids=["inline", "memory"])
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_random_graphs_have_the_same_outputs_and_the_bill_of_the_rule(topology: str, limit: int) -> None:
    for seed in range(40):
        graph, values = random_graph(random.Random(seed), math_nodes=4)
        for step in graph.steps:
            if random.Random(f"{seed} {step}").random() < 0.3:
                graph.output(step)
        result = run(graph, topology, limit)
        assert [integer(result, index) for index in range(len(values))] == values, seed
        bill, rule = Bill(result), Rule(graph, result, topology, limit)
        for name in ("requests", "replies", "completions"):
            assert charged(bill, name) == nonzero(getattr(rule, name)), (seed, name)
        assert charged(bill, "value_bytes") == nonzero(rule.values), seed


CHAIN = ("math-0", "math-1", "math-2")


def chain(length: int, bits: int = 800) -> tuple[TaskGraph, int]:
    """Steps on nodes in turn, and the sum of the sizes of the values between them."""
    graph = TaskGraph("chain")
    value: object = 1
    for index in range(length):
        value = graph.node(CHAIN[index % 3]).shift_left(value=value, bits=bits).value
    return graph, sum((bits * (index + 1) + 8) // 8 for index in range(length - 1))


@pytest.mark.parametrize("limit", [INLINE, MEMORY], ids=["inline", "memory"])
@pytest.mark.parametrize("length", [1, 2, 3, 8])
@pytest.mark.parametrize(
    ("topology", "per_step", "more", "times"), [(RING, 1, 1, 1), (FAST_STAR, 2, 0, 1), (STAR, 2, 0, 2)], ids=TOPOLOGIES
)
def test_a_chain_costs_what_the_rule_says(topology: str, per_step: int, more: int, times: int, length: int, limit: int) -> None:
    graph, between = chain(length)
    total = Bill(run(graph, topology, limit)).total
    assert (total.hops, total.value_bytes) == (per_step * length + more, times * between)


def test_a_value_that_skips_a_step_goes_straight_to_where_it_is_needed() -> None:
    graph = TaskGraph("skip")
    first = graph.node("math-0").shift_left(value=1, bits=800)
    second = graph.node("math-1").shift_left(value=first.value, bits=800)
    graph.node("math-2").binomial_expansion(a=first.value, b=second.value, n=1)
    bill = Bill(run(graph, RING))
    assert charged(bill, "value_bytes") == {("math-0", "math-1"): 101, ("math-0", "math-2"): 101, ("math-1", "math-2"): 201}
    assert bill.total.hops == 5  # an opening, three edges, an end


def test_an_output_that_was_asked_for_is_on_the_bill() -> None:
    graph, _ = chain(2)
    graph.output(graph.steps[0])
    for topology, completions in ((RING, 2), (FAST_STAR, 1), (STAR, 1)):
        bill = Bill(run(graph, topology))
        assert bill.total.completions == completions
        assert bill["math-0", HOME].output_bytes > 100
        assert bill["math-1", HOME].output_bytes == 0


def test_the_last_attempt_is_the_one_on_the_bill() -> None:
    world = World(3, application=1, math=2)
    world.device_s = 0.5
    graph = TaskGraph("crash")
    first = graph.node("math-0").shift_left(value=1, bits=80)
    graph.math.shift_left(value=first.value, bits=1)
    graph.node("math-0").shift_left(value=first.value, bits=2)
    run_id = world.submit(graph, topology=STAR)
    world.run(0.01)
    world.crash("math-0")
    world.restart("math-0")
    world.run(20.0)
    bill = Bill(world.result(run_id))
    assert bill.attempts >= 2
    assert (bill.total.requests, bill.total.replies, bill.total.completions) == (3, 1, 2)
    assert f"the last of {bill.attempts} attempts" in str(bill)
