"""The task graphs that are measured, and how long they take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from Services.fractos import Datacenter, TaskGraph

MATH_NODES = 3


def ring(length: int, nodes: Sequence[str] = ("math-0", "math-1", "math-2")) -> TaskGraph:
    """A chain of operations that take no time to speak of, pinned to the nodes in turn."""
    graph = TaskGraph(f"ring of {length}")
    value: object = 1
    for index in range(length):
        value = graph.node(nodes[index % len(nodes)]).shift_left(value=value, bits=1).value
    return graph


def durations_ms(call: Callable[[], object], times: int) -> list[float]:
    """How long each of so many calls takes, in milliseconds."""
    durations = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        durations.append((time.perf_counter() - began) * 1e3)
    return durations


def rate(datacenter: Datacenter, graph: TaskGraph, in_flight: int, seconds: float) -> float:
    """Runs per second with so many in flight: from the first submission to the last answer, each place used twice at least."""
    began = time.perf_counter()
    flying = deque(datacenter.submit(graph, wait=True) for _ in range(in_flight))
    done = 0
    while done < in_flight or time.perf_counter() < began + seconds:
        flying.popleft().result()
        flying.append(datacenter.submit(graph, wait=True))
        done += 1
    for run in flying:
        run.result()
    return (done + in_flight) / (time.perf_counter() - began)
