"""Large values in runs over real nodes: they are Memory where they were made, and the next node fetches them there."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest

from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.errors import NotFoundError, ResourceExhaustedError
from tests.nodes import Nodes, nodes, running
from tests.waiting import until

__all__ = ["nodes"]

CLIENT = "admin"
ARRAY = numpy.arange(1 << 17, dtype="float64")  # 1 MiB
INLINE_LIMIT = 64 << 10


@pytest.fixture(scope="module")
def datacenter(nodes: Nodes) -> Iterator[Datacenter]:
    with connect(nodes.root) as connected:
        yield connected


def chain(length: int) -> TaskGraph:
    """An array that hops between two math nodes, doubled at each."""
    graph = TaskGraph("chain")
    value: object = ARRAY
    for number in range(length):
        step = graph.node(f"math-{number % 2}").scale(tensor=value, factor=2.0)
        value = step.tensor
    return graph


def test_an_array_goes_from_node_to_node_as_memory(datacenter: Datacenter) -> None:
    graph = chain(4)
    last = graph.output(graph.steps[-1])
    result = datacenter.run(graph)
    assert numpy.array_equal(result[last].tensor, ARRAY * 16)
    fetched = [hop.fetched_bytes for hop in result.trail]
    assert fetched == [0, ARRAY.nbytes, ARRAY.nbytes, ARRAY.nbytes]
    assert all(hop.response_bytes > ARRAY.nbytes for hop in result.trail)
    with pytest.raises(NotFoundError, match="was left in the datacenter"):
        result[graph.steps[1]]


def test_bytes_and_texts_travel_as_memory(datacenter: Datacenter) -> None:
    text = "zwölf " * 20_000
    graph = TaskGraph("copies")
    written = graph.storage.write_text(client_id=CLIENT, name="long.txt", text=text)
    read = graph.storage.read_text(client_id=CLIENT, name="long.txt", after=written)
    copied = graph.storage.write_text(client_id=CLIENT, name="copy.txt", text=read.text)
    as_bytes = graph.storage.read_bytes(client_id=CLIENT, name="copy.txt", after=copied)
    again = graph.storage.write_bytes(client_id=CLIENT, name="again.txt", data=as_bytes.data)
    back = graph.output(graph.storage.read_text(client_id=CLIENT, name="again.txt", after=again))
    result = datacenter.run(graph)
    assert result[back].text == text
    sizes = {hop.operation: hop.fetched_bytes for hop in result.trail}
    assert sizes["storage.write_bytes"] == len(text.encode())


def test_an_integer_of_many_digits_travels_as_memory(datacenter: Datacenter) -> None:
    graph = TaskGraph("integer")
    large = graph.math.power(base=3, exponent=600_000)
    same = graph.output(graph.node("math-1").power(base=large.value, exponent=1))
    result = datacenter.run(graph)
    assert result[same].value == 3**600_000
    assert result.trail[1].fetched_bytes == math.ceil((3**600_000).bit_length() / 8)


def test_a_large_value_goes_to_several_steps_and_small_ones_stay_inline(datacenter: Datacenter) -> None:
    graph = TaskGraph("fan")
    source = graph.math.scale(tensor=ARRAY, factor=1.0)
    branches = [graph.output(graph.node("math-1").scale(tensor=source.tensor, factor=factor)) for factor in (2.0, 3.0)]
    small = graph.math.scale(tensor=numpy.ones(10), factor=5.0)
    last = graph.node("math-1").scale(tensor=small.tensor, factor=1.0)
    result = datacenter.run(graph)
    for branch, factor in zip(branches, (2.0, 3.0), strict=True):
        assert numpy.array_equal(result[branch].tensor, ARRAY * factor)
    assert result[last].tensor.tolist() == [5.0] * 10
    assert result.trail[-1].fetched_bytes == 0 or result.trail[-1].operation == "math.scale"


def test_a_value_is_made_again_when_its_owner_dies(tmp_path: Path) -> None:
    """math-1 has the value while it waits for a slow step elsewhere; then it is gone."""
    slow = {"storage": "device_latency_ms = 1500"}
    with (
        running(tmp_path, "application-0", "math-0", "math-1", "storage-0", keys=slow) as nodes,
        connect(nodes.root) as datacenter,
    ):
        graph = TaskGraph("lost")
        made = graph.math.scale(tensor=ARRAY, factor=3.0)
        pause = graph.storage.write_text(client_id=CLIENT, name="pause.txt", text="", after=made)
        more = graph.storage.write_text(client_id=CLIENT, name="more.txt", text="", after=pause)
        used = graph.output(graph.math.scale(tensor=made.tensor, factor=2.0, after=more))
        run = datacenter.submit(graph)
        until(lambda: any(tmp_path.rglob("pause.txt")))
        nodes.kill("math-0")
        result = run.result()
        assert numpy.array_equal(result[used].tensor, ARRAY * 6)
        assert max(hop.attempt for hop in result.trail) > 1


def test_a_node_that_is_full_says_so(tmp_path: Path) -> None:
    limit = {"Memory": "limit_mb = 2"}
    with running(tmp_path, "application-0", "math-0", keys=limit) as nodes, connect(nodes.root) as datacenter:
        graph = TaskGraph("too much")
        large = graph.math.scale(tensor=numpy.ones(3 << 17), factor=1.0)
        graph.math.scale(tensor=large.tensor, factor=1.0)
        with pytest.raises(ResourceExhaustedError, match=r"math-0.*limit_mb"):
            datacenter.run(graph)
