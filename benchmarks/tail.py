"""How long the slowest runs take: `python benchmarks/tail.py [--json] [--seconds 10] [--share 0.5]`.

Finds the best rate of three-step runs, then submits that share of it by the clock, whatever becomes of the runs (an open loop),
and prints percentiles of the time from when a run was due to when its result was there.
"""

from __future__ import annotations

import argparse
import json
import statistics

from load import percentile
from ring import datacenter_folder, throughput

from Services.datacenter.bench.graphs import ring
from Services.datacenter.bench.open_loop import latencies_ms
from Services.fractos import Datacenter, connect

BEST_OF = 5  # measurements of the rate
RATE_RUNS = 3000
WARM_UP_S = 1.0


def measure(datacenter: Datacenter, share: float, seconds: float) -> dict[str, float]:
    """The rates, and percentiles in milliseconds."""
    rates = [throughput(datacenter, ring(3), RATE_RUNS) for _ in range(BEST_OF)]
    rate = share * statistics.median(rates)
    latencies_ms(datacenter, ring(3), rate, WARM_UP_S)
    took = latencies_ms(datacenter, ring(3), rate, seconds)
    median, p99 = percentile(took, 0.5), percentile(took, 0.99)
    return {
        "best rate, runs per second": statistics.median(rates),
        "rate offered, runs per second": rate,
        "median, ms": median,
        "p90, ms": percentile(took, 0.9),
        "p99, ms": p99,
        "p99.9, ms": percentile(took, 0.999),
        "longest, ms": max(took),
        "p99 / median": p99 / median,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to submit (default: %(default)s)")
    parser.add_argument("--share", type=float, default=0.5, help="of the best rate (default: %(default)s)")
    options = parser.parse_args()
    with datacenter_folder() as folder, connect(folder, client_id="admin") as datacenter:
        figures = measure(datacenter, options.share, options.seconds)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        print("\n".join(f"{name:32}{value:10.2f}" for name, value in figures.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
