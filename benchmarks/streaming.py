"""Runs whose every effect can be checked afterwards, and a stream of them that never pauses. Used by failover.py."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from real_nodes import CLIENT

from Services.fractos import TaskGraph, connect
from Services.fractos.client import Run
from Services.fractos.errors import FractosError
from Services.fractos.graph import Step

PATIENCE_S = 90.0
BITS = 3  # by which each round shifts


class Appends:
    """Makes runs that append a line of their own to one file."""

    def __init__(self, folder: Path, name: str, rounds: int) -> None:
        """`rounds` of arithmetic, a write and a read come before."""
        self.name = name
        self._path = folder / "Services/storage" / CLIENT / name
        self._rounds = rounds
        self._numbers = itertools.count(1)
        self._expected: list[int] = []

    def graph(self) -> Checked:
        """A new run's graph."""
        number = next(self._numbers)
        self._expected.append(number)
        graph = TaskGraph(f"append {number}")
        value: object = number
        for index in range(self._rounds):
            shifted = graph.math.shift_left(value=value, bits=BITS)
            name = f"{self.name}-{number}-{index}"
            written = graph.storage.write_integer(client_id=CLIENT, name=name, value=shifted.value)
            read = graph.storage.read_integer(client_id=CLIENT, name=name, after=written)
            value = read.value
        graph.storage.append_text(client_id=CLIENT, name=self.name, text=f"{number}\n", after=read)
        return Checked(graph, read, number << BITS * self._rounds)

    def compare(self) -> tuple[int, int]:
        """Return how many lines are missing, and how many are too many."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        found, expected = Counter(lines), Counter(map(str, self._expected))
        return (expected - found).total(), (found - expected).total()


@dataclass(frozen=True)
class Checked:
    """A graph and what must come out of it."""

    graph: TaskGraph
    last: Step
    value: int

    def outcome(self, run: Run) -> str:
        """Wait for the run. Returns what is not as it should be, beginning with "wrong" if that is an output; "" if all is."""
        try:
            value = run.result()[self.last].value
        except FractosError as error:
            return f"{type(error).__name__}: {error.message}"
        return "" if value == self.value else f"wrong: {value}, not {self.value}"


@dataclass(frozen=True)
class Ended:
    """A run of the stream that has ended."""

    took_s: float
    disturbed: bool  # it was in flight at a mark
    why: str  # it is not as it should be; "": it is


class Stream:
    """Keeps so many runs in flight, in a thread of its own, as long as its context lasts; waits for the last of them."""

    def __init__(self, folder: Path, appends: Appends, in_flight: int) -> None:
        self.ended: list[Ended] = []
        self.calm_s: list[float] = []  # how long the runs took that ended before the marks
        self._folder = folder
        self._appends = appends
        self._in_flight = in_flight
        self._marks: list[float] = []
        self._stopping = threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self._flowing: Future[None] = Future()

    def mark(self) -> None:
        """Take note that something is about to happen to the runs in flight."""
        self.calm_s += [ended.took_s for ended in self.ended[-self._in_flight :]]
        self._marks.append(time.monotonic())

    def wait_for(self, more: int) -> None:
        """Wait until so many more have ended."""
        count, deadline = len(self.ended) + more, time.monotonic() + PATIENCE_S
        while len(self.ended) < count:
            if time.monotonic() > deadline or self._flowing.done():
                raise SystemExit(f"{count - len(self.ended)} of {more} runs have not ended within {PATIENCE_S:g} s")
            time.sleep(0.01)

    def __enter__(self) -> Stream:
        self._flowing = self._thread.submit(self._flow)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.shutdown()
        self._flowing.result()

    def _flow(self) -> None:
        flying: deque[tuple[Checked, Run, float]] = deque()
        with connect(self._folder, client_id=CLIENT) as datacenter:
            while not self._stopping.is_set() or flying:
                while len(flying) < self._in_flight and not self._stopping.is_set():
                    checked = self._appends.graph()
                    began = time.monotonic()
                    flying.append((checked, datacenter.submit(checked.graph, timeout_s=60, wait=True), began))
                checked, run, began = flying.popleft()
                why = checked.outcome(run)
                ended = time.monotonic()
                disturbed = any(began <= mark <= ended for mark in tuple(self._marks))
                self.ended.append(Ended(ended - began, disturbed, why))
