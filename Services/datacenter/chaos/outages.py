"""When which process was hit and not ready again. What may be forgiven a failed run follows from it. Pure."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from math import inf

from Services.datacenter.chaos.schedule import SERVERS


@dataclass(frozen=True)
class Outage:
    """From the moment before a fault until the process, or its successor, was seen ready. Monotonic times."""

    name: str
    began: float
    ended: float = inf


class Outages:
    """The outages of one datacenter with these processes: name → type. Safe to use from several threads."""

    def __init__(self, types: dict[str, str]) -> None:
        self._types = types
        self._known: dict[str, list[Outage]] = {name: [] for name in types}
        self._held: dict[str, float] = {}  # name → when it is, or was, let go
        self._lock = threading.Lock()

    @property
    def names(self) -> Collection[str]:
        """All processes that there were at the beginning."""
        return self._types.keys()

    def begin(self, name: str, now: float, *, held: bool = False) -> None:
        """A fault is about to hit a process. One that is out already stays out. `held`: at least until `let_go`."""
        with self._lock:
            self._held[name] = inf if held else now
            if not self._is_out(name):
                self._known[name].append(Outage(name, now))

    def let_go(self, name: str, now: float) -> None:
        """A process that was stopped goes on."""
        with self._lock:
            self._held[name] = now

    def end(self, name: str, now: float) -> None:
        """A process was seen ready, in a look that began at `now`. One that is held may only seem so."""
        with self._lock:
            if self._is_out(name) and self._held[name] < now:
                self._known[name][-1] = Outage(name, self._known[name][-1].began, now)

    def now_out(self) -> set[str]:
        """The processes that were hit and have not been seen ready since."""
        with self._lock:
            return {name for name in self._known if self._is_out(name)}

    def touch(self, types: Collection[str], began: float, ended: float) -> bool:
        """Whether anything of these types, or a ZooKeeper server, was out for some of the time."""
        with self._lock:
            return any(_overlap(one, began, ended) for one in self._of({*types, SERVERS}))

    def one_lived(self, types: Iterable[str], began: float, ended: float) -> bool:
        """Whether one node of each of these types was there at each moment, though not always the same one."""
        with self._lock:
            return not any(self._all_out(kind, began, ended) for kind in types)

    def back_since(self, node_type: str) -> float:
        """When there was last none of a type: -inf if never, inf if there is none now."""
        with self._lock:
            moments = [one.began for one in self._of({node_type})]
            nodes = [name for name, kind in self._types.items() if kind == node_type]
            ends = [
                min(one.ended for name in nodes for one in self._known[name] if one.began <= moment < one.ended)
                for moment in moments
                if self._all_out(node_type, moment, moment)
            ]
            return max(ends, default=-inf)

    def _is_out(self, name: str) -> bool:
        return bool(self._known[name]) and self._known[name][-1].ended == inf

    def _of(self, types: Collection[str]) -> list[Outage]:
        return [one for name, outages in self._known.items() if self._types[name] in types for one in outages]

    def _all_out(self, node_type: str, began: float, ended: float) -> bool:
        """Whether all nodes of a type were out at once; such a time begins with one of the outages, or earlier."""
        nodes = [name for name, kind in self._types.items() if kind == node_type]
        moments = [began, *(one.began for one in self._of({node_type}) if began <= one.began <= ended)]
        return any(
            all(any(one.began <= moment < one.ended for one in self._known[name]) for name in nodes) for moment in moments
        )


def _overlap(outage: Outage, began: float, ended: float) -> bool:
    return outage.began <= ended and outage.ended >= began
