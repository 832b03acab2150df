"""Graphs for simulated runs, and what their steps must answer."""

from __future__ import annotations

import random

from Services.fractos.graph import Step, TaskGraph


def chain(length: int, pins: tuple[str, ...] = ()) -> TaskGraph:
    """1 doubled `length` times, on `pins` in turn or on any math node."""
    graph = TaskGraph(f"chain of {length}")
    value: object = 1
    for index in range(length):
        node = graph.node(pins[index % len(pins)]) if pins else graph.math
        value = node.shift_left(value=value, bits=1).value
    return graph


def diamond() -> TaskGraph:
    """(1 << 1) + (1 << 2) = 6 in step 3: a fan-out and a join; step 4 stores the sum."""
    graph = TaskGraph("diamond")
    top = graph.math.shift_left(value=1, bits=0)
    left = graph.math.shift_left(value=top.value, bits=1)
    right = graph.node("math-1").shift_left(value=top.value, bits=2)
    total = graph.math.binomial_expansion(a=left.value, b=right.value, n=1)
    graph.storage.write_integer(client_id="admin", name="sum", value=total.value)
    return graph


def random_graph(rng: random.Random, math_nodes: int) -> tuple[TaskGraph, list[int]]:
    """Up to 12 steps of shifts and sums with fan-out, joins, `after` and, on `math_nodes`, pins; and the value of each."""
    graph = TaskGraph("random")
    steps: list[Step] = []
    values: list[int] = []

    def operand() -> tuple[object, int]:
        if steps and rng.random() < 0.7:
            index = rng.randrange(len(steps))
            return steps[index].value, values[index]
        number = rng.randrange(-9, 10)
        return number, number

    for _ in range(rng.randint(1, 12)):
        node = graph.node(f"math-{rng.randrange(math_nodes)}") if math_nodes and rng.random() < 0.3 else graph.math
        after = rng.sample(steps, min(len(steps), rng.choice((0, 0, 1, 2))))
        (a, a_value), (b, b_value), bits = operand(), operand(), rng.randrange(4)
        if rng.random() < 0.5:
            steps.append(node.shift_left(value=a, bits=bits, after=after))
            values.append(a_value << bits)
        else:
            steps.append(node.binomial_expansion(a=a, b=b, n=1, after=after))
            values.append(a_value + b_value)
    return graph, values
