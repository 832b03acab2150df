"""What one page has still to be told. It never grows: what the page has not taken is replaced or, past a bound, left out.

A page asks for each message, once it has shown the one before. So one that is slow, hidden or forgotten over night gets less,
and nothing waits for it here or in a socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

MOST_MOVES = 240
MOST_NOTICES = 40
AWAY_S = 15.0  # without asking: nobody looks

Json = dict[str, Any]


class Mailbox:
    """Of one page. Lives on an event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._parts: Json = {}
        self._moves: list[Json] = []
        self._notices: list[Json] = []
        self._wanted = False
        self._asked_at = clock()
        self._ready = asyncio.Event()

    @property
    def is_away(self) -> bool:
        """Whether the page has not asked for a long time: it is hidden, or its computer sleeps."""
        return not self._wanted and self._clock() - self._asked_at > AWAY_S

    def ask(self) -> None:
        """The page can take a message."""
        self._wanted = True
        self._asked_at = self._clock()
        self._wake()

    def put(self, part: str, content: Any) -> None:
        """What a part of the page is to show; what it was to show before is no longer of interest."""
        self._parts[part] = content
        self._wake()

    def move(self, moves: Iterable[Json]) -> None:
        """What runs have done, in order. Only the last are kept."""
        self._moves = [*self._moves, *moves][-MOST_MOVES:]
        self._wake()

    def note(self, notices: Iterable[Json]) -> None:
        """What has happened, for people to read. Only the last are kept."""
        self._notices = [*self._notices, *notices][-MOST_NOTICES:]
        self._wake()

    async def take(self) -> Json:
        """Wait until there is something and the page wants it, and take it all."""
        while not (self._wanted and self._has_something()):
            self._ready.clear()
            await self._ready.wait()
        message = dict(self._parts)
        if self._moves:
            message["moves"] = self._moves
        if self._notices:
            message["notices"] = self._notices
        self._parts, self._moves, self._notices, self._wanted = {}, [], [], False
        self._asked_at = self._clock()
        return message

    def _has_something(self) -> bool:
        return bool(self._parts or self._moves or self._notices)

    def _wake(self) -> None:
        self._ready.set()
