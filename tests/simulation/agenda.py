"""Virtual time: what is due when. What is due at the same moment happens in the order in which it was asked for."""

from __future__ import annotations

import heapq
from collections.abc import Callable

START = 1_700_000_000.0  # Unix time at which every simulation begins

Action = Callable[[], None]


class Agenda:
    """The one clock of a simulated datacenter."""

    def __init__(self) -> None:
        self.now = START
        self._due: list[tuple[float, int, Action]] = []
        self._sequence = 0

    def after(self, delay_s: float, action: Action) -> None:
        """Do something later; a negative delay counts as none."""
        self._sequence += 1
        heapq.heappush(self._due, (self.now + max(0.0, delay_s), self._sequence, action))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while self._due and self._due[0][0] <= until:
            self.now, _, action = heapq.heappop(self._due)
            action()
        self.now = until
