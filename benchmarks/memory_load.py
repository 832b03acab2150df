"""Whether large values leave something behind: `python benchmarks/memory_load.py [--runs 10000] [--seed 1]`.

Starts a datacenter of its own, an application node and three math nodes, and submits runs of three steps, each on another math
node, with arrays of 1 MiB in between. Meanwhile math-1 or math-2 is killed with SIGKILL every few seconds and started again;
math-0 and the application node live through all of it. After every --every runs it waits until nothing is in flight and
prints for each node, and for this process, the client: resident memory, open descriptors, sockets, and how often it was killed.

The rule: in the last sample no process may have more than the most that one of its type had in the first half of the samples,
and a tenth, and a little: 16 MiB of memory, 8 descriptors, 8 sockets. One run in fifty has its output checked. A run that fails
because a node that it names is dead is submitted again. Ends with exit code 1 if something has grown, an output is wrong, or a
run failed for another reason.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import random
import signal
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from math import inf

import numpy
from real_nodes import CLIENT, Footprint, Nodes, real_nodes

from Services.fractos import Datacenter, Result, TaskGraph, connect
from Services.fractos.client import Run
from Services.fractos.errors import FractosError, UnavailableError
from Services.fractos.graph import Step

ELEMENTS = (1 << 20) // 8
MATH = ("math-0", "math-1", "math-2")
VICTIMS = MATH[1:]
SELF = "client-0"
APART_S = (2.0, 5.0)  # from one kill to the next
IN_FLIGHT = 8
CHECKED = 50  # one of so many
TIMEOUT_S = 60.0
LEAST_SAMPLES = 4
MORE = 0.1
LITTLE = Footprint(memory=16 << 20, descriptors=8, sockets=8, objects=8)
SETTLE_S, LOOK_S = 5.0, 0.25

Sample = Mapping[str, Footprint]  # by name of the process


class Killer:
    """Kills a math node every few seconds and starts it again, in a thread of its own, as long as its context lasts."""

    def __init__(self, nodes: Nodes, rng: random.Random) -> None:
        self.kills: Counter[str] = Counter()
        self._ended_at = -inf  # the last outage; by the monotonic clock
        self._nodes = nodes
        self._rng = rng
        self._killing = threading.Lock()
        self._stopping = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Kill as long as the context lasts. Raises what went wrong."""
        with ThreadPoolExecutor(1) as threads:
            work = threads.submit(self._kill_on)
            try:
                yield
            finally:
                self._stopping.set()
            work.result()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """All nodes are alive as long as the context lasts."""
        with self._killing:
            yield

    def disturbed(self, since: float) -> bool:
        """Whether a node was dead at some time since then."""
        return self._ended_at > since

    def _kill_on(self) -> None:
        while not self._stopping.wait(self._rng.uniform(*APART_S)):
            with self._killing:
                victim = self._rng.choice(VICTIMS)
                self._ended_at = inf
                self._nodes.signal(victim, signal.SIGKILL)
                self._nodes.start_again(victim)
                self._ended_at = time.monotonic()
                self.kills[victim] += 1


@dataclass(frozen=True)
class Flying:
    """A run that was submitted."""

    run: Run
    step: Step | None  # whose output is to be checked
    submitted_at: float


@dataclass
class Work:
    """The runs, and what became of them."""

    datacenter: Datacenter
    killer: Killer
    rng: random.Random
    array: numpy.ndarray
    checked: int = 0
    wrong: int = 0
    again: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by reason

    def do(self, runs: int) -> None:
        """So many runs, some of them at a time; returns when all have ended."""
        flying: deque[Flying] = deque()
        for number in range(runs):
            if len(flying) == IN_FLIGHT:
                self._end(flying.popleft())
            flying.append(self._submit(checked=number % CHECKED == 0))
        while flying:
            self._end(flying.popleft())

    def _submit(self, *, checked: bool) -> Flying:
        graph = TaskGraph("memory load")
        value: object = self.array
        for name in self.rng.sample(MATH, len(MATH)):
            step = graph.node(name).scale(tensor=value, factor=2.0)
            value = step.tensor
        asked = graph.output(step) if checked else None
        submitted_at = time.monotonic()
        return Flying(self.datacenter.submit(graph, timeout_s=TIMEOUT_S, wait=True), asked, submitted_at)

    def _end(self, flying: Flying) -> None:
        """Wait for a run, and for others in its place as long as a dead node is the reason that it fails."""
        try:
            result = flying.run.result()
        except FractosError as error:
            if not (isinstance(error, UnavailableError) and self.killer.disturbed(flying.submitted_at)):
                self.failed[f"{type(error).__name__}: {error.message}"] += 1
                return
            self.again += 1
            with self.killer.paused():
                flying = self._submit(checked=flying.step is not None)
            self._end(flying)
        else:
            self._check(result, flying.step)

    def _check(self, result: Result, step: Step | None) -> None:
        if step is not None:
            self.checked += 1
            self.wrong += not numpy.array_equal(result[step].tensor, self.array * 2.0 ** len(MATH))


