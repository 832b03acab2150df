"""Notices changes in a folder, and the death of processes that hold a file in it open. Used by the file directory.

On Linux inotify tells at once; elsewhere, or where a user's inotify instances are used up (128 by default), the folder is
looked at four times a second.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

if sys.platform == "linux":
    from asyncinotify import Inotify, Mask

POLL_S = 0.25

logger = logging.getLogger(__name__)


class Changes(Protocol):
    """Calls a function on the event loop after every change of its folders, and maybe when nothing has changed."""

    def add(self, folder: Path) -> None:
        """Mind another folder too, made if it is missing. Raises OSError if that cannot be."""

    def close(self) -> None:
        """Call it no more."""


def follow_changes(folder: Path, look: Callable[[], None]) -> Changes:
    """Call `look` after every change of `folder`, by the quickest means that there is. Makes the folder if it is missing."""
    if sys.platform == "linux":
        try:
            return InotifyChanges(folder, look)
        except OSError as error:
            logger.warning("no inotify for %s (%s); looking every %g s instead", folder, error, POLL_S)
    return PollingChanges(folder, look)


class PollingChanges:
    """Looks four times a second."""

    def __init__(self, folder: Path, look: Callable[[], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._look = look
        self._timer = asyncio.get_running_loop().call_later(POLL_S, self._tick)

    def add(self, folder: Path) -> None:
        """Make the folder: all of them are looked at together."""
        folder.mkdir(parents=True, exist_ok=True)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(POLL_S, self._tick)
        self._look()

    def close(self) -> None:
        """Look no more."""
        self._timer.cancel()


class InotifyChanges:
    """Looks when the kernel reports that a file was moved in, deleted, or closed by one that could write to it."""

    def __init__(self, folder: Path, look: Callable[[], None]) -> None:
        """Begin to watch. Raises OSError if the kernel grants no more watches."""
        self._folders = [folder]
        self._look = look
        self._loop = asyncio.get_running_loop()
        self._second_look: asyncio.TimerHandle | None = None
        self._inotify = Inotify(sync_timeout=0)
        try:
            self._watch_folder(folder)
        except OSError:
            self._inotify.close()
            raise
        self._loop.add_reader(self._inotify.fd, self._on_events)

    def add(self, folder: Path) -> None:
        """Watch another folder, made if it is missing. Raises OSError if the kernel grants no more watches."""
        self._watch_folder(folder)
        self._folders.append(folder)

    def close(self) -> None:
        """Look no more."""
        self._loop.remove_reader(self._inotify.fd)
        self._inotify.close()
        if self._second_look is not None:
            self._second_look.cancel()

    def _watch_folder(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._inotify.add_watch(folder, Mask.MOVED_TO | Mask.DELETE | Mask.CLOSE_WRITE | Mask.EXCL_UNLINK)

    def _on_events(self) -> None:
        masks = [event.mask for event in self._inotify]
        if any(Mask.IGNORED in mask for mask in masks):  # a folder itself was deleted, and the watch with it
            for folder in self._folders:
                self._watch_folder(folder)
        self._look()
        if any(Mask.CLOSE_WRITE in mask for mask in masks):
            self._look_again(0.001)

    def _look_again(self, delay_s: float) -> None:
        """Look a few more times within half a second: the kernel reports a close just before it drops the file's locks."""
        if self._second_look is not None:
            self._second_look.cancel()
        if delay_s < 0.5:
            self._second_look = self._loop.call_later(delay_s, self._look_once_more, delay_s)

    def _look_once_more(self, delay_s: float) -> None:
        self._look()
        self._look_again(2 * delay_s)
