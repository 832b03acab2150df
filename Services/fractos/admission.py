"""How much an application node lets in, so that no node has to refuse what is under way and no run waits in vain. Pure.

Each run reserves, for every type of node it visits, as many places as it has steps there, and its graph's size in bytes; it
gives them back when it ends. Inside the datacenter nothing is refused for lack of room, so a ring of full queues cannot form.

A queue that is longer than a run's patience would end every run by its deadline, with nothing done in time. So where steps have
queued up, a run is let in only if it will have waited, at the pace seen lately, for no more than half its time. Runs take turns
at a device, so each of its steps waits for one of every other run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from Services.fractos.errors import ResourceExhaustedError

PATIENCE = 0.5  # the part of a run's time that those before it may take
WINDOW_S = 0.1  # how long the pace is measured at least,
ENOUGH = 32  # until so many steps are done
LONGEST_WINDOW_S = 2.0  # or so much time has passed
QUEUE = 64  # with fewer steps in flight nothing queues up, so that the pace says little
WINDOWS = 10  # how many of them count
SURE = 2  # with fewer the pace is not known: the first one may begin with a stop
FORGOTTEN_S = 5.0  # when the pace is not known any more if no run has come meanwhile
LEAST_RETRY_S, MOST_RETRY_S = 0.05, 1.0


class _Pace:
    """The steps in flight on one type of node, and how fast they get done.

    The best of some windows counts, and one in which nothing got done does not: a node that has stopped is no slow one, and its
    runs are about to be repeated elsewhere.
    """

    __slots__ = ("_done", "_least", "_rates", "_since", "in_flight", "runs")

    def __init__(self) -> None:
        self.in_flight = 0
        self.runs = 0  # in flight
        self._rates: deque[float] = deque(maxlen=WINDOWS)  # steps a second; none: not known, or without a queue
        self._since = 0.0  # when the window began; in it:
        self._done = 0
        self._least = 0  # in flight at once

    def measure(self, now: float) -> None:
        """End the window if it is due."""
        elapsed = now - self._since
        if elapsed < WINDOW_S or (self._done < ENOUGH and elapsed < LONGEST_WINDOW_S):
            return
        if self._least < QUEUE or elapsed > FORGOTTEN_S:  # no queue, or nobody has looked for long
            self._rates.clear()
        elif self._done:
            self._rates.append(self._done / elapsed)
        self._since, self._done, self._least = now, 0, self.in_flight

    def release(self, count: int, *, done: bool) -> None:
        """Take note that the steps of a run are no longer in flight."""
        self.in_flight -= count
        self.runs -= 1
        self._least = min(self._least, self.in_flight)
        if done:
            self._done += count

    def wait_s(self, count: int) -> float:
        """How long the steps of a run that comes now will wait for those of others, as far as one can tell."""
        return count * self.runs / max(self._rates) if len(self._rates) >= SURE and self.in_flight >= QUEUE else 0.0


class Admission:
    """Counts what the accepted runs may have in flight."""

    def __init__(self, steps_per_type: int, graph_bytes: int) -> None:
        self._steps_per_type = steps_per_type
        self._graph_bytes = graph_bytes
        self._paces: dict[str, _Pace] = {}
        self._bytes = 0

    def reserve(self, steps: Mapping[str, int], size_bytes: int, timeout_s: float, now: float) -> None:
        """Reserve room for a run with that many steps on each type of node, to end within `timeout_s`.

        Raises ResourceExhaustedError, which says when to come again, if there is not enough; then nothing is reserved.
        """
        wait_s = sum(self._check(node_type, count, now) for node_type, count in steps.items())
        if wait_s > PATIENCE * timeout_s:
            raise ResourceExhaustedError(
                f"behind those in flight the run would wait for some {wait_s:.1f} s, too long for one of {timeout_s:g} s."
                " Submit again later, or with a longer timeout",
                retry_after_s=min(max(wait_s - PATIENCE * timeout_s, LEAST_RETRY_S), MOST_RETRY_S),
            )
        if self._bytes + size_bytes > self._graph_bytes:
            raise ResourceExhaustedError(
                f"the graphs in flight hold {self._bytes} bytes and this one has {size_bytes} more;"
                f" the limit is {self._graph_bytes}. Submit again later",
                retry_after_s=0.1,
            )
        self.reserve_anyway(steps, size_bytes)

    def reserve_anyway(self, steps: Mapping[str, int], size_bytes: int) -> None:
        """Reserve room for a run that was accepted before, whether there is enough or not."""
        for node_type, count in steps.items():
            pace = self._pace(node_type)
            pace.in_flight += count
            pace.runs += 1
        self._bytes += size_bytes

    def release(self, steps: Mapping[str, int], size_bytes: int, *, done: bool) -> None:
        """Give back what `reserve` took. `done`: the run got what it wanted from the nodes, instead of being stopped."""
        for node_type, count in steps.items():
            self._paces[node_type].release(count, done=done)
        self._bytes -= size_bytes

    def reserved(self) -> int:
        """How many steps have a reservation."""
        return sum(pace.in_flight for pace in self._paces.values())

    def _pace(self, node_type: str) -> _Pace:
        pace = self._paces.get(node_type)
        if pace is None:
            pace = self._paces[node_type] = _Pace()
        return pace

    def _check(self, node_type: str, count: int, now: float) -> float:
        """Return how long that many steps would wait. Raises ResourceExhaustedError if there is no room for them."""
        pace = self._pace(node_type)
        if pace.in_flight + count > self._steps_per_type:
            raise ResourceExhaustedError(
                f"{pace.in_flight} steps are in flight on the {node_type} nodes and this run has {count} more;"
                f" the limit is {self._steps_per_type}. Submit again later",
                retry_after_s=0.1,
            )
        pace.measure(now)
        return pace.wait_s(count)
