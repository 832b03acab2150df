"""What an application node makes of a graph, and what it refuses although a client sent it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protos import fractos_pb2
from Services.fractos.errors import GraphError, ResourceExhaustedError
from Services.fractos.graph import TaskGraph, default_catalogue
from Services.fractos.plan import MAX_MESSAGE_BYTES, MAX_VALUE_BYTES, Plan, continuation, digest_of, make_plan
from Services.fractos.plans import GRAPH_BYTES, Plans, is_shared
from Services.fractos.topology import FAST_STAR, RING, STAR, TOPOLOGIES


def plan(graph: TaskGraph) -> Plan:
    return make_plan(graph.serialized(), default_catalogue())


def diamond() -> TaskGraph:
    graph = TaskGraph("diamond")
    top = graph.math.factorial(n=3)
    left = graph.math.shift_left(value=top.value, bits=1)
    right = graph.node("math-1").shift_left(value=top.value, bits=2)
    graph.math.binomial(n=left.value, k=right.value)
    graph.storage.write_integer(client_id="a", name="b", value=left.value)
    graph.output(right)
    return graph


def test_a_plan_knows_openings_joins_and_ends() -> None:
    made = plan(diamond())
    assert [fractos_pb2.Request.FromString(opening).steps[0].id for opening in made.openings] == [0]
    assert [step.id for step in made.placed] == [3]
    assert made.unrepeatable == frozenset()
    assert made.ends == {2, 3, 4}
    assert made.steps_by_type == {"math": 4, "storage": 1}
    assert made.pinned == {"math-1"}
    assert made.unpinned_types == {"math", "storage"}
    assert [step.needs for step in made.steps.values()] == [0, 1, 1, 2, 1]


def test_a_digest_tells_graphs_and_topologies_apart() -> None:
    digests = {
        digest_of(graph, topology) for graph in (b"", b"a", b"b", b"a" * 50_000) for topology in (*TOPOLOGIES, "unknown")
    }
    assert len(digests) == 16
    assert {len(digest) for digest in digests} == {16}
    assert digest_of(diamond().serialized(), RING) == plan(diamond()).digest


@pytest.mark.parametrize(
    ("topology", "digest"),
    [
        (RING, "24dbacbdf1444d331b8be07aa73e70ee"),
        (STAR, "d0ffe448e586660e4cd8dfd4cb7df9dd"),
        (FAST_STAR, "25ed2a5bec16821c830309d9c82eb2d1"),
    ],
)
def test_digests_are_those_that_journals_hold(topology: str, digest: str) -> None:
    assert digest_of(b"a graph", topology).hex() == digest


@pytest.mark.parametrize("topology", [RING, STAR, FAST_STAR])
@pytest.mark.parametrize(("text_bytes", "shared"), [(100, True), (GRAPH_BYTES - 1000, True), (GRAPH_BYTES, False)])
def test_the_same_graph_is_checked_once_unless_it_is_large(topology: str, text_bytes: int, shared: bool) -> None:
    graph = TaskGraph("write")
    first_step = graph.math.factorial(n=3)  # in a star it alone opens a run, so that the plan is hardly larger than the graph
    graph.storage.write_text(client_id="a", name="b", text="x" * text_bytes, after=first_step)
    plans = Plans(default_catalogue())
    first, second = (plans.of(graph.serialized(), topology) for _ in range(2))
    assert (first is second, is_shared(first)) == (shared, shared)
    assert first.digest == second.digest


def test_a_continuation_is_what_depends_on_a_step() -> None:
    steps = plan(diamond()).steps.values()
    assert [step.id for step in continuation(steps, 0)] == [0, 1, 2, 3, 4]
    assert [step.id for step in continuation(steps, 1)] == [1, 3, 4]
    assert [step.id for step in continuation(steps, 2)] == [2, 3]
    assert [step.id for step in continuation(steps, 4)] == [4]


def forged(change: Callable[[fractos_pb2.Graph], object]) -> bytes:
    graph = fractos_pb2.Graph.FromString(diamond().serialized())
    change(graph)
    return graph.SerializeToString()


FORGERIES: list[tuple[Callable[[fractos_pb2.Graph], object], str]] = [
    (lambda g: g.ClearField("steps"), "has 0 steps"),
    (lambda g: setattr(g, "name", "n" * 201), "has 201 characters; the limit is 200"),
    (lambda g: setattr(g.steps[1], "node", "math-" + "1" * 196), "has 201 characters"),
    (lambda g: g.steps.extend([g.steps[4]] * 1000), "1005 steps"),
    (lambda g: setattr(g.steps[1], "id", 7), "ids must ascend"),
    (lambda g: setattr(g.steps[1], "operation", "math.sqrt"), "no operation 'math.sqrt'"),
    (lambda g: setattr(g.steps[1], "node", "storage-0"), "cannot run on node 'storage-0'"),
    (lambda g: setattr(g.steps[1].edges[0], "to", 0), "edge to 0"),
    (lambda g: setattr(g.steps[1].edges[0], "to", 99), "edge to 99"),
    (lambda g: g.steps[0].edges.add(to=1), "two edges to the same step"),
    (lambda g: setattr(g.steps[0].edges[0].bindings[0], "source", "label"), "no output 'label'"),
    (lambda g: setattr(g.steps[0].edges[0].bindings[0], "target", "image"), "no argument 'image'"),
    (lambda g: setattr(g.steps[1].edges[1].bindings[0], "target", "name"), "takes string"),
    (lambda g: setattr(g.steps[2].edges[0].bindings[0], "target", "n"), "the same argument twice"),
    (lambda g: setattr(g.steps[0], "arguments", b"\xff\xff"), "not a serialized FactorialRequest"),
    (lambda g: setattr(g.steps[0], "arguments", b""), "lacks n"),
    (lambda g: g.steps[1].ClearField("edges"), "lacks"),
]


@pytest.mark.parametrize(("change", "says"), FORGERIES, ids=[says for _, says in FORGERIES])
def test_forged_graphs_are_refused(change: Callable[[fractos_pb2.Graph], object], says: str) -> None:
    with pytest.raises(GraphError) as caught:
        make_plan(forged(change), default_catalogue())
    assert says in caught.value.message


def test_what_is_no_graph_or_too_large_is_refused() -> None:
    with pytest.raises(GraphError, match="not a serialized"):
        make_plan(b"\xff" * 10, default_catalogue())
    with pytest.raises(ResourceExhaustedError, match=str(MAX_VALUE_BYTES)):
        make_plan(bytes(MAX_MESSAGE_BYTES + 1), default_catalogue())


def test_an_outline_keeps_nothing_that_a_client_hides_in_a_graph() -> None:
    unknown = b"\xfa\x7f\x06secret"  # a field of bytes with a number that no message has

    def hide(graph: fractos_pb2.Graph) -> None:
        edge = graph.steps[0].edges[0]
        for message in (graph, graph.steps[0], edge, edge.bindings[0]):
            message.MergeFromString(unknown)

    serialized = forged(hide)
    outline = make_plan(serialized, default_catalogue()).outline
    assert (serialized.count(b"secret"), outline.count(b"secret")) == (4, 0)
    assert fractos_pb2.Graph.FromString(outline).steps[0].edges == plan(diamond()).steps[0].edges
