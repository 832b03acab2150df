"""The result of a chaos, as a table and as JSON. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from Services.datacenter.chaos.checker import Tally, Violation
from Services.datacenter.chaos.recovery import Recovered
from Services.datacenter.chaos.schedule import KINDS

SORTS = ("lost", "wrong", "duplicated")
RECOVERY_COLUMNS = ("time to recover", "faults", "median", "p99", "maximum", "never")
SHOWN_VIOLATIONS = 20


@dataclass(frozen=True)
class Report:
    """What happened."""

    seed: int
    clients: int
    began: float  # monotonic
    ended: float
    tally: Tally
    violations: Sequence[Violation]  # the first ones
    faults: Sequence[Recovered]
    normal_s: Mapping[str, float]  # latency of a probe before the first fault, by type

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, wrong or duplicated."""
        return not self.tally.violations.total()

    def rows(self) -> list[tuple[str, str]]:
        """The table of counts."""
        tally, duration_s = self.tally, self.ended - self.began
        unkept = f"{_counts(tally.unkept_statuses)}, while a node of every type lived" if tally.unkept else "0"
        return [
            ("runs", f"{tally.runs:,} of {self.clients} clients in {duration_s:.0f} s, and {tally.probes:,} probes"),
            ("faults", _counts(self._kinds())),
            *((sort, f"{tally.violations[sort]:,}") for sort in SORTS),
            ("failed", _counts(tally.failed)),
            ("though promised", unkept),
            ("failed as asked", _counts(tally.excused)),
        ]

    def recovery_rows(self) -> list[tuple[str, ...]]:
        """The table of times to recover, a row for each kind of fault; its columns are RECOVERY_COLUMNS."""
        return [
            (kind, str(one["faults"]), *(_seconds(one[name]) for name in ("median_s", "p99_s", "maximum_s")), str(one["never"]))
            for kind, one in self._recovery().items()
        ]

    def violation_lines(self) -> list[str]:
        """The first violations, a line each."""
        lines = [f"{one.sort}: {one.what}" for one in self.violations[:SHOWN_VIOLATIONS]]
        more = self.tally.violations.total() - len(lines)
        return [*lines, f"and {more:,} more"] if more > 0 else lines

    def as_json(self) -> dict[str, Any]:
        """Everything; times in seconds, those of faults since the beginning."""
        return {
            "passed": self.passed,
            "seed": self.seed,
            "clients": self.clients,
            "duration_s": round(self.ended - self.began, 3),
            "runs": self.tally.runs,
            "probes": self.tally.probes,
            **{sort: self.tally.violations[sort] for sort in SORTS},
            "failed": dict(self.tally.failed),
            "failed_though_promised": dict(self.tally.unkept_statuses),
            "failed_as_asked": dict(self.tally.excused),
            "normal_latency_s": dict(self.normal_s),
            "time_to_recover": self._recovery(),
            "faults": [
                {
                    **asdict(one.fault),
                    "at_s": round(one.at - self.began, 3),
                    "recovery_s": one.recovery_s,
                    "recovery_by_type_s": one.took_s,
                }
                for one in self.faults
            ],
            "violations": [asdict(one) for one in self.violations],
        }

    def _kinds(self) -> Counter[str]:
        return Counter(one.fault.kind for one in self.faults)

    def _recovery(self) -> dict[str, dict[str, Any]]:
        counts = self._kinds()
        return {kind: _times([one for one in self.faults if one.fault.kind == kind]) for kind in KINDS if counts[kind]}


def _times(faults: Sequence[Recovered]) -> dict[str, Any]:
    times = sorted(one.recovery_s for one in faults if one.recovery_s is not None)
    return {
        "faults": len(faults),
        "median_s": median(times) if times else None,
        "p99_s": times[math.ceil(0.99 * len(times)) - 1] if times else None,  # the nearest rank
        "maximum_s": times[-1] if times else None,
        "never": len(faults) - len(times),
    }


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} s"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()) if count) or "0"
