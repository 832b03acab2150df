"""Graphs for simulated runs, and what their steps must answer."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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


SHARED = "shared"  # a file that many runs write and read


class Value(NamedTuple):
    """An integer that depends on what the run has read from the shared file: constant + factor * that."""

    constant: int
    factor: int = 0

    def given(self, shared: int) -> int:
        """The integer, if that was read."""
        return self.constant + self.factor * shared

    def shifted(self, bits: int) -> Value:
        """value << bits"""
        return Value(self.constant << bits, self.factor << bits)

    def plus(self, other: Value) -> Value:
        """The sum of both."""
        return Value(self.constant + other.constant, self.factor + other.factor)


@dataclass
class Drawn:
    """A graph that was drawn, and what it has to do."""

    graph: TaskGraph
    values: dict[int, Value] = field(default_factory=dict)  # step → the integer that it answers
    shared_read: int | None = None  # the step that reads the shared file
    appends: dict[int, str] = field(default_factory=dict)  # step → the text that it appends, which no other one does
    trainings: list[int] = field(default_factory=list)  # steps that may not be repeated
    types: set[str] = field(default_factory=set)
    pinned: set[str] = field(default_factory=set)
    asked: set[int] = field(default_factory=set)  # steps whose output the client wants
    documents: dict[str, str] = field(default_factory=dict)  # texts that it expects to find
    is_denied: bool = False  # one of its steps may not be done


class GraphDrawer:
    """Draws one graph of up to 30 steps or so: chains, fan-out, joins, `after`, pins, reads, writes, appends, trainings.

    Integers and texts are often so large that they travel as Memory.
    """

    def __init__(self, rng: random.Random, name: str, counts: Mapping[str, int], client_id: str = "admin") -> None:
        """`client_id`: whose files it works on."""
        self._rng = rng
        self._client_id = client_id
        self._name = name
        self._counts = counts
        self._drawn = Drawn(TaskGraph(name))
        self._steps: list[Step] = []
        self._written: dict[str, tuple[Step, Value]] = {}  # file → the step that wrote it, and what
        self._fan = rng.choice((0.0, 0.3, 0.7))  # how often an operand is not the last step's
        self._effects = rng.choice((0.2, 0.5))
        self._trains = rng.random() < 0.25
        self._pins = rng.choice((0.1, 0.1, 0.6))  # how often a step is pinned

    def draw(self) -> Drawn:
        """The graph."""
        rng = self._rng
        length = rng.randint(1, 30) if rng.random() < 0.1 else rng.randint(1, 7)
        if rng.random() < 0.35:
            self._read_shared()
        for _ in range(length):
            if self._steps and rng.random() < self._effects:
                self._draw_effect()
            else:
                self._draw_sum()
        if not self._drawn.appends and rng.random() < 0.5:
            self._append()
        self._ask()
        return self._drawn

    def _ask(self) -> None:
        """Have some outputs brought to the client, and what was read from the shared file, to know what is right."""
        chosen = [index for index in range(len(self._steps)) if self._rng.random() < 0.3]
        for index in chosen if self._drawn.shared_read is None else {*chosen, self._drawn.shared_read}:
            self._drawn.graph.output(self._steps[index])
            self._drawn.asked.add(index)

    def _read_shared(self) -> None:
        self._drawn.shared_read = len(self._steps)
        self._drawn.values[len(self._steps)] = Value(0, 1)
        self._add("storage", self._node("storage").read_integer(client_id=self._client_id, name=SHARED))

    def _draw_sum(self) -> None:
        rng = self._rng
        (a, a_value), (b, b_value), bits = self._operand(), self._operand(), rng.randrange(4)
        if rng.random() < 0.5:
            step = self._node("math").shift_left(value=a, bits=bits, after=self._after())
            self._drawn.values[len(self._steps)] = a_value.shifted(bits)
        else:
            step = self._node("math").binomial_expansion(a=a, b=b, n=1, after=self._after())
            self._drawn.values[len(self._steps)] = a_value.plus(b_value)
        self._add("math", step)

    def _draw_effect(self) -> None:
        kind = self._rng.choice(("append", "append", "write", "read", "train"))
        if kind == "train" and self._trains and self._counts.get("cnn"):
            model = f"{self._name}.{len(self._steps)}"
            self._drawn.trainings.append(len(self._steps))
            self._add("cnn", self._node("cnn").train(model=model, after=self._after() or [self._steps[-1]]))
        elif kind == "read" and self._written:
            name = self._rng.choice(list(self._written))
            writer, value = self._written[name]
            self._drawn.values[len(self._steps)] = value
            step = self._node("storage").read_integer(client_id=self._client_id, name=name, after=[writer])
            self._add("storage", step)
        elif kind == "write":
            self._write()
        else:
            self._append()

    def _write(self) -> None:
        operand, value = self._operand()
        name = f"{self._name}.{len(self._steps)}"
        if self._rng.random() < 0.5:
            operand, name = self._number(), SHARED
        step = self._node("storage").write_integer(client_id=self._client_id, name=name, value=operand, after=self._after())
        if name != SHARED:
            self._written[name] = step, value
        self._add("storage", step)

    def _append(self) -> None:
        text: object = f"{self._name}.{len(self._steps)};"
        expected = str(text)
        if self._rng.random() < 0.3:
            expected += "…" * self._rng.randrange(9)
            text = self._read_document(expected)
        self._drawn.appends[len(self._steps)] = expected
        name = f"log-{self._rng.randrange(2)}"
        step = self._node("storage").append_text(client_id=self._client_id, name=name, text=text, after=self._after())
        self._add("storage", step)

    def _read_document(self, text: str) -> object:
        """What a step reads from a file that was there before."""
        name = f"{self._name}.{len(self._steps)}"
        self._drawn.documents[name] = text
        step = self._node("storage").read_text(client_id=self._client_id, name=name, after=self._after())
        self._add("storage", step)
        return step.text

    def _operand(self) -> tuple[object, Value]:
        """The value of an earlier step, mostly the last one that has got any, or a number."""
        values = self._drawn.values
        if values and self._rng.random() < 0.8:
            index = self._rng.choice(list(values)) if self._rng.random() < self._fan else max(values)
            return self._steps[index].value, values[index]
        number = self._number()
        return number, Value(number)

    def _number(self) -> int:
        """A small one, or one of many bytes."""
        if self._rng.random() < 0.6:
            return self._rng.randrange(-9, 10)
        return self._rng.choice((1, -1)) * self._rng.getrandbits(8 * self._rng.randint(3, 20))

    def _after(self) -> list[Step]:
        if self._rng.random() < 0.6:
            return self._steps[-1:]
        return self._rng.sample(self._steps, min(len(self._steps), self._rng.choice((0, 0, 1, 2))))

    def _node(self, node_type: str) -> Any:
        if node_type == "math" and self._rng.random() < self._pins:
            name = f"math-{self._rng.randrange(self._counts['math'])}"
            self._drawn.pinned.add(name)
            return self._drawn.graph.node(name)
        return getattr(self._drawn.graph, node_type)

    def _add(self, node_type: str, step: Step) -> None:
        self._drawn.types.add(node_type)
        self._steps.append(step)
