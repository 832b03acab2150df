"""A task graph as it is drawn: what the boxes and arrows say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from protos import fractos_pb2
from Services.datacenter.drawing.text import shorten
from Services.fractos.graph import default_catalogue
from Services.fractos.operations import Catalogue, Operation
from Services.fractos.values import from_big_integer

Mark: TypeAlias = Literal["", "critical", "bad", "open"]  # decided when the run ended; failed; not done
LONGEST_VALUE = 28  # characters; longer values are cut
DIFFERS = "…"  # in place of a value that is not the same in all graphs that are drawn together
SHORT_BITS = 80  # integers of more are told by their size


@dataclass(frozen=True)
class DrawnStep:
    """A box."""

    id: int
    operation: str  # "storage.read_image"
    node: str = ""  # the node that it is pinned to
    arguments: tuple[tuple[str, str], ...] = ()  # the constant ones, by name, short
    output: bool = False  # its whole response goes to the program
    ran_on: str = ""  # the node that did it, if it was done
    facts: tuple[str, ...] = ()  # lines on what happened to it
    mark: Mark = ""

    @property
    def node_type(self) -> str:
        """The type of node that it runs on."""
        return self.operation.partition(".")[0]

    @property
    def name(self) -> str:
        """The operation without its type: "read_image"."""
        return self.operation.partition(".")[2] or self.operation

    @property
    def place(self) -> str:
        """Where it runs: the node, or the type of node."""
        return self.node or self.node_type


@dataclass(frozen=True)
class DrawnEdge:
    """An arrow: which outputs of one step are which arguments of another. Without any it only orders the two."""

    source: int
    target: int
    fields: tuple[tuple[str, str], ...] = ()
    facts: tuple[str, ...] = ()  # lines on what happened on the way, instead of the fields
    mark: Mark = ""

    @property
    def is_order_only(self) -> bool:
        """Whether nothing is handed over."""
        return not self.fields

    @property
    def labels(self) -> tuple[str, ...]:
        """What happened, or a line for each field: its name, or both names where they differ."""
        return self.facts or tuple(one if one == other else f"{one} → {other}" for one, other in self.fields)


@dataclass(frozen=True)
class Picture:
    """A graph. Steps are in ascending order of id, and edges lead to higher ones."""

    name: str
    steps: tuple[DrawnStep, ...]
    edges: tuple[DrawnEdge, ...]

    @property
    def summary(self) -> str:
        """The graph in a sentence, for those who do not see it."""
        steps = ", ".join(f"{step.id} {step.operation}{f' on {step.node}' if step.node else ''}" for step in self.steps[:40])
        arrows = ", ".join(f"{edge.source} to {edge.target}" for edge in self.edges[:60])
        more = " and more" if len(self.steps) > 40 or len(self.edges) > 60 else ""
        return f"Steps: {steps}. Edges: {arrows or 'none'}{more}."


def picture_of(graph: fractos_pb2.Graph, catalogue: Catalogue | None = None, *, values: bool = True) -> Picture:
    """What to draw of a graph that was checked. Without `values` its constant arguments were taken out and are not shown."""
    catalogue = catalogue or default_catalogue()
    bound: dict[int, set[str]] = {}
    edges = []
    for step in graph.steps:
        for edge in step.edges:
            edges.append(DrawnEdge(step.id, edge.to, tuple((one.source, one.target) for one in edge.bindings)))
            bound.setdefault(edge.to, set()).update(one.target for one in edge.bindings)
    steps = tuple(
        DrawnStep(
            step.id,
            step.operation,
            step.node,
            tuple(_arguments(step, catalogue.get(step.operation), bound.get(step.id, set()))) if values else (),
            step.output,
        )
        for step in graph.steps
    )
    return Picture(graph.name, steps, tuple(edges))


def together(pictures: Sequence[Picture]) -> Picture:
    """One picture of graphs that differ in nothing but constant arguments: those that differ are shown as "…"."""
    if len(pictures) == 1:
        return pictures[0]
    steps = [
        replace(same[0], arguments=_common([dict(step.arguments) for step in same]))
        for same in zip(*(picture.steps for picture in pictures), strict=True)
    ]
    return replace(pictures[0], name=f"{pictures[0].name} ({len(pictures)} times)", steps=tuple(steps))


def _common(arguments: Sequence[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    first, *others = arguments
    names = dict.fromkeys(name for given in arguments for name in given)
    return tuple(
        (name, first[name] if all(given.get(name) == first.get(name) for given in others) else DIFFERS) for name in names
    )


def _arguments(step: fractos_pb2.Step, operation: Operation | None, bound: set[str]) -> Iterable[tuple[str, str]]:
    if operation is None:
        return
    request = operation.request_class.FromString(step.arguments)
    beside = {argument.name: argument.memory for argument in step.memories}
    given = {field.name for field, _ in request.ListFields()}
    for name, field in operation.arguments().items():
        if name in beside:
            yield name, f"{beside[name].size:,} bytes of Memory"
        elif name in given or (name in operation.required() and name not in bound):  # a zero looks absent
            yield name, shorten(_shown(getattr(request, name), field), LONGEST_VALUE)


def _shown(value: Any, field: FieldDescriptor) -> str:
    if field.is_repeated:
        return f"{len(value)} values"
    if isinstance(value, fractos_pb2.BigInteger):
        return f"{value.memory.size:,} bytes of Memory" if value.HasField("memory") else _integer(value)
    if isinstance(value, fractos_pb2.Tensor):
        return f"{value.dtype} {'×'.join(map(str, value.shape)) or 'scalar'}{' in Memory' if value.HasField('memory') else ''}"
    if isinstance(value, Message):
        return value.DESCRIPTOR.name
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _integer(message: fractos_pb2.BigInteger) -> str:
    value = from_big_integer(message)
    return str(value) if value.bit_length() <= SHORT_BITS else f"{value.bit_length():,} bits"
