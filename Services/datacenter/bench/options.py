"""What `bench` is asked for: its flags."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from Services.datacenter.bench.measuring import FEWEST, Rules
from Services.datacenter.flags import number, whole_number
from Services.fractos.config import CODE_ROOT, MAXIMUM_REPLICAS

BENCHES = {  # what each answers
    "latency": "how long a step takes, in rings of 1 to 32 steps, beside one raw gRPC call",
    "throughput": "how many runs a second there can be, and how long they take at half of that",
    "data": "how fast arrays of 1 KB to 256 MB go from step to step",
    "image": "how long a prediction takes, cold, warm and many at a time, beside the bare work",
    "topology": "what the centre costs: star, fast-star and ring on emulated networks",
    "failover": "how much longer runs take when a node is killed",
    "start": "how long a node and the default datacenter take to be ready, and how large an idle node is",
    "scale": "what many nodes cost: the time to start them and the latency of runs",
}
ALL = "all"
LIMIT_S, QUICK_LIMIT_S = 120.0, 5.0
LIMITS_S = {"topology": 900.0}  # of those that need another one
DESCRIPTION = """\
Measures a datacenter of its own, which it starts in a temporary folder and stops at the end; yours is not touched. Variants are
measured in turn, again and again, until the 95 % confidence interval of their medians is within --precision or --time-limit is
reached. Writes tables (JSON and CSV) and plots (SVG and PNG) to FOLDER/results and FOLDER/REPORT.md, which is made of all
results that lie there.

"""
EPILOG = "benchmarks:\n" + "\n".join(f"  {name:12}{answers}" for name, answers in BENCHES.items())


@dataclass(frozen=True)
class Options:
    """One call of `bench`."""

    benches: tuple[str, ...]
    out: Path
    limit_s: float | None  # for each benchmark; None: what it takes
    precision: float  # half the width of the confidence interval, as a part of the median
    quick: bool
    nodes: int  # of the large datacenter of `scale`

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Options:
        """The options of a command line."""
        benches = tuple(BENCHES) if parsed.bench == ALL else (parsed.bench,)
        return cls(benches, parsed.out.absolute(), parsed.time_limit, parsed.precision / 100, parsed.quick, parsed.nodes)

    def limit_of(self, bench: str) -> float:
        """How many seconds a benchmark may measure."""
        return self.limit_s or (QUICK_LIMIT_S if self.quick else LIMITS_S.get(bench, LIMIT_S))

    def rules(self, limit_s: float) -> Rules:
        """When it is enough, of something that has so many seconds."""
        warm_up, most = (1, 2 * FEWEST) if self.quick else (2, 200)
        return Rules(self.precision, warm_up, most=most, limit_s=limit_s)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("bench", choices=[*BENCHES, ALL], metavar="BENCHMARK", help=f"{', '.join(BENCHES)}, or {ALL}")
    parser.add_argument(
        "--out",
        type=Path,
        default=CODE_ROOT / "benchmarks",
        metavar="FOLDER",
        help="where results/ and REPORT.md go (default: benchmarks, beside this program)",
    )
    parser.add_argument(
        "--time-limit",
        type=number(1, 86_400),
        metavar="S",
        help=f"measure each benchmark for so many seconds at the most, starting and stopping not counted (default:"
        f" {LIMIT_S:g}, topology {LIMITS_S['topology']:g}; with --quick {QUICK_LIMIT_S:g})",
    )
    parser.add_argument(
        "--precision",
        type=number(0.1, 100),
        default=5.0,
        metavar="PERCENT",
        help="enough is when the median is known within plus or minus this (default: %(default)g)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds: to see that it works, not to compare")
    parser.add_argument(
        "--nodes",
        type=whole_number(5, MAXIMUM_REPLICAS),
        default=100,
        metavar="N",
        help="of the large datacenter of scale (default: %(default)s)",
    )
