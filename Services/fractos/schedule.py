"""Keys by the time at which they are due: the deadlines and expiries of the engine. Pure; it owns no clock."""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Schedule(Generic[Key]):
    """A timer wheel: keys that are due within the same tick are kept together, so adding and removing cost O(1)."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._keys: dict[int, dict[Key, None]] = {}  # dicts keep an order that sets would take from the hash seed
        self._ticks: list[int] = []  # a heap of the keys of `_keys`
        self.next_due = math.inf  # when `pop_due` should be called next

    def add(self, key: Key, due: float) -> None:
        """Have `pop_due` return `key` at `due` or up to a tick later."""
        tick = math.ceil(due / self._tick_s)
        keys = self._keys.get(tick)
        if keys is None:
            self._keys[tick] = {key: None}
            heapq.heappush(self._ticks, tick)
            self.next_due = self._ticks[0] * self._tick_s
        else:
            keys[key] = None

    def discard(self, key: Key, due: float) -> None:
        """Forget a key that was added for `due`."""
        keys = self._keys.get(math.ceil(due / self._tick_s))
        if keys is not None:
            keys.pop(key, None)

    def pop_due(self, now: float) -> list[Key]:
        """Remove and return the keys that are due."""
        due: list[Key] = []
        while self._ticks and self._ticks[0] * self._tick_s <= now:
            due += self._keys.pop(heapq.heappop(self._ticks))
        self.next_due = self._ticks[0] * self._tick_s if self._ticks else math.inf
        return due
