"""What a datacenter does with more than it can do: `python benchmarks/overload.py [--seconds 120] [--factor 10]`.

Starts a datacenter of its own (an application node and a math node slowed down by --delay-ms) and clients in processes of their
own, and measures goodput: runs that were answered well and in time, per second.

1. The best: so many in flight that the device is always busy, and no more. The memory of warm nodes is what they hold then.
2. --factor times as many are submitted per second, whatever becomes of them; those that are refused are not repeated.
3. The same with submissions that wait for room, from several threads of each client.
4. Runs of 1 step beside runs of 20, half of the steps each, of the same overload.

Ends with exit code 1 if in 2 or 3 the goodput is below 0.8 of the best or a node's memory grows beyond 1.5 of what it was warm,
or if a run is not answered. If the clients cannot submit as many as they should, it says so: then take more --clients.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from load import Load, Report, percentile
from real_nodes import Nodes, real_nodes

TIMEOUT_S = 5.0
IN_FLIGHT = 32
THREADS = 2  # of each client that waits
LONG, SHORT = 20, 1  # steps
LEAST_GOODPUT = 0.8  # of the best
MOST_MEMORY = 1.5  # of that of warm nodes
LATE = ("late", "answered late")
ENOUGH = 0.95  # of the rate that should be offered
MOST_LAG_S = 0.25  # until a client has seen an answer
NODES = ("application-0", "math-0")
SAMPLE_S = 0.5
LEAST_S = 5.0


@dataclass(frozen=True)
class Phase:
    """What was seen in one phase."""

    name: str
    wanted: float  # runs a second that the clients should have submitted; 0: as many as ended
    report: Report
    memory: Mapping[str, int]  # bytes: the most that each node had

    @property
    def goodputs(self) -> list[float]:
        """Good runs in each of the whole seconds in which the clients submitted."""
        first, end = int(self.report.began_at) + 1, int(self.report.began_at + self.report.seconds)
        return [float(self.report.good_by_second[str(second)]) for second in range(first, end)]

    @property
    def goodput(self) -> float:
        """Good runs a second, of the phase."""
        return statistics.fmean(self.goodputs)

    @property
    def offered(self) -> float:
        """Runs a second that were submitted."""
        return self.report.offered / self.report.seconds

    @property
    def lost(self) -> int:
        """Runs that nobody answered, or that failed without reason."""
        return sum(count for how, count in self.report.outcomes.items() if how not in {"good", "refused", *LATE})


class Benchmark:
    """Phases on one datacenter."""

    def __init__(self, nodes: Nodes, clients: int) -> None:
        self._nodes = nodes
        self._clients = clients

    def phase(self, name: str, load: Load, clients: int = 0) -> Phase:
        """Put the load on the datacenter, spread over the clients, and watch the nodes' memory."""
        clients = clients or self._clients
        print(f"{name}: {load.seconds:g} s …", file=sys.stderr, flush=True)
        share = replace(load, rates={length: rate / clients / load.threads for length, rate in load.rates.items()})
        memory = dict.fromkeys(NODES, 0)
        report = Report()
        with ThreadPoolExecutor(clients) as threads:
            pending = [threads.submit(_client, share) for _ in range(clients)]
            while not all(one.done() for one in pending):
                for node, size in self._nodes.memory().items():
                    memory[node] = max(memory[node], size)
                time.sleep(SAMPLE_S)
            for one in pending:
                report.add(one.result())
        return Phase(name, sum(load.rates.values()), report, memory)

    def all(self, seconds: float, warm_s: float, factor: float) -> tuple[list[Phase], dict[str, int]]:
        """Return the phases, and the memory of the warm nodes in bytes."""
        folder = str(self._nodes.folder)
        best = self.phase("best", Load(folder, warm_s, TIMEOUT_S, in_flight=IN_FLIGHT), clients=1)
        warm = dict(best.memory)
        rate = factor * best.goodput
        shorter_s = max(seconds / 3, LEAST_S)
        load = Load(folder, seconds, TIMEOUT_S, rates={str(SHORT): rate})
        waiting = replace(load, seconds=shorter_s, wait=True, threads=THREADS)
        mixed = replace(load, seconds=shorter_s, rates={str(SHORT): rate / 2 / SHORT, str(LONG): rate / 2 / LONG})
        loads = [(f"{factor:g} x the best", load), ("the same, waiting", waiting), (f"{SHORT} and {LONG} steps", mixed)]
        return [best, *(self.phase(name, one) for name, one in loads)], warm