def sample(nodes: Nodes) -> Sample:
    """What every process has, once what is being closed is closed."""
    gc.collect()  # a graph and its steps refer to one another, so that each stays, with its array, until the collector comes by
    _give_back()
    deadline = time.monotonic() + SETTLE_S
    before: list[tuple[int, int, int]] = []
    while True:
        found = {**nodes.footprints(), SELF: Footprint.of(os.getpid())}
        now = [(one.descriptors, one.sockets, one.objects) for one in found.values()]
        if now == before or time.monotonic() > deadline:
            return found
        before = now
        time.sleep(LOOK_S)


def _give_back() -> None:
    """Have this process return what it has freed: what the allocator keeps for later is nothing that is left behind."""
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def grown(samples: list[Sample]) -> list[str]:
    """What breaks the rule."""
    found = []
    for name, last in samples[-1].items():
        kind = name.rpartition("-")[0]
        first = [
            one for early in samples[: len(samples) // 2] for other, one in early.items() if other.rpartition("-")[0] == kind
        ]
        for what in fields(Footprint):
            usual = max(getattr(one, what.name) for one in first)
            limit = usual * (1 + MORE) + getattr(LITTLE, what.name)
            if (value := getattr(last, what.name)) > limit:
                found.append(
                    f"{name}: {what.name} is {value:,}, more than {limit:,.0f}; in the first half it was up to {usual:,}"
                )
    return found


def show(runs: int, now: Sample, kills: Mapping[str, int]) -> None:
    """Print a sample."""
    for name, one in now.items():
        values = (
            f"{one.memory / 2**20:10.1f} MiB {one.descriptors:6} descriptors {one.sockets:6} sockets {one.objects:6} objects"
        )
        print(f"{runs:8,} runs  {name:14}{values} {kills.get(name, 0):6} kills", flush=True)


def measure(options: argparse.Namespace) -> list[str]:
    """Do the runs. Returns what is not as it should be."""
    samples: list[Sample] = []
    with real_nodes("application-0", *MATH, delays_ms={}) as nodes, connect(nodes.folder, client_id=CLIENT) as datacenter:
        killer = Killer(nodes, random.Random(options.seed + 1))
        work = Work(datacenter, killer, random.Random(options.seed), numpy.arange(ELEMENTS, dtype=numpy.float64))
        with killer.at_work():
            for number in range(options.runs // options.every):
                began = time.monotonic()
                work.do(options.every)
                rate = options.every / (time.monotonic() - began)
                with killer.paused():
                    samples.append(sample(nodes))
                show((number + 1) * options.every, samples[-1], killer.kills)
                print(
                    f"{'':15}{rate:,.0f} runs a second; {work.again} submitted again, {work.failed.total()} failed", flush=True
                )
    print(
        f"{killer.kills.total()} kills; {work.checked} outputs checked, {work.wrong} wrong; {work.failed.total()} runs failed"
    )
    wrong = [f"{work.wrong} outputs are wrong"] * bool(work.wrong) + (["no output was checked"] * (not work.checked))
    return wrong + [f"{count} runs failed: {why}" for why, count in work.failed.items()] + grown(samples)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000, help="how many (default: %(default)s)")
    parser.add_argument("--every", type=int, default=1000, help="runs from one sample to the next (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the kills and of the order of nodes (default: %(default)s)")
    options = parser.parse_args()
    if not 0 < options.every <= options.runs // LEAST_SAMPLES:
        parser.error(f"--runs {options.runs} must be at least {LEAST_SAMPLES} times --every {options.every}")
    misses = measure(options)
    print("\n".join(f"MISSED {miss}" for miss in misses) or "flat, and all right")
    return 1 if misses else 0


if __name__ == "__main__":
    raise SystemExit(main())
