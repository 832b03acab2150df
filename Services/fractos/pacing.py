"""When submissions that may wait for room are sent, so that many of them do not run against a full datacenter. Pure.

As TCP does it (RFC 5681): a window bounds how many are sent without knowing whether they are admitted. It halves when one is
refused, at most once for all that were under way by then, and grows when one is admitted: by one up to half of what the last
refusal found, by one per window beyond. After a refusal nothing is sent for a while. Those who were first go first again.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

FIRST_WINDOW = 64.0
ADMITTED_AFTER_S = 0.2  # a refusal comes at once: what is not answered by then was admitted
GROWTH = 1.5  # of the pause, with each refusal in a row
MIN_PAUSE_S = 0.01
MAX_PAUSE_S = 1.0


@dataclass(slots=True)
class _Entry:
    order: int
    sent_at: float = -math.inf
    halvings: int = 0  # of the window when it was sent


class Pacing:
    """The queue of one client. Its caller sends what `due` returns and tells what became of each."""

    def __init__(self, randomness: random.Random) -> None:
        """`randomness` keeps the clients of a full datacenter from coming back at the same moment."""
        self._randomness = randomness
        self._entries: dict[bytes, _Entry] = {}  # by run_id: queued, undecided or admitted
        self._queue: list[tuple[int, bytes]] = []  # a heap of order and run_id
        self._undecided: dict[bytes, None] = {}  # in the order of sending
        self._added = 0
        self._window = FIRST_WINDOW
        self._threshold = math.inf  # beyond this the window grows slowly
        self._halvings = 0
        self._refusals = 0  # in a row
        self._resume_at = -math.inf

    def __len__(self) -> int:
        """How many are queued."""
        return len(self._queue)

    def add(self, run_id: bytes) -> None:
        """Queue a submission behind all others."""
        entry = self._entries[run_id] = _Entry(self._added)
        self._added += 1
        heapq.heappush(self._queue, (entry.order, run_id))

    def due(self, now: float, is_wanted: Callable[[bytes], bool]) -> list[bytes]:
        """Take those to be sent now out of the queue, the first one first; those that are not wanted any more are dropped."""
        while self._undecided and (entry := self._entries[next(iter(self._undecided))]).sent_at + ADMITTED_AFTER_S <= now:
            self._admitted(next(iter(self._undecided)))
        taken = []
        while self._queue and now >= self._resume_at and len(self._undecided) < self._window:
            _, run_id = heapq.heappop(self._queue)
            if is_wanted(run_id):
                entry = self._entries[run_id]
                entry.sent_at, entry.halvings = now, self._halvings
                self._undecided[run_id] = None
                taken.append(run_id)
            else:
                self.forget(run_id)
        return taken

    def next_due(self, now: float) -> float:
        """When `due` may return something that it does not return now; infinity if only an answer can change that."""
        if not self._queue:
            return math.inf
        if now < self._resume_at:
            return self._resume_at
        return self._entries[next(iter(self._undecided))].sent_at + ADMITTED_AFTER_S if self._undecided else now

    def refused(self, run_id: bytes, retry_after_s: float, now: float) -> None:
        """A submission found no room: queue it again, at its old place, and send nothing for `retry_after_s` or longer."""
        entry = self._entries[run_id]
        heapq.heappush(self._queue, (entry.order, run_id))
        found = len(self._undecided)
        self._undecided.pop(run_id, None)
        if entry.halvings < self._halvings:
            return  # it was sent before the window was halved
        self._threshold = self._window = max(1.0, min(self._window, found) / 2)
        self._halvings += 1
        pause_s = min(max(retry_after_s, MIN_PAUSE_S) * GROWTH**self._refusals, MAX_PAUSE_S)
        self._resume_at = now + min(pause_s * self._randomness.uniform(1.0, 1.5), MAX_PAUSE_S)
        self._refusals += 1

    def answered(self, run_id: bytes) -> None:
        """A submission was answered, and so had been admitted."""
        if run_id in self._undecided:
            self._admitted(run_id)
        self.forget(run_id)

    def forget(self, run_id: bytes) -> None:
        """A submission is over, whatever became of it. If it is queued, `due` has to be told that it is not wanted."""
        self._undecided.pop(run_id, None)
        self._entries.pop(run_id, None)

    def lost(self) -> None:
        """Nobody knows what became of those sent, since the connection broke: they are sent again without being queued."""
        self._undecided.clear()

    def _admitted(self, run_id: bytes) -> None:
        del self._undecided[run_id]
        self._refusals = 0
        self._window += 1.0 if self._window < self._threshold else 1.0 / self._window
