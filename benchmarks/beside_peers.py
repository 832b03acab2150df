"""The project beside Ray, Dask and raw gRPC on the same works: `make bench-peers`, or `python benchmarks/beside_peers.py`.

Each has three workers in processes of their own and does its works when it is asked, one system after the other, round by
round, so that a slow moment of the machine hits all of them:

- the latency of chains of 1, 3 and 8 quick steps over the workers in turn, in milliseconds per step;
- three-step chains per second, with many in flight;
- an array of 8 MiB handed in and multiplied in 8 steps, until the last has ended.

How each is used is said in `benchmarks/peers/`. Ratios are those of one round: below 1 is quicker for latencies and the array,
above 1 more for chains per second. The figures are also written to peers.json, which the report of
`run_datacenter.py bench` shows. Ours records, checks and acknowledges each run as always.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import numpy
from memory_chain import check, our_round
from ring import datacenter_folder, median_ms, throughput

from Services.datacenter.bench import machine, report
from Services.datacenter.bench.command import MODULES
from Services.datacenter.bench.graphs import ring
from Services.datacenter.bench.measuring import summarize
from Services.datacenter.bench.peers import BENCH, MEASURED, OURS, RATIO, row_of
from Services.datacenter.bench.results import Outcome
from Services.fractos import Datacenter, connect
from Services.fractos.config import write_atomically

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks/peers"
PYTHON = ROOT / ".venv-peers/bin/python"
PROGRAMS = {
    "Ray": ("ray_peer.py", "actors"),
    "Ray, compiled": ("ray_peer.py", "compiled"),
    "Dask": ("dask_peer.py",),
    "gRPC": ("grpc_peer.py", "sync"),
    "grpc.aio": ("grpc_peer.py", "aio"),
}
LENGTHS = (1, 3, 8)
LARGE_STEPS = 8
LARGE_TIMES = 10  # of a round: where memory is used again it is warm after some
TIMES = 30  # chains of a round, of each length
RUNS = 1000  # of a round, for those per second
ONE_LARGE = {"Ray, compiled"}  # which does not return from the second one in a row
FEWER = {"Dask": (3, 2)}  # so many times fewer of both, or a round would take minutes
WARM_UP = 2  # rounds

Round = dict[str, dict[str, float]]  # by work and system
Measure = Callable[[str, int, int], float]  # work, steps, times


class Peer:
    """The program of a peer, which waits to be asked."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self._name = name
        self._process = process

    def measure(self, work: str, steps: int, times: int) -> float:
        """Have it do a work."""
        numbers = {"latency": f"{steps} {times}", "rate": f"{times}", "large": f"{steps} {times}"}[work]
        assert self._process.stdin is not None
        self._process.stdin.write(f"{work} {numbers}\n")
        self._process.stdin.flush()
        return float(self.answer())

    def answer(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit(f"the program of {self._name} has ended; its messages are above")
        return line.strip()


@contextmanager
def started(name: str) -> Iterator[Peer]:
    """Start a peer's program and wait until it is ready. It ends with the context, and all that it started."""
    program, *arguments = PROGRAMS[name]
    # The project sets switches of gRPC for itself, in this process too: the others have theirs as it comes.
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    command = [str(PYTHON), str(PEERS / program), *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            peer = Peer(name, process)
            peer.answer()
            yield peer
        finally:
            process.communicate()


def ours(datacenter: Datacenter) -> Measure:
    """The same works on the project."""
    rings = {length: ring(length) for length in LENGTHS}
    array = numpy.arange(1 << 20, dtype=numpy.float64)
    check(datacenter, array, LARGE_STEPS)

    def measure(work: str, steps: int, times: int) -> float:
        if work == "rate":
            return throughput(datacenter, rings[3], times)
        if work == "latency":
            datacenter.run(rings[steps])  # once unmeasured, as all do
            return median_ms(partial(datacenter.run, rings[steps]), times)
        our_round(datacenter, array, steps)
        return statistics.median(our_round(datacenter, array, steps)[1] for _ in range(times))

    return measure


def works(name: str) -> dict[str, tuple[str, int, int]]:
    """What one round asks of a system."""
    fewer_times, fewer_runs = FEWER.get(name, (1, 1))
    latencies = {f"chain of {length}, ms per step": ("latency", length, TIMES // fewer_times) for length in LENGTHS}
    return latencies | {
        "three-step chains per second": ("rate", 3, RUNS // fewer_runs),
        f"8 MiB through {LARGE_STEPS} steps, ms": ("large", LARGE_STEPS, 1 if name in ONE_LARGE else LARGE_TIMES),
    }


def round_of(systems: dict[str, Measure], number: int) -> Round:
    """One round: by work and system, what was measured. The order of the systems is the other way round in odd rounds."""
    found: Round = {}
    for work in works(OURS):
        values = {}
        for name in reversed(systems) if number % 2 else systems:
            kind, steps, times = works(name)[work]
            value = systems[name](kind, steps, times)
            values[name] = value / steps if kind == "latency" else value
        found[work] = {name: values[name] for name in systems}
    return found


def outcome_of(rounds: list[Round], began: str, took_s: float) -> Outcome:
    """The same as `bench` writes: a row for each work of each system, and for each ratio."""
    rows = []
    for work, systems in rounds[0].items():
        unit = "runs/s" if works(OURS)[work][0] == "rate" else "ms"
        for name in systems:
            values = [one[work][name] for one in rounds]
            rows.append(row_of(name, MEASURED, work, unit, summarize(values)))
            if name != OURS:
                ratios = [one[work][OURS] / one[work][name] for one in rounds]
                rows.append(row_of(name, RATIO, work, "", summarize(ratios)))
    return Outcome(BENCH, tuple(rows), began=began, took_s=round(took_s, 1), machine=machine.describe())


def write(outcome: Outcome, folder: Path) -> None:
    """Write the results, and the report beside the folder anew if there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{BENCH}.json", outcome.as_json())
    if (folder.parent / report.FILE).exists():
        report.write(folder.parent, folder, MODULES)


def summary(rounds: list[Round]) -> dict[str, dict[str, dict[str, float]]]:
    """By work and system: median, lowest and highest, and the median of ours through theirs in the same round."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for work, systems in rounds[0].items():
        for name in systems:
            values = [one[work][name] for one in rounds]
            figures.setdefault(work, {})[name] = {
                "median": statistics.median(values),
                "lowest": min(values),
                "highest": max(values),
                "ours / theirs": statistics.median(one[work][OURS] / one[work][name] for one in rounds),
            }
    return figures


def as_text(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """The figures as a table."""
    columns = ("median", "lowest", "highest", "ours / theirs")
    lines = []
    for work, systems in figures.items():
        lines.append(f"{work:32}" + "".join(f"{column:>15}" for column in columns))
        for name, figure in systems.items():
            digits = 0 if figure["median"] > 300 else 3
            values = "".join(f"{figure[column]:15.{digits}f}" for column in columns[:3])
            lines.append(f"  {name:30}{values}" + (f"{figure[columns[3]]:15.2f}" if name != OURS else ""))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=10, help="how many rounds to measure (default: %(default)s)")
    parser.add_argument("--peers", nargs="*", choices=PROGRAMS, default=list(PROGRAMS), help="which of them (default: all)")
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / "benchmarks/results",
        metavar="FOLDER",
        help="where peers.json goes (default: %(default)s)",
    )
    options = parser.parse_args()
    if options.peers and not PYTHON.exists():
        raise SystemExit("error: the peers are not installed; type: make peers")
    with ExitStack() as stack:
        folder = stack.enter_context(datacenter_folder())
        systems = {OURS: ours(stack.enter_context(connect(folder, client_id="admin")))}
        systems |= {name: stack.enter_context(started(name)).measure for name in options.peers}
        began, clock = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.monotonic()
        rounds = [round_of(systems, number) for number in range(WARM_UP + options.rounds)][WARM_UP:]
    write(outcome_of(rounds, began, time.monotonic() - clock), options.out.absolute())
    figures = summary(rounds)
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 0


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except KeyboardInterrupt:
        raise SystemExit(130) from None
