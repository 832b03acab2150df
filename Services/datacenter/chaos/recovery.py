"""How long the datacenter takes to work again after each fault, seen by runs that are submitted all the time. Pure."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from statistics import median

from Services.datacenter.chaos.schedule import SERVERS, Fault

NORMAL_KEPT = 1000


@dataclass
class Recovered:
    """A fault, and for each type of node that it may have disturbed how long until a run that needs it ended well."""

    fault: Fault
    at: float  # monotonic
    awaited: set[str]  # types of which none has ended well
    took_s: dict[str, float] = field(default_factory=dict)  # by type, beyond what such a run normally takes

    @property
    def recovery_s(self) -> float | None:
        """Until the last of them; None if not all have."""
        return None if self.awaited else max(self.took_s.values(), default=0.0)


class Recovery:
    """All faults, matched with the probes that end. Safe to use from several threads."""

    def __init__(self, types: Collection[str]) -> None:
        self._types = set(types)  # those that are probed
        # Latencies before the first fault, the last ones.
        self._normal: dict[str, deque[float]] = {one: deque(maxlen=NORMAL_KEPT) for one in types}
        self._lock = threading.Lock()
        self._open: list[Recovered] = []
        self.faults: list[Recovered] = []

    def fault(self, fault: Fault, at: float) -> None:
        """A fault has been done. One to a ZooKeeper server concerns every type."""
        awaited = self._types if fault.type == SERVERS else self._types & {fault.type}
        with self._lock:
            self.faults.append(Recovered(fault, at, set(awaited)))
            self._open.append(self.faults[-1])

    def probe(self, node_type: str, submitted_at: float, ended_at: float) -> None:
        """A run that needs this type has ended well."""
        with self._lock:
            if not self.faults:
                self._normal[node_type].append(ended_at - submitted_at)
                return
            for one in self._open:
                if node_type in one.awaited and submitted_at >= one.at:
                    one.awaited.discard(node_type)
                    one.took_s[node_type] = max(0.0, ended_at - one.at - self._normal_s(node_type))
            self._open = [one for one in self._open if one.awaited]

    def normal_s(self) -> dict[str, float]:
        """The median latency of a probe before the first fault, by type."""
        return {one: self._normal_s(one) for one in sorted(self._types)}

    def open(self) -> list[Recovered]:
        """The faults from which the datacenter has not recovered."""
        with self._lock:
            return list(self._open)

    def _normal_s(self, node_type: str) -> float:
        return median(self._normal[node_type]) if self._normal[node_type] else 0.0
