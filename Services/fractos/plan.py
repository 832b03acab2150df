"""What an application node makes of a submitted graph: checked, its joins counted, its first Requests found. Pure.

A client is not trusted: all that `graph.py` refuses while a graph is built is refused here once more, from the bytes.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from google.protobuf.message import DecodeError

from protos import fractos_pb2
from Services.fractos.directory.interface import Member
from Services.fractos.errors import GraphError, InvalidArgumentError, ResourceExhaustedError
from Services.fractos.graph import MAX_STEPS, check_binding, check_length, check_names
from Services.fractos.operations import Catalogue, Operation
from Services.fractos.topology import RING, rewrite

MAX_TIMEOUT_S = 3600.0
MAX_VALUE_BYTES = 64 << 20  # the largest value that travels
MAX_COPIES_BYTES = 256 << 20
MAX_MESSAGE_BYTES = MAX_VALUE_BYTES + (64 << 10)  # such a value and the message or graph around it


@dataclass(frozen=True)
class Plan:
    """A graph that can be run. Shared by all runs of the same graph, so nobody may change its messages."""

    name: str
    digest: bytes  # of the serialized graph and its topology
    topology: str
    steps: Mapping[int, fractos_pb2.Step]
    needs: Mapping[int, int]  # by step: how many others deliver to it
    openings: tuple[bytes, ...]  # a serialized Request for each step that waits for nothing; the run's own fields are missing
    placed: tuple[fractos_pb2.Step, ...]  # steps that get their node at submission: all branches have to meet there, or it may
    # not be done again elsewhere
    unrepeatable: frozenset[int]  # steps that may not be done twice
    ends: frozenset[int]  # steps that send a Completion: the last ones, and those whose output was asked for
    steps_by_type: Counter[str]
    pinned: frozenset[str]  # nodes that steps name
    unpinned_types: frozenset[str]  # types of the steps that may run on any node
    one_per_place: tuple[fractos_pb2.Step, ...]  # one step for each node or type that the graph needs
    step_count: int
    graph_bytes: int  # of the serialized graph
    size_bytes: int  # of all that a run of it holds
    is_chain: bool  # no step has more than one edge, so a run is in one place at a time
    outline: bytes  # the graph, serialized without arguments and capabilities: what may be shown of it and kept

    def may_visit(self, member: Member) -> bool:
        """Whether some step may go to a node."""
        return member.node_type in self.unpinned_types or member.name in self.pinned

    def without_steps(self) -> Plan:
        """What remains to be known of a graph whose run has ended."""
        return replace(self, steps={}, needs={}, openings=(), placed=(), one_per_place=())


def check_size(serialized: bytes) -> None:
    """Raise ResourceExhaustedError if a serialized graph is too large to travel."""
    if len(serialized) > MAX_MESSAGE_BYTES:
        raise ResourceExhaustedError(f"the graph has {len(serialized)} bytes; the limit is {MAX_VALUE_BYTES} (64 MiB)")


def digest_of(serialized: bytes, topology: str) -> bytes:
    """What tells one graph from another, or from the same one that travels otherwise.

    Journals keep it: another one here, and a run that has ended is not known again when it is submitted anew.
    """
    person = b"" if topology == RING else topology.encode()[:16]  # older journals know rings only
    return hashlib.blake2b(serialized, digest_size=16, person=person).digest()


def check_timeout(timeout_s: float) -> None:
    """Raise InvalidArgumentError unless a run may take that long."""
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise InvalidArgumentError(
            f"timeout_s is {timeout_s:g}; it must be more than 0 and at most {MAX_TIMEOUT_S:g}", field="timeout_s"
        )


def node_type(step: fractos_pb2.Step) -> str:
    """The type of node that a step runs on."""
    return step.operation.partition(".")[0]


def continuation(steps: Iterable[fractos_pb2.Step], first: int) -> list[fractos_pb2.Step]:
    """Return the step `first` and every step that depends on it, in ascending order of id.

    One pass is enough, since edges lead to higher ids only.
    """
    reached = {first}
    kept = []
    for step in steps:
        if step.id in reached:
            kept.append(step)
            reached.update(edge.to for edge in step.edges)
    return kept


def make_plan(serialized: bytes, catalogue: Catalogue, topology: str = RING) -> Plan:
    """Check a serialized graph, and have it travel in one of the TOPOLOGIES.

    Raises GraphError saying what is wrong, ResourceExhaustedError if it is too large.
    """
    check_size(serialized)
    try:
        graph = fractos_pb2.Graph.FromString(serialized)
    except DecodeError as error:
        raise GraphError(f"not a serialized mockdc.fractos.v1.Graph: {error}") from error
    check_length(graph.name)
    if not 0 < len(graph.steps) <= MAX_STEPS:
        raise GraphError(f"graph {graph.name!r} has {len(graph.steps)} steps; it needs 1 to {MAX_STEPS}")
    operations = _check(graph.steps, catalogue)
    outline = _outline(graph)
    needs = Counter(edge.to for step in graph.steps for edge in step.edges)
    for step in graph.steps:
        step.needs = needs[step.id]
        step.ClearField("process")  # these two are not the client's to choose
        step.ClearField("epoch")
    rewrite(graph.steps, topology)
    if topology == RING:
        _check_copies(graph.steps)
    unrepeatable = frozenset(step.id for step in graph.steps if not operations[step.id].repeatable)
    openings = tuple(_opening(graph.steps, step, topology) for step in graph.steps if not needs[step.id])
    return Plan(
        name=graph.name,
        digest=digest_of(serialized, topology),
        topology=topology,
        steps={step.id: step for step in graph.steps},
        needs=needs,
        openings=openings,
        placed=tuple(step for step in graph.steps if step.needs > 1 or step.id in unrepeatable),
        unrepeatable=unrepeatable,
        ends=frozenset(step.id for step in graph.steps if step.output or not step.edges),
        steps_by_type=Counter(node_type(step) for step in graph.steps),
        pinned=frozenset(step.node for step in graph.steps if step.node),
        unpinned_types=frozenset(node_type(step) for step in graph.steps if not step.node),
        one_per_place=tuple({step.node or node_type(step): step for step in graph.steps}.values()),
        step_count=len(graph.steps),
        graph_bytes=len(serialized),
        size_bytes=len(serialized) + sum(map(len, openings)),
        is_chain=len(openings) == 1 and all(len(step.edges) <= 1 for step in graph.steps),
        outline=outline,
    )


def _outline(graph: fractos_pb2.Graph) -> bytes:
    """The graph field by field: what else a client has put into its messages is not kept."""
    shown = [fractos_pb2.Step(id=step.id, operation=step.operation, node=step.node, output=step.output) for step in graph.steps]
    for step, whole in zip(shown, graph.steps, strict=True):
        for edge in whole.edges:
            bindings = [fractos_pb2.Binding(source=binding.source, target=binding.target) for binding in edge.bindings]
            step.edges.add(to=edge.to, bindings=bindings)
    return fractos_pb2.Graph(name=graph.name, steps=shown).SerializeToString()


def _check_copies(steps: Sequence[fractos_pb2.Step]) -> None:
    """Refuse graphs whose branches would carry too much: each takes along a copy of all that depends on it.

    Raises ResourceExhaustedError.
    """
    heads = [step.id for step in steps if step.needs == 0]
    heads += [edge.to for step in steps if len(step.edges) > 1 for edge in step.edges]
    sizes = {step.id: step.ByteSize() for step in steps}
    if len(heads) * sum(sizes.values()) <= MAX_COPIES_BYTES:
        return
    copied = 0
    for head in heads:
        copied += sum(sizes[step.id] for step in continuation(steps, head))
        if copied > MAX_COPIES_BYTES:
            raise ResourceExhaustedError(
                f"the branches of the graph would carry over {MAX_COPIES_BYTES} bytes (256 MiB) of arguments between them;"
                " put large values into storage and read them where they are needed"
            )


def _opening(steps: Iterable[fractos_pb2.Step], first: fractos_pb2.Step, topology: str) -> bytes:
    travelling = continuation(steps, first.id) if topology == RING else [first]
    return fractos_pb2.Request(steps=travelling, sender=first.id).SerializeToString()


def _check(steps: Sequence[fractos_pb2.Step], catalogue: Catalogue) -> dict[int, Operation]:
    """Return the operation of each step. Raises GraphError."""
    operations: dict[int, Operation] = {}
    previous = -1
    for step in steps:
        if step.id <= previous:
            raise GraphError(f"step {step.id} follows step {previous}; ids must ascend")
        previous = step.id
        operation = catalogue.get(step.operation)
        if operation is None:
            raise GraphError(f"step {step.id}: there is no operation {step.operation!r}", field="operation")
        if step.node and step.node.rpartition("-")[0] != operation.node_type:
            raise GraphError(f"step {step.id}: {step.operation} cannot run on node {step.node!r}", field="node")
        check_length(step.node)
        operations[step.id] = operation
    bound: dict[int, list[str]] = {step.id: [] for step in steps}
    for step in steps:
        _check_edges(step, operations, bound)
    for step in steps:
        _check_arguments(step, operations[step.id], bound[step.id])
    return operations


def _check_edges(step: fractos_pb2.Step, operations: dict[int, Operation], bound: dict[int, list[str]]) -> None:
    """Check where a step delivers, and note in `bound` which arguments of which step it fills."""
    source = operations[step.id]
    targets = [edge.to for edge in step.edges]
    if len(set(targets)) < len(targets):
        raise GraphError(f"step {step.id} has two edges to the same step")
    for edge in step.edges:
        target = operations.get(edge.to)
        if target is None or edge.to <= step.id:
            raise GraphError(f"step {step.id} has an edge to {edge.to}, which is not a later step of the graph")
        for binding in edge.bindings:
            output = source.outputs().get(binding.source)
            if output is None:
                raise GraphError(f"{source.path} has no output {binding.source!r}", field=binding.target)
            check_names(target, [*target.required(), binding.target])
            check_binding(source, output, target, target.arguments()[binding.target])
            bound[edge.to].append(binding.target)


def _check_arguments(step: fractos_pb2.Step, operation: Operation, bound: list[str]) -> None:
    for argument in step.memories:
        if argument.name not in operation.plain_arguments:
            raise GraphError(f"{operation.path} has no argument {argument.name!r} of bytes or text", field=argument.name)
    bound = [*bound, *(argument.name for argument in step.memories)]
    try:
        request = operation.request_class.FromString(step.arguments)
    except DecodeError as error:
        raise GraphError(f"step {step.id}: not a serialized {operation.request_class.__name__}: {error}") from error
    if len(set(bound)) < len(bound):
        raise GraphError(f"step {step.id} gets the same argument twice: {sorted(bound)}")
    # A zero cannot be told from an absent scalar on the wire, so only missing messages can be found here.
    absent = [
        field.name
        for field in operation.request_class.DESCRIPTOR.fields
        if field.has_presence and field.name in operation.required() and not request.HasField(field.name)
    ]
    fields = operation.request_class.DESCRIPTOR.fields_by_name
    twice = [name for name in bound if (request.HasField(name) if fields[name].has_presence else getattr(request, name))]
    if twice:
        raise GraphError(f"step {step.id} gets {twice[0]} both as a value and from another step", field=twice[0])
    missing = [name for name in absent if name not in bound]
    if missing:
        raise GraphError(f"step {step.id}: {operation.path} lacks {', '.join(missing)}", field=missing[0])
