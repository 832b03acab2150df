"""A large array through many steps: `python benchmarks/memory_chain.py [--json]`. Beside others: beside_peers.py.

Starts a datacenter of its own (an application node and three math nodes). A round hands an array of float64 in and multiplies
it --steps times, by the nodes in turn, until the last step has ended; its result is not fetched. Before, a result is checked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from contextlib import ExitStack

import numpy
from ring import as_text, datacenter_folder

from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.graph import Step
from Services.fractos.remote_memory import Memory

NODES = 3
WARM_UP = 3  # rounds


def source(datacenter: Datacenter, array: numpy.ndarray) -> Memory:
    """What the first step gets: the array, left at a node."""
    return datacenter.memory(array, node="math-0")


def chain(first: object, steps: int, factor: float) -> tuple[TaskGraph, Step]:
    """So many multiplications, pinned to math-0, math-1, math-2 in turn, and the last of them."""
    graph = TaskGraph(f"chain of {steps}")
    step = graph.node("math-0").scale(tensor=first, factor=factor)
    for index in range(1, steps):
        step = graph.node(f"math-{index % NODES}").scale(tensor=step.tensor, factor=factor)
    return graph, step


def check(datacenter: Datacenter, array: numpy.ndarray, steps: int) -> None:
    """Have a chain's result brought here. Ends the program if it is wrong."""
    memory = source(datacenter, array)
    graph, last = chain(memory, steps, 2.0)
    graph.output(last)
    if not numpy.array_equal(datacenter.run(graph)[last].tensor, array * 2.0**steps):
        raise SystemExit("our result is wrong")
    memory.release()


def our_round(datacenter: Datacenter, array: numpy.ndarray, steps: int) -> tuple[float, float]:
    """One round: milliseconds until the array was handed in, and until the end."""
    start = time.perf_counter()
    memory = source(datacenter, array)
    graph, _ = chain(memory, steps, 1.0)
    handed_in = time.perf_counter()
    datacenter.run(graph)
    ended = time.perf_counter()
    memory.release()
    return (handed_in - start) * 1e3, (ended - start) * 1e3


def bare_ms(array: numpy.ndarray, steps: int) -> float:
    """As many multiplications in this process, each into a new array, in milliseconds."""
    start = time.perf_counter()
    for _ in range(steps):
        array = array * 1.0
    return (time.perf_counter() - start) * 1e3


def measure(datacenter: Datacenter, array: numpy.ndarray, options: argparse.Namespace) -> dict[str, list[float]]:
    """The figures of every round."""
    samples: dict[str, list[float]] = {}
    for number in range(-WARM_UP, options.rounds):
        handed_in_ms, whole_ms = our_round(datacenter, array, options.steps)
        found = {"ours, ms": whole_ms, "ours, of it until handed in, ms": handed_in_ms}
        found["the multiplications alone, ms"] = bare_ms(array, options.steps)
        if number >= 0:
            for name, value in found.items():
                samples.setdefault(name, []).append(value)
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=20, help="how many rounds to measure (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="of a round (default: %(default)s)")
    parser.add_argument("--mebibytes", type=int, default=8, help="size of the array (default: %(default)s)")
    options = parser.parse_args()
    array = numpy.arange(options.mebibytes << 17, dtype=numpy.float64)
    with ExitStack() as stack:
        datacenter = stack.enter_context(connect(stack.enter_context(datacenter_folder()), client_id="admin"))
        check(datacenter, array, options.steps)
        samples = measure(datacenter, array, options)
    figures = {
        name: {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
        for name, values in samples.items()
    }
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
