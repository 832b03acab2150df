"""The messages that `graph --topology` draws beforehand are those that a run takes."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from protos import fractos_pb2
from Services.datacenter.drawing.picture import picture_of
from Services.datacenter.drawing.sequence import HOME, Message, planned
from Services.fractos.bill import Bill
from Services.fractos.graph import default_catalogue
from Services.fractos.topology import FAST_STAR, TOPOLOGIES
from tests.simulation.graphs import random_graph
from tests.simulation.test_topologies import charged, run


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_run_of_random_graphs_takes_the_messages_that_were_drawn(topology: str) -> None:
    for seed in range(40):
        graph, _ = random_graph(random.Random(seed), math_nodes=4)
        graph.output(random.Random(seed).choice(graph.steps))
        result = run(graph, topology)
        picture = picture_of(fractos_pb2.Graph.FromString(graph.serialized()))
        went = {hop.step: hop.node for hop in result.trail}
        placed = replace(picture, steps=tuple(replace(step, node=went[step.id]) for step in picture.steps))
        messages = [one for one in planned(placed, topology, default_catalogue()).events if isinstance(one, Message)]
        bill = Bill(result)
        for kind, name in (("request", "requests"), ("reply", "replies"), ("completion", "completions")):
            drawn = Counter((_name(one.source), _name(one.target)) for one in messages if one.kind == kind)
            assert dict(drawn) == charged(bill, name), (seed, kind)
        fetches = {(one.source, one.target) for one in messages if one.kind == "memory"}
        assert charged(bill, "fetched_bytes").keys() <= fetches, seed  # zeros have no bytes, and are not fetched
        assert bool(fetches) <= (topology == FAST_STAR)


def _name(place: str) -> str:
    return "application-0" if place == HOME else place
