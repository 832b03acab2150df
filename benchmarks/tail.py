"""How long the slowest runs take: `python benchmarks/tail.py [--json] [--seconds 10] [--share 0.5]`.

Finds the best rate of three-step runs, then submits that share of it by the clock, whatever becomes of the runs (an open loop),
and prints percentiles of the time from when a run was due to when its result was there.
"""

from __future__ import annotations

import argparse
import json
import queue
import statistics
import sys
import threading
import time

from load import percentile
from ring import datacenter_folder, ring, throughput

from Services.fractos import Datacenter, connect
from Services.fractos.client import Run

BEST_OF = 5  # measurements of the rate
RATE_RUNS = 3000
WARM_UP_S = 1.0
SWITCH_S = 0.0005  # between this process's threads: shorter than Python's own, which would be seen in the tail


def latencies_s(datacenter: Datacenter, rate: float, seconds: float) -> list[float]:
    """Submit so many runs a second, and return how long each took."""
    graph = ring(3)
    flying: queue.SimpleQueue[tuple[float, Run] | None] = queue.SimpleQueue()
    took: list[float] = []

    def collect() -> None:
        # In the order of submission: one that overtakes another is counted as late as that, never too early.
        while (one := flying.get()) is not None:
            due, run = one
            run.result()
            took.append(time.perf_counter() - due)

    collector = threading.Thread(target=collect)
    collector.start()
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (left_s := due - time.perf_counter()) > 0:
            time.sleep(left_s)
        flying.put((due, datacenter.submit(graph)))
    flying.put(None)
    collector.join()
    return took


def measure(datacenter: Datacenter, share: float, seconds: float) -> dict[str, float]:
    """The rates, and percentiles in milliseconds."""
    rates = [throughput(datacenter, ring(3), RATE_RUNS) for _ in range(BEST_OF)]
    rate = share * statistics.median(rates)
    latencies_s(datacenter, rate, WARM_UP_S)
    took = latencies_s(datacenter, rate, seconds)
    median, p99 = percentile(took, 0.5), percentile(took, 0.99)
    return {
        "best rate, runs per second": statistics.median(rates),
        "rate offered, runs per second": rate,
        "median, ms": median * 1e3,
        "p90, ms": percentile(took, 0.9) * 1e3,
        "p99, ms": p99 * 1e3,
        "p99.9, ms": percentile(took, 0.999) * 1e3,
        "longest, ms": max(took) * 1e3,
        "p99 / median": p99 / median,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to submit (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.5, help="of the best rate (default: %(default)s)")
    options = parser.parse_args()
    sys.setswitchinterval(SWITCH_S)
    with datacenter_folder() as folder, connect(folder, client_id="admin") as datacenter:
        figures = measure(datacenter, options.share, options.seconds)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print("\n".join(f"{name:32}{value:10.2f}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
