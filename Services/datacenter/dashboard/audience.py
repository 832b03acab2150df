"""All pages that are open: what is told to one is told to all, and who comes later gets what still counts."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from Services.datacenter.dashboard.mailbox import MOST_NOTICES, Json, Mailbox

MOST_PAGES = 16


class Audience:
    """Lives on an event loop."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._pages: set[Mailbox] = set()
        self._last: Json = {}
        self._notices: deque[Json] = deque(maxlen=MOST_NOTICES)

    @property
    def is_looking(self) -> bool:
        """Whether anybody looks."""
        return any(not page.is_away for page in self._pages)

    @property
    def is_full(self) -> bool:
        """Whether there are as many pages as there may be."""
        return len(self._pages) >= MOST_PAGES

    def join(self, page: Mailbox) -> None:
        """A page is open."""
        self._pages.add(page)
        for part, content in self._last.items():
            page.put(part, content)
        page.note(self._notices)

    def leave(self, page: Mailbox) -> None:
        """A page is closed."""
        self._pages.discard(page)

    def put(self, part: str, content: Any) -> None:
        """What a part of every page is to show."""
        self._last[part] = content
        for page in self._pages:
            page.put(part, content)

    def move(self, moves: Iterable[Json]) -> None:
        """What runs have done."""
        told = list(moves)
        for page in self._pages if told else ():
            page.move(told)

    def note(self, texts: Iterable[str]) -> None:
        """What has happened, for people to read."""
        notices = [{"at": self._clock(), "text": text} for text in texts]
        self._notices.extend(notices)
        for page in self._pages if notices else ():
            page.note(notices)
