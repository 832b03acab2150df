"""One client process of overload.py: `python load.py` with a Load as JSON on stdin; prints a Report as JSON."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from real_nodes import CLIENT

from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.client import Run
from Services.fractos.errors import DeadlineExceededError, FractosError, ResourceExhaustedError

TICK_S = 0.005
LOOK_S = 0.02  # how often it is looked at what has ended; with very many runs it is done less often:
LOOK_SHARE = 0.1  # of the process's time, at the most
LATE_S = 15.0  # how long after the last deadline a run may be unanswered until it counts as lost
SWITCH_S = 0.0005  # between threads: shorter than Python's own, so that the connection's thread need not wait for its turn
MOST_LATENCIES = 20_000  # kept of each length


@dataclass(frozen=True)
class Load:
    """What to submit."""

    folder: str
    seconds: float
    timeout_s: float
    in_flight: int = 0  # submit one when one has ended; 0: by rate, whatever becomes of them
    rates: Mapping[str, float] = field(default_factory=dict)  # by length of the run in steps: runs a second of each thread
    wait: bool = False
    threads: int = 1


@dataclass
class Report:
    """What became of it. A run counts as good if it was answered, with its output, before its timeout."""

    offered: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)  # good, late, answered late, refused, lost, or an error
    good_by_second: Counter[str] = field(default_factory=Counter)  # by Unix time: comparable between processes
    latencies_s: dict[str, list[float]] = field(default_factory=dict)  # of the good ones, by length
    began_at: float = 0.0  # Unix time
    seconds: float = 0.0
    lag_s: float = 0.0  # the longest time between two looks: as much later than it was a run may have seemed to end

    def add(self, other: Report) -> None:
        """Add what another thread or process did at the same time."""
        self.offered += other.offered
        self.outcomes.update(other.outcomes)
        self.good_by_second.update(other.good_by_second)
        for length, latencies in other.latencies_s.items():
            self.latencies_s.setdefault(length, []).extend(latencies)
        self.began_at = max(self.began_at, other.began_at)
        self.seconds = max(self.seconds, other.seconds)
        self.lag_s = max(self.lag_s, other.lag_s)


@dataclass(frozen=True)
class _Flying:
    run: Run
    length: str
    submitted_at: float


class Generator:
    """One thread's load."""

    def __init__(self, datacenter: Datacenter, load: Load) -> None:
        self._datacenter = datacenter
        self._load = load
        self._graphs = {length: chain(int(length)) for length in load.rates or {"1": 0.0}}
        self._flying: list[_Flying] = []
        self.report = Report()

    def closed(self) -> None:
        """Keep the same number in flight."""
        began, self.report.began_at = time.monotonic(), time.time()
        flying = deque(self._submit("1") for _ in range(self._load.in_flight))
        while time.monotonic() < began + self._load.seconds:
            first = flying.popleft()
            self._end(first)
            flying.append(self._submit("1"))
        self.report.seconds = time.monotonic() - began
        for one in flying:
            self._end(one)

    def open(self) -> None:
        """Submit at the rates, without waiting for anything."""
        began = looked_at = look_at = time.monotonic()
        self.report.began_at = time.time()
        submitted = dict.fromkeys(self._load.rates, 0)
        while (now := time.monotonic()) < began + self._load.seconds:
            for length, rate in self._load.rates.items():
                due = int((now - began) * rate)
                self._flying += [self._submit(length) for _ in range(due - submitted[length])]
                submitted[length] = due
            if (looks_at := time.monotonic()) >= look_at:
                self.report.lag_s = max(self.report.lag_s, looks_at - looked_at)
                looked_at = looks_at
                look_at = looks_at + max(LOOK_S, self._look() / LOOK_SHARE * self._load.threads)
            time.sleep(TICK_S)
        self.report.seconds = time.monotonic() - began
        deadline = time.monotonic() + self._load.timeout_s + LATE_S
        while self._flying and time.monotonic() < deadline:
            self._look()
            time.sleep(LOOK_S)
        self.report.outcomes["lost"] += len(self._flying)

    def _submit(self, length: str) -> _Flying:
        self.report.offered += 1
        submitted_at = time.monotonic()
        run = self._datacenter.submit(self._graphs[length], timeout_s=self._load.timeout_s, wait=self._load.wait)
        return _Flying(run, length, submitted_at)

    def _look(self) -> float:
        """Take note of what has ended. Returns how many seconds it took to find that out."""
        began = time.monotonic()
        ended: list[_Flying] = []
        flying: list[_Flying] = []
        for one in self._flying:
            (ended if one.run.done() else flying).append(one)
        self._flying = flying
        took_s = time.monotonic() - began
        for one in ended:
            self._end(one)
        return took_s

    def _end(self, one: _Flying) -> None:
        """Take note of how a run ended; waits for it."""
        outcome = "good"
        try:
            one.run.result()
        except ResourceExhaustedError:
            outcome = "refused"
        except DeadlineExceededError:
            outcome = "late"
        except FractosError as error:
            outcome = type(error).__name__
        took_s = time.monotonic() - one.submitted_at
        if outcome == "good" and took_s > self._load.timeout_s:
            outcome = "answered late"
        self.report.outcomes[outcome] += 1
        if outcome == "good":
            self.report.good_by_second[str(int(time.time()))] += 1
            latencies = self.report.latencies_s.setdefault(one.length, [])
            if len(latencies) < MOST_LATENCIES:
                latencies.append(took_s)


def chain(length: int) -> TaskGraph:
    """So many operations of the math node, one after the other."""
    graph = TaskGraph(f"chain of {length}")
    value: object = 1
    for _ in range(length):
        value = graph.math.shift_left(value=value, bits=1).value
    return graph


def percentile(values: list[float], part: float) -> float:
    """The value that this part of them does not exceed; NaN of none."""
    if len(values) < 2:
        return values[0] if values else float("nan")
    return statistics.quantiles(values, n=1000, method="inclusive")[min(int(part * 1000), 999) - 1]


def main() -> None:
    sys.setswitchinterval(SWITCH_S)
    load = Load(**json.load(sys.stdin))
    with connect(load.folder, client_id=CLIENT) as datacenter:
        generators = [Generator(datacenter, load) for _ in range(load.threads)]
        if load.in_flight:
            generators[0].closed()
        else:
            with ThreadPoolExecutor(load.threads) as threads:
                list(threads.map(Generator.open, generators))
        report = Report()
        for generator in generators:
            report.add(generator.report)
    print(json.dumps(vars(report)))


if __name__ == "__main__":
    main()
