"""A large array through many steps, beside Ray: `make peers`, then `python benchmarks/memory_chain.py [--json]`.

Starts a datacenter of its own (an application node and three math nodes) and, in a process of its own, Ray with three actors.
A round hands an array of float64 in and multiplies it --steps times, by the nodes in turn, until the last step has ended; its
result is not fetched. Ours and Ray's rounds alternate, so that a slow moment of the machine hits both. Before, the results of
both are checked.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy
from ring import as_text, datacenter_folder

from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.graph import Step
from Services.fractos.remote_memory import Memory

ROOT = Path(__file__).resolve().parents[1]
PEER_PYTHON = ROOT / ".venv-peers/bin/python"
PEER = ROOT / "benchmarks/peers/ray_memory_chain.py"
NODES = 3
WARM_UP = 3  # rounds


class Ray:
    """Ray's process, which waits to be asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def round(self) -> tuple[float, float]:
        """One round: milliseconds until the array was handed in, and until the end."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        handed_in_ms, whole_ms = self.answer().split()
        return float(handed_in_ms), float(whole_ms)

    def answer(self) -> str:
        """The next line that the process prints."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit("Ray's process has ended; its messages are above")
        return line.strip()


@contextmanager
def ray_process(elements: int, steps: int) -> Iterator[Ray]:
    """Start Ray and wait until it is ready; it ends with the context."""
    if not PEER_PYTHON.exists():
        raise SystemExit("error: Ray is not installed; type: make peers (or measure without it: --alone)")
    command = [str(PEER_PYTHON), str(PEER), str(elements), str(steps)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            ray = Ray(process)
            ray.answer()
            yield ray
        finally:
            process.communicate()


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


def measure(
    datacenter: Datacenter, ray: Ray | None, array: numpy.ndarray, options: argparse.Namespace
) -> dict[str, list[float]]:
    """The figures of every round."""
    samples: dict[str, list[float]] = {}
    for number in range(-WARM_UP, options.rounds):
        handed_in_ms, whole_ms = our_round(datacenter, array, options.steps)
        found = {"ours, ms": whole_ms, "ours, of it until handed in, ms": handed_in_ms}
        if ray is not None:
            handed_in_ms, peer_ms = ray.round()
            found |= {"Ray, ms": peer_ms, "Ray, of it until handed in, ms": handed_in_ms, "ours / Ray": whole_ms / peer_ms}
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
    parser.add_argument("--alone", action="store_true", help="without Ray")
    options = parser.parse_args()
    array = numpy.arange(options.mebibytes << 17, dtype=numpy.float64)
    with ExitStack() as stack:
        datacenter = stack.enter_context(connect(stack.enter_context(datacenter_folder()), client_id="admin"))
        ray = None if options.alone else stack.enter_context(ray_process(array.size, options.steps))
        check(datacenter, array, options.steps)
        samples = measure(datacenter, ray, array, options)
    figures = {
        name: {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
        for name, values in samples.items()
    }
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