def _client(load: Load) -> Report:
    """Have a process of its own submit the load."""
    command = [sys.executable, str(Path(__file__).with_name("load.py"))]
    done = subprocess.run(command, input=json.dumps(asdict(load)), stdout=subprocess.PIPE, text=True, check=True)
    fields = json.loads(done.stdout)
    return Report(**{**fields, **{name: Counter(fields[name]) for name in ("outcomes", "good_by_second")}})


def misses(phases: list[Phase], warm: Mapping[str, int]) -> list[str]:
    """What is not as it should be."""
    best, *overloads = phases
    found = [f"{phase.name}: {phase.lost} runs lost or failed" for phase in phases if phase.lost]
    for phase in overloads[:2]:
        if phase.goodput < LEAST_GOODPUT * best.goodput:
            found.append(f"{phase.name}: goodput {phase.goodput / best.goodput:.2f} of the best, not {LEAST_GOODPUT}")
    for phase in overloads:
        for node, size in phase.memory.items():
            if size > MOST_MEMORY * warm[node]:
                found.append(f"{phase.name}: {node} grew to {size / warm[node]:.2f} of its warm memory, beyond {MOST_MEMORY}")
    return found


def as_text(phases: list[Phase], warm: Mapping[str, int]) -> str:
    """The figures as tables."""
    best = phases[0].goodput
    heads = ("offered", "good", "lowest", "highest", "of best", "refused", "late", "lost")
    lines = [f"{'runs per second':20}" + "".join(f"{head:>9}" for head in heads)]
    for phase in phases:
        seconds = phase.goodputs
        outcomes = phase.report.outcomes
        lines.append(
            f"{phase.name:20}{phase.offered:9.0f}{phase.goodput:9.0f}{min(seconds):9.0f}{max(seconds):9.0f}"
            f"{phase.goodput / best:9.2f}{outcomes['refused']:9}{sum(outcomes[how] for how in LATE):9}{phase.lost:9}"
        )
    lines += ["", f"{'latency, s':20}" + "".join(f"{head:>9}" for head in ("steps", "runs", "median", "99 %", "most"))]
    for phase in phases:
        for length, latencies in sorted(phase.report.latencies_s.items()):
            figures = percentile(latencies, 0.5), percentile(latencies, 0.99), max(latencies)
            numbers = "".join(f"{figure:9.3f}" for figure in figures)
            lines.append(f"{phase.name:20}{length:>9}{len(latencies):9}{numbers}")
    lines += ["", f"{'resident memory, MB':20}" + "".join(f"{node:>16}" for node in NODES)]
    for phase in phases:
        sizes = (f"{phase.memory[node] / 1e6:9.1f} ({phase.memory[node] / warm[node]:4.2f})" for node in NODES)
        lines.append(f"{phase.name:20}" + "".join(sizes))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="of phase 2; 3 and 4 take a third (default: %(default)s)")
    parser.add_argument("--warm-seconds", type=float, default=20, help="of phase 1 (default: %(default)s)")
    parser.add_argument("--factor", type=float, default=10, help="how many times the best rate (default: %(default)s)")
    parser.add_argument("--delay-ms", type=float, default=5, help="how long an operation takes (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=2, help="client processes (default: %(default)s)")
    options = parser.parse_args()
    if min(options.seconds, options.warm_seconds) < LEAST_S:
        parser.error(f"a phase needs {LEAST_S:g} seconds at least")
    with real_nodes(*NODES, delays_ms={"math": options.delay_ms}) as nodes:
        phases, warm = Benchmark(nodes, options.clients).all(options.seconds, options.warm_seconds, options.factor)
    print(as_text(phases, warm))
    print(f"\ntargets: goodput >= {LEAST_GOODPUT} of the best, memory <= {MOST_MEMORY} of warm, nothing lost")
    for phase in phases:
        if phase.offered < ENOUGH * phase.wanted:
            print(
                f"{phase.name}: the clients submitted {phase.offered:.0f} a second, not {phase.wanted:.0f}; take more --clients"
            )
    found = misses(phases, warm)
    print("\n".join(f"MISSED {miss}" for miss in found) or "all met")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
