"""What the checking of capabilities costs: rings of steps in a datacenter that checks them beside one that is open.

python benchmarks/checking.py [--rounds N] [--json]

The two run at the same time and are measured in turn; a ratio is that of one round of each, one after the other. Exit code 1 if
the ring of 8 takes more than 1.15 times as long with checking.
"""

from __future__ import annotations

import argparse
import json
import statistics
from functools import partial

from ring import as_text, datacenter_folder, median_ms, throughput

from Services.datacenter.bench.graphs import ring
from Services.fractos import Datacenter, connect

LENGTHS = (1, 8)
RING_RUNS = 60
RUNS = 1500
TARGET = 1.15


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=12, help="how many rounds to measure (default: %(default)s)")
    options = parser.parse_args()
    with (
        datacenter_folder() as one,
        datacenter_folder("open") as other,
        connect(one, client_id="admin") as checking,
        connect(other) as everybody,
    ):
        figures = measure(checking, everybody, options.rounds)
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 1 if figures["ring of 8, checked / open"]["median"] > TARGET else 0


def measure(checking: Datacenter, everybody: Datacenter, rounds: int) -> dict[str, dict[str, float]]:
    """Return median, lowest and highest of the rounds for each figure."""
    samples: dict[str, list[float]] = {}
    graphs = {length: ring(length) for length in (*LENGTHS, 3)}
    for number in range(-2, rounds):  # two rounds to warm up
        found = {}
        for length in LENGTHS:
            checked, free = (median_ms(partial(one.run, graphs[length]), RING_RUNS) / length for one in (checking, everybody))
            found[f"ring of {length}, ms per step, checked"] = checked
            found[f"ring of {length}, ms per step, open"] = free
            found[f"ring of {length}, checked / open"] = checked / free
        checked, free = (throughput(one, graphs[3], RUNS) for one in (checking, everybody))
        found |= {
            "three-step runs/s, checked": checked,
            "three-step runs/s, open": free,
            "three-step runs/s, open / checked": free / checked,
        }
        if number >= 0:
            for name, value in found.items():
                samples.setdefault(name, []).append(value)
    return {
        name: {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
        for name, values in samples.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
