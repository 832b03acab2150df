"""Rings of steps in two datacenters that run at the same time, measured in turn. Used by `checking.py` and `tracing.py`."""

from __future__ import annotations

from functools import partial

from ring import in_rounds, median_ms, throughput

from Services.datacenter.bench.graphs import ring
from Services.fractos import Datacenter

LENGTHS = (1, 8)
RING_RUNS = 60
RUNS = 1500


def measure(datacenters: dict[str, Datacenter], rounds: int) -> dict[str, dict[str, float]]:
    """Return median, lowest and highest of the rounds for each figure of the two, by their names.

    A ratio is that of one round of each, one after the other.
    """
    (first, _), (second, _) = datacenters.items()
    graphs = {length: ring(length) for length in (*LENGTHS, 3)}

    def take() -> dict[str, float]:
        found: dict[str, float] = {}
        for length in LENGTHS:
            took = {name: median_ms(partial(one.run, graphs[length]), RING_RUNS) / length for name, one in datacenters.items()}
            found |= {f"ring of {length}, ms per step, {name}": value for name, value in took.items()}
            found[f"ring of {length}, {first} / {second}"] = took[first] / took[second]
        rates = {name: throughput(one, graphs[3], RUNS) for name, one in datacenters.items()}
        found |= {f"three-step runs/s, {name}": value for name, value in rates.items()}
        found[f"three-step runs/s, {second} / {first}"] = rates[second] / rates[first]
        return found

    return in_rounds(take, rounds)
