"""How fast Requests travel: `python benchmarks/ring.py [--json]`.

Starts a datacenter of its own (an application node and three math nodes) and a raw gRPC client and server, each in processes of
their own, and measures round by round, one after the other, so that a slow moment of the machine hits all of them:

- the latency of one raw gRPC unary call, gRPC as it comes: the unit that the others are divided by;
- the same call with the switches of gRPC that the project sets;
- the latency per step of rings of 1, 3 and 8 steps, pinned over the three nodes in turn, from this process;
- three-step runs per second with 256 in flight.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from Services.datacenter import interruption
from Services.datacenter.bench.graphs import durations_ms, ring
from Services.datacenter.bench.raw_call import RawCall, raw_call
from Services.fractos import Datacenter, TaskGraph, connect

ROOT = Path(__file__).resolve().parents[1]
LENGTHS = (1, 3, 8)
IN_FLIGHT = 256
CONFIGURATION = """
[DataCenter]
name = ring-benchmark
{keys}
[Controllers]
controller_names = application_controller, math_controller
[application_controller]
paths_to_controller = Applications/Application_Controller/application_controller.py
zookeeper = False
[math_controller]
paths_to_controller = Services/ComputationalNodes/MathCompute/Math_Controller/math_controller.py
replicas = 3
zookeeper = False
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=20, help="how many rounds to measure (default: %(default)s)")
    options = parser.parse_args()
    with (
        raw_call() as plain,
        raw_call(os.environ["GRPC_EXPERIMENTS"]) as tuned,
        datacenter_folder() as folder,
        connect(folder, client_id="admin") as datacenter,
    ):
        figures = measure(plain, tuned, datacenter, options.rounds)
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 0


def measure(plain: RawCall, tuned: RawCall, datacenter: Datacenter, rounds: int) -> dict[str, dict[str, float]]:
    """Return median, lowest and highest of the rounds for each figure."""
    rings = {length: ring(length) for length in LENGTHS}

    def take() -> dict[str, float]:
        raw_ms = plain.median_ms(150)
        found = {"raw unary call, ms": raw_ms, "the same with our switches, ms": tuned.median_ms(150)}
        for length, graph in rings.items():
            per_step_ms = median_ms(partial(datacenter.run, graph), 40) / length
            found[f"ring of {length}, ms per step"] = per_step_ms
            found[f"ring of {length}, per step / raw call"] = per_step_ms / raw_ms
        found["three-step runs per second"] = throughput(datacenter, rings[3], 1500)
        return found

    return in_rounds(take, rounds)


def in_rounds(take: Callable[[], dict[str, float]], rounds: int, warm_up: int = 2) -> dict[str, dict[str, float]]:
    """Take all figures again and again; return median, lowest and highest of each, without the rounds to warm up."""
    samples: dict[str, list[float]] = {}
    for number in range(-warm_up, rounds):
        found = take()
        if number >= 0:
            for name, value in found.items():
                samples.setdefault(name, []).append(value)
    return {
        name: {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
        for name, values in samples.items()
    }


def median_ms(call: Callable[[], object], times: int) -> float:
    """The median duration of a call, in milliseconds."""
    return statistics.median(durations_ms(call, times))


def throughput(datacenter: Datacenter, graph: TaskGraph, runs: int) -> float:
    """Runs per second with a bounded number in flight."""
    start = time.perf_counter()
    flying = deque(datacenter.submit(graph) for _ in range(IN_FLIGHT))
    for _ in range(runs - IN_FLIGHT):
        flying.popleft().result()
        flying.append(datacenter.submit(graph))
    for run in flying:
        run.result()
    return runs / (time.perf_counter() - start)


@contextmanager
def datacenter_folder(keys: str = "") -> Iterator[Path]:
    """A running datacenter in a temporary folder, with more lines of [DataCenter].

    From now on Ctrl-C and SIGTERM interrupt the program, and nothing interrupts the stopping of the datacenter.
    """
    with tempfile.TemporaryDirectory(prefix="ring-benchmark-") as folder:
        (Path(folder) / "data_center_setup.cfg").write_text(CONFIGURATION.format(keys=keys))
        command = [sys.executable, str(ROOT / "run_datacenter.py"), "--path", folder]
        interruption.listen()
        try:
            subprocess.run([*command, "up"], check=True, stdout=subprocess.DEVNULL)
            yield Path(folder)
        finally:
            with interruption.ignored():
                subprocess.run([*command, "down"], check=True, stdout=subprocess.DEVNULL)


def as_text(figures: dict[str, dict[str, float]]) -> str:
    """The figures as a table."""
    width = max(40, *(len(name) + 1 for name in figures))
    lines = [f"{'':{width}}{'median':>10}{'lowest':>10}{'highest':>10}"]
    for name, figure in figures.items():
        digits = 0 if figure["median"] > 100 else 3
        lines.append(f"{name:{width}}" + "".join(f"{figure[key]:10.{digits}f}" for key in ("median", "lowest", "highest")))
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
