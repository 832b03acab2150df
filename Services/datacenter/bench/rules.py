"""What a topology must cost: hops, bytes and, from these, time. Derived from the graph alone, to hold a bill against. Pure.

A hop is a message that the run waits for. For a chain of n devices with x bytes between each two: ring n + 1 hops and (n - 1) x
bytes, fast-star 2n and (n - 1) x, star 2n and 2 (n - 1) x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from Services.fractos.topology import RING, STAR

FETCH_LATENCIES = 2  # to ask for Memory, and for its first bytes to come


@dataclass(frozen=True)
class Value:
    """What one step gives to another."""

    source: int  # the index of the step that makes it
    size_bytes: int


@dataclass(frozen=True)
class Stage:
    """One step, as far as the network is concerned. A graph is a sequence of them, each after those it needs."""

    node: str
    values: tuple[Value, ...] = ()


@dataclass(frozen=True)
class Traffic:
    """What goes over the network for one run."""

    hops: int
    value_bytes: int


@dataclass(frozen=True)
class Link:
    """How every link is."""

    latency_ms: float  # one way
    bandwidth_mbit: float  # 10^6 bits per second

    def transfer_ms(self, size_bytes: int) -> float:
        """From the first bit sent to the last one sent."""
        return size_bytes * 8 / (self.bandwidth_mbit * 1e3)


def chain(nodes: Sequence[str], size_bytes: int) -> tuple[Stage, ...]:
    """A step on each node, the same size between each two."""
    return tuple(Stage(node, (Value(index - 1, size_bytes),) if index else ()) for index, node in enumerate(nodes))


def expected(stages: Sequence[Stage], topology: str) -> Traffic:
    """What a run of these steps must cost.

    Star: a Request to each step and an answer of each; every value goes to the centre once, and from there to each step that
    needs it. Fast-star: the same messages, but a value goes straight to the steps that need it, unless it is at their node.
    Ring: a Request to each first step and along each edge between nodes, and an answer of each last step; values as there.
    """
    crossing = [value for stage in stages for value in stage.values if stages[value.source].node != stage.node]
    if topology == RING:
        needed = {value.source for stage in stages for value in stage.values}
        first = sum(not stage.values for stage in stages)
        hops = first + len(crossing) + len(stages) - len(needed)
    else:
        hops = 2 * len(stages)
    if topology == STAR:
        every = [value for stage in stages for value in stage.values]
        made = {value.source: value.size_bytes for value in every}
        return Traffic(hops, sum(made.values()) + sum(value.size_bytes for value in every))
    return Traffic(hops, sum(value.size_bytes for value in crossing))


def network_ms(stages: Sequence[Stage], topology: str, link: Link, inline_limit: int) -> float:
    """How long the network alone keeps a run waiting: along its longest path, with devices and nodes that take no time.

    Values beyond `inline_limit` bytes are Memory, which the receiver asks for; in a fast-star all are.
    """
    arrived: list[float] = []  # when each step is done
    for stage in stages:
        ready = link.latency_ms if not stage.values else 0.0
        for value in stage.values:
            source = stages[value.source]
            ready = max(ready, arrived[value.source] + _step_ms(value, source.node == stage.node, topology, link, inline_limit))
        arrived.append(ready)
    return max(arrived) + link.latency_ms


def _step_ms(value: Value, same_node: bool, topology: str, link: Link, inline_limit: int) -> float:
    """From the end of a step to the start of the next one."""
    moved_ms = link.transfer_ms(value.size_bytes)
    fetch_ms = moved_ms + FETCH_LATENCIES * link.latency_ms
    as_memory = value.size_bytes > inline_limit
    if topology == STAR:
        return 2 * (link.latency_ms + (fetch_ms if as_memory else moved_ms))
    if topology == RING:
        return 0.0 if same_node else link.latency_ms + (fetch_ms if as_memory else moved_ms)
    return 2 * link.latency_ms + (0.0 if same_node else fetch_ms)
