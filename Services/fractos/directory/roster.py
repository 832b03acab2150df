"""The members of a directory as last seen, and who wants to hear of changes. Used by every kind of directory."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from Services.fractos.directory.interface import Member, Watcher

logger = logging.getLogger(__name__)


class Roster:
    """A snapshot of the members that calls its watchers when it is replaced by another one."""

    def __init__(self) -> None:
        self.members: tuple[Member, ...] = ()
        self._watchers: list[Watcher] = []

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` with the members now, and again after every change."""
        self._watchers.append(watcher)
        watcher(self.members)

    def replace(self, members: Iterable[Member]) -> None:
        """Take a new snapshot and sort it; tell the watchers if it differs."""
        snapshot = tuple(sorted(members, key=lambda member: (member.node_type, member.sequence)))
        if snapshot == self.members:
            return
        self.members = snapshot
        for watcher in self._watchers:
            try:
                watcher(snapshot)
            except Exception:  # one watcher's defect must not keep the news from the others
                logger.exception("a watcher of the directory failed")
