"""Building task graphs: what is right is kept, what is wrong is refused at once with the near misses named."""

from __future__ import annotations

from collections.abc import Callable

import numpy
import pytest

from protos import cnn_pb2, fractos_pb2, math_pb2, storage_pb2
from Services.fractos.errors import GraphError
from Services.fractos.graph import MAX_STEPS, TaskGraph
from Services.fractos.values import from_big_integer


def message(graph: TaskGraph) -> fractos_pb2.Graph:
    return fractos_pb2.Graph.FromString(graph.serialized())


def test_a_chain_binds_outputs_to_arguments() -> None:
    graph = TaskGraph("image prediction")
    picture = graph.storage.read_image(client_id="admin", name="cat.jpg", width=128, height=64)
    answer = graph.cnn.predict(image=picture.image)
    graph.storage.write_text(client_id="admin", name="cat_class.txt", text=answer.label)
    read, predict, write = message(graph).steps
    assert [step.operation for step in (read, predict, write)] == ["storage.read_image", "cnn.predict", "storage.write_text"]
    request = storage_pb2.ReadImageRequest.FromString(read.arguments)
    assert (request.client_id, request.name, request.width, request.height) == ("admin", "cat.jpg", 128, 64)
    assert [(edge.to, edge.bindings[0].source, edge.bindings[0].target) for edge in read.edges] == [(1, "image", "image")]
    assert [(edge.to, edge.bindings[0].source, edge.bindings[0].target) for edge in predict.edges] == [(2, "label", "text")]
    assert not write.edges


def test_after_orders_without_data_and_joins_bindings_of_the_same_step() -> None:
    graph = TaskGraph("order")
    one = graph.math.factorial(n=3)
    two = graph.math.factorial(n=4, after=one)
    graph.math.binomial(n=one.value, k=one.value, after=[one, two])
    first, second, _ = message(graph).steps
    assert [(edge.to, len(edge.bindings)) for edge in first.edges] == [(1, 0), (2, 2)]
    assert [(edge.to, len(edge.bindings)) for edge in second.edges] == [(2, 0)]


def test_pins_outputs_and_values_of_every_kind() -> None:
    graph = TaskGraph("kinds")
    pinned = graph.node("math-12").shift_left(value=-(10**30), bits=0)
    image = numpy.arange(24, dtype=numpy.uint8).reshape(2, 4, 3)
    graph.cnn.predict(image=image, model="other")
    graph.storage.write_bytes(client_id="a", name="b", data=b"\x00\xff")
    assert graph.output(pinned) is pinned
    shift, predict, write = message(graph).steps
    assert (shift.node, shift.output) == ("math-12", True)
    assert from_big_integer(math_pb2.ShiftLeftRequest.FromString(shift.arguments).value) == -(10**30)
    request = cnn_pb2.PredictRequest.FromString(predict.arguments)
    assert (request.image.dtype, tuple(request.image.shape), request.image.data) == ("uint8", (2, 4, 3), image.tobytes())
    assert request.model == "other"
    assert storage_pb2.WriteBytesRequest.FromString(write.arguments).data == b"\x00\xff"


WRONG: list[tuple[Callable[[TaskGraph], object], str]] = [
    (lambda g: g.strage, "did you mean storage"),
    (lambda g: g.application, "no node type 'application'"),
    (lambda g: g.storage.read_imge, "did you mean read_image"),
    (lambda g: g.math.factorial(m=3), "no argument 'm'"),
    (lambda g: g.math.factorial(), "lacks n"),
    (lambda g: g.math.binomial(5, 2), r"name the arguments of math.binomial: n=..., k=..."),
    (lambda g: g.storage.read_image(client_id="a", name="b"), "lacks width, height"),
    (lambda g: g.math.factorial(n="3"), "takes an integer: got str"),
    (
        lambda g: g.math.scale(tensor=numpy.ones(1), factor=10**400),
        "math.scale(factor=an integer of 1329 bits): takes double: int too large",
    ),
    (lambda g: g.math.scale(tensor=[1.0], factor=1), "takes an array: got list"),
    (lambda g: g.math.factorial(n=True), "got bool"),
    (lambda g: g.math.factorial(n=3.0), "got float"),
    (lambda g: g.storage.read_text(client_id=b"a", name="b"), "got bytes"),
    (lambda g: g.storage.write_bytes(client_id="a", name="b", data="text"), "got str"),
    (lambda g: g.storage.read_image(client_id="a", name="b", width=-1, height=1), "width=-1"),
    (lambda g: g.storage.read_image(client_id="a", name="b", width=2**40, height=1), "width=1099511627776"),
    (lambda g: g.storage.read_image(client_id="a", name="b", width=True, height=1), "got bool"),
    (lambda g: g.cnn.predict(image=numpy.array(["x"])), "cannot travel"),
    (lambda g: g.cnn.predict(image=[[1, 2, 3]]), "got list"),
    (lambda g: g.cnn.predict(image=g.math.factorial(n=3).value), "takes an array, but math.factorial's value is an integer"),
    (lambda g: g.math.factorial(n=g.math.factorial(n=3)), "name one of its outputs: value"),
    (lambda g: g.math.factorial(n=g.storage.write_text(client_id="a", name="b", text="c")), "after=step"),
    (lambda g: g.math.factorial(n=3).valve, "did you mean value"),
    (lambda g: g.math.factorial(n=TaskGraph("other").math.factorial(n=1).value), "belongs to graph 'other'"),
    (lambda g: g.math.factorial(n=3, after=[TaskGraph("other").math.factorial(n=1)]), "belongs to graph 'other'"),
    (lambda g: g.math.factorial(n=3, after=["x"]), "is not a step"),  # type: ignore[list-item]
    (lambda g: g.output("x"), "is not a step"),  # type: ignore[arg-type]
    (lambda g: g.node("math1"), "not the name of a node"),
    (lambda g: g.node("mth-1"), "did you mean math"),
    (lambda g: g.node("math-01"), "not the name of a node"),
    (lambda g: g.node("math-" + "1" * 196), "has 201 characters; the limit is 200"),
    (lambda g: TaskGraph("n" * 201), "has 201 characters; the limit is 200"),
    (lambda g: g.serialized(), "has no steps"),
]


@pytest.mark.parametrize(("build", "says"), WRONG, ids=[says for _, says in WRONG])
def test_mistakes_are_refused_where_they_are_made(build: Callable[[TaskGraph], object], says: str) -> None:
    with pytest.raises(GraphError) as caught:
        build(TaskGraph("wrong"))
    assert says in caught.value.message
    assert caught.value.status == "INVALID_ARGUMENT"


def test_a_refused_step_leaves_the_graph_as_it_was() -> None:
    graph = TaskGraph("kept")
    one = graph.math.factorial(n=3)
    before = graph.serialized()
    with pytest.raises(GraphError):
        graph.math.binomial(n=one.value, k="x")
    assert graph.serialized() == before
    assert len(graph.steps) == 1


def test_graphs_have_a_limit() -> None:
    graph = TaskGraph("long")
    for _ in range(MAX_STEPS):
        graph.math.factorial(n=1)
    with pytest.raises(GraphError, match=f"{MAX_STEPS} steps"):
        graph.math.factorial(n=1)
