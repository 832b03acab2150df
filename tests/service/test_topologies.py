"""Runs as ring, fast-star and star over real nodes: what they answer, and a bill that agrees with what the nodes count."""

from __future__ import annotations

from collections.abc import Iterator

import numpy
import pytest

from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.errors import InvalidArgumentError, NotFoundError
from Services.fractos.result import Result
from Services.fractos.topology import FAST_STAR, RING, STAR, TOPOLOGIES
from tests.nodes import CLIENT, Nodes, nodes
from tests.service.test_traffic import count

__all__ = ["nodes"]

HOME = "application-0"
SIDE = 1 << 18
ARRAY = numpy.arange(SIDE, dtype="float64")  # 2 MiB


@pytest.fixture(scope="module")
def datacenter(nodes: Nodes) -> Iterator[Datacenter]:
    with connect(nodes.root) as connected:
        yield connected


def everything() -> TaskGraph:
    """Arrays, integers and texts, small and large; a fan-out, a join, an order without data, outputs asked for."""
    graph = TaskGraph("everything")
    text = "zwölf " * 20_000
    written = graph.storage.write_text(client_id=CLIENT, name="long.txt", text=text)
    read = graph.storage.read_text(client_id=CLIENT, name="long.txt", after=written)
    graph.storage.write_text(client_id=CLIENT, name="copy.txt", text=read.text)
    array = graph.node("math-0").scale(tensor=ARRAY, factor=2.0)
    graph.output(graph.node("math-1").scale(tensor=array.tensor, factor=2.0))
    small = graph.node("math-0").power(base=3, exponent=50)
    large = graph.node("math-1").shift_left(value=small.value, bits=250_000)
    graph.output(graph.math.binomial_expansion(a=small.value, b=large.value, n=1))
    zero = graph.math.shift_left(value=0, bits=1)
    graph.node("math-1").shift_left(value=zero.value, bits=3)
    return graph


def outputs(result: Result, graph: TaskGraph) -> dict[int, list[object]]:
    """All outputs that came home."""
    found = {}
    for number, step in enumerate(graph.steps):
        try:
            view = result[step]
        except NotFoundError:
            continue
        values = [getattr(view, name) for name in dir(view)]
        found[number] = [value.tolist() if isinstance(value, numpy.ndarray) else value for value in values]
    return found


def test_every_topology_answers_the_same(datacenter: Datacenter) -> None:
    graph = everything()
    ring, fast_star, star = (outputs(datacenter.run(graph, topology=name), graph) for name in TOPOLOGIES)
    assert ring.keys() >= {4, 5, 7, 8, 9}
    assert ring == fast_star == star


def pipeline() -> TaskGraph:
    graph = TaskGraph("pipeline")
    value: object = ARRAY
    for node in ("math-0", "math-1", "math-0"):
        value = graph.node(node).scale(tensor=value, factor=2.0).tensor
    return graph


@pytest.mark.parametrize(("topology", "hops", "times"), [(RING, 4, 1), (FAST_STAR, 6, 1), (STAR, 6, 2)], ids=TOPOLOGIES)
def test_the_bill_of_three_devices_is_what_the_nodes_have_counted(
    nodes: Nodes, datacenter: Datacenter, topology: str, hops: int, times: int
) -> None:
    graph = pipeline()
    datacenter.run(graph, topology=topology)  # channels are open now
    before = count(nodes)
    bill = datacenter.run(graph, topology=topology).bill
    after = count(nodes)
    assert (bill.total.hops, bill.total.value_bytes) == (hops, times * 2 * ARRAY.nbytes)
    assert bill.attempts == 1
    moved = {
        link: grown
        for link, now in after.items()
        if (grown := now.memory_mapped - (before[link].memory_mapped if link in before else 0))
    }
    assert moved == {link: charge.fetched_bytes for link, charge in bill.items() if charge.fetched_bytes}


def test_small_values_of_a_fast_star_stay_where_they_were_made(datacenter: Datacenter) -> None:
    graph = TaskGraph("small")
    first = graph.node("math-0").shift_left(value=1, bits=80)
    last = graph.node("math-1").shift_left(value=first.value, bits=80)
    result = datacenter.run(graph, topology=FAST_STAR)
    assert (result[first].value, result[last].value) == (1 << 80, 1 << 160)
    assert result.bill["math-0", "math-1"].fetched_bytes == 11
    assert result.bill.total.argument_bytes == 0
    assert result.bill["math-0", HOME].replies == 1


def test_a_bill_is_a_table(datacenter: Datacenter) -> None:
    graph = TaskGraph("table")
    first = graph.node("math-0").shift_left(value=1, bits=80)
    graph.node("math-1").shift_left(value=first.value, bits=80)
    header, *links, total = str(datacenter.run(graph).bill).splitlines()
    assert header.split()[:4] == ["link", "hops", "requests", "replies"]
    assert [line.split("  ")[0] for line in links] == [
        "application-0 -> math-0",
        "application-0 -> math-1",
        "math-0 -> application-0",
        "math-0 -> math-1",
        "math-1 -> application-0",
        "math-1 -> math-0",
    ]
    assert total.split()[:5] == ["total", "3", "2", "0", "1"]


def test_an_unknown_topology_is_refused(datacenter: Datacenter) -> None:
    with pytest.raises(InvalidArgumentError, match="no topology 'mesh'; there is ring, fast-star, star"):
        datacenter.submit(pipeline(), topology="mesh")
