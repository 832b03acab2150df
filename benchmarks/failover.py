"""What the death of a node costs: `python benchmarks/failover.py [--kills 20] [--takeovers 5] [--stops 5]`.

Starts datacenters of its own, two nodes of each type, with devices slowed down so that a run of its 13 steps takes some 330 ms:
arithmetic, what is written to files and read from them, and a line of its own that it appends to a file.

1. Some runs are in flight, each at another step, when the leader of a type (math, storage, application) is killed with SIGKILL
   or stopped with SIGSTOP. Their time is compared with that of undisturbed runs. Then the node is started again.
2. With hundreds of runs in flight the only application node is killed and started again, --kills times.
3. The same with a standby that takes over, --takeovers times.

Every run must be answered with the right output, and every line be in the file exactly once. Ends with exit code 1 if one is
not, or if more time is added than the targets of 1 allow.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from load import percentile
from real_nodes import CLIENT, Nodes, real_nodes
from streaming import Appends, Stream

from Services.fractos import Datacenter, connect

RUNS = 5  # in flight at each kill
APART_S = 0.05
SPREAD_S = (0.2, 0.3)  # after the first has begun, when the node is killed
DELAYS_MS = {"math": 25.0, "storage": 25.0}
ROUNDS = 4  # of the chain
CALM = 3  # before the next kill so many times the runs in flight have ended
MEDIAN_S, P99_S, STOPPED_S = 0.5, 3.0, 5.0  # targets
BOTH = ("application-0", "math-0", "storage-0", "application-1", "math-1", "storage-1")
NUMBER = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}


@dataclass
class Series:
    """What was seen of one kind of trouble."""

    name: str
    times: int = 0  # that it was made
    runs: int = 0
    lost: list[str] = field(default_factory=list)  # why
    wrong: int = 0
    duplicated: int = 0
    added_s: list[float] = field(default_factory=list)
    added_by_time_s: list[list[float]] = field(default_factory=list)  # of the runs in flight each time
    median_s: float = float("inf")  # targets
    p99_s: float = float("inf")

    def misses(self) -> list[str]:
        """What is not as it should be."""
        found = [f"{self.name}: lost: {why}" for why in sorted(set(self.lost))]
        if self.wrong or self.duplicated:
            found.append(f"{self.name}: {self.wrong} wrong, {self.duplicated} duplicated")
        for part, target_s in ((0.5, self.median_s), (0.99, self.p99_s)):
            added_s = percentile(self.added_s, part)
            if self.added_s and added_s > target_s:
                found.append(f"{self.name}: {part:.0%} of the runs took up to {added_s:.2f} s longer, not {target_s:g} s")
        return found


def disturb(nodes: Nodes, kind: str, fate: str, times: int, seed: int) -> Series:
    """Kill or stop the leader of a type in mid-run, again and again; undisturbed runs between tell how long they take."""
    median_s, p99_s = (STOPPED_S, STOPPED_S) if fate == "stopped" else (MEDIAN_S, P99_S)
    series = Series(f"{kind} {fate}", median_s=median_s, p99_s=p99_s)
    rng = random.Random(seed)
    appends = Appends(nodes.folder, f"{kind}-{fate}.txt", ROUNDS)
    calm_s: list[float] = []
    disturbed_s: list[list[float]] = []
    with connect(nodes.folder, client_id=CLIENT) as datacenter:
        for _ in range(times):
            calm_s += _batch(datacenter, appends, series, lambda: None)
            leader = nodes.leader(kind)
            trouble = partial(_after, rng.uniform(*SPREAD_S), nodes, leader, NUMBER[fate])
            disturbed_s.append(_batch(datacenter, appends, series, trouble))
            nodes.start_again(leader)
            series.times += 1
    usual_s = statistics.median(calm_s) if calm_s else 0.0
    series.added_by_time_s = [[took_s - usual_s for took_s in runs] for runs in disturbed_s]
    series.added_s = [added_s for runs in series.added_by_time_s for added_s in runs]
    _count(series, appends)
    return series


def _batch(datacenter: Datacenter, appends: Appends, series: Series, trouble: Callable[[], None]) -> list[float]:
    """Some runs, one begun after the other, with trouble among them. Returns how long each took."""

    def run(number: int) -> float:
        time.sleep(number * APART_S)
        began = time.monotonic()
        graph = appends.graph()
        why = graph.outcome(datacenter.submit(graph.graph, timeout_s=30))
        _note(series, why)
        return time.monotonic() - began

    with ThreadPoolExecutor(RUNS + 1) as threads:
        troubled = threads.submit(trouble)
        took_s = list(threads.map(run, range(RUNS)))
        troubled.result()
    return took_s


def _after(delay_s: float, nodes: Nodes, name: str, number: signal.Signals) -> None:
    time.sleep(delay_s)
    nodes.signal(name, number)


def restart_under_load(nodes: Nodes, times: int, in_flight: int, *, standby: bool) -> Series:
    """Kill the application node that serves, under load; it is started again at once, or when its standby has taken over."""
    series = Series("takeovers under load" if standby else "restarts under load")
    appends = Appends(nodes.folder, f"{'takeovers' if standby else 'restarts'}.txt", 1)
    with Stream(nodes.folder, appends, in_flight) as stream:
        for number in range(times):
            _progress(f"{series.name}: {number + 1} of {times}")
            stream.wait_for(CALM * in_flight)
            leader = nodes.leader("application")
            stream.mark()
            nodes.signal(leader, signal.SIGKILL)
            if standby:
                stream.wait_for(in_flight)
            nodes.start_again(leader)
            series.times += 1
    for ended in stream.ended:
        _note(series, ended.why)
    usual_s = statistics.median(stream.calm_s or [0.0])
    series.added_s = [ended.took_s - usual_s for ended in stream.ended if ended.disturbed]
    _count(series, appends)
    return series


def _note(series: Series, why: str) -> None:
    """Count a run; `why` it is not as it should be."""
    series.runs += 1
    if why.startswith("wrong"):
        series.wrong += 1
    elif why:
        series.lost.append(why)


def _count(series: Series, appends: Appends) -> None:
    """Compare the file with what should be in it."""
    missing, surplus = appends.compare()
    series.lost += [f"{missing} lines are not in {appends.name}"] * bool(missing)
    series.duplicated += surplus


def measure(options: argparse.Namespace) -> list[Series]:
    """All series, each with a datacenter of its own, so that none has to bear what another has left."""
    kills, stops = options.kills, options.stops
    kinds = [(kind, "killed", kills) for kind in ("math", "storage", "application")]
    kinds += [(kind, "stopped", stops) for kind in ("storage", "application")]
    found = []
    for kind, fate, times in kinds:
        if times:
            _progress(f"{kind} {fate}: {times} times")
            with _datacenter(BOTH) as nodes:
                found.append(disturb(nodes, kind, fate, times, options.seed))
    restarts = kills if options.restarts is None else options.restarts
    if restarts:
        with _datacenter(("application-0", "math-0", "storage-0"), quick=True) as nodes:
            found.append(restart_under_load(nodes, restarts, options.in_flight, standby=False))
    if options.takeovers:
        with _datacenter(("application-0", "math-0", "storage-0", "application-1"), quick=True) as nodes:
            found.append(restart_under_load(nodes, options.takeovers, options.in_flight, standby=True))
    return found


def _datacenter(names: tuple[str, ...], *, quick: bool = False) -> AbstractContextManager[Nodes]:
    return real_nodes(*names, delays_ms={} if quick else DELAYS_MS)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def as_text(found: list[Series]) -> str:
    """The figures as a table."""
    heads = ("times", "runs", "lost", "wrong", "twice", "median", "99 %", "most")
    lines = [f"{'added time in s':24}" + "".join(f"{head:>8}" for head in heads)]
    for series in found:
        counts = (series.times, series.runs, len(series.lost), series.wrong, series.duplicated)
        added = [percentile(series.added_s, 0.5), percentile(series.added_s, 0.99), max(series.added_s, default=float("nan"))]
        lines.append(f"{series.name:24}" + "".join(f"{count:8}" for count in counts) + "".join(f"{one:8.3f}" for one in added))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="of each type of node (default: %(default)s)")
    parser.add_argument("--restarts", type=int, help="of the only application node, under load (default: as --kills)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what was seen of each kind of trouble to a file")
    parser.add_argument("--takeovers", type=int, default=5, help="under load (default: %(default)s)")
    parser.add_argument("--stops", type=int, default=5, help="of each type that owns something (default: %(default)s)")
    parser.add_argument("--in-flight", type=int, default=300, help="runs, under load (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills (default: %(default)s)")
    options = parser.parse_args()
    found = measure(options)
    if options.json:
        options.json.write_text(json.dumps([vars(series) for series in found]), encoding="utf-8")
    print(as_text(found))
    print(
        f"\ntargets: killed: median <= {MEDIAN_S} s, 99 % <= {P99_S} s; stopped: <= {STOPPED_S} s; nothing lost, wrong or twice"
    )
    misses = [miss for series in found for miss in series.misses()]
    print("\n".join(f"MISSED {miss}" for miss in misses) or "all met")
    return 1 if misses else 0


if __name__ == "__main__":
    raise SystemExit(main())
