"""The way from the storage folder down to a file's folder, without following a link, and files below it.

Every step opens the next folder relative to the one before, by descriptor: whoever replaces a folder by a link meanwhile gains
nothing, as a path that was checked and then opened would.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from Services.StorageNode.Node import names

# O_NONBLOCK: opening a pipe must not wait for somebody at its other end.
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
MOST_KNOWN = 10_000  # folders
SETTLED_NS = 100_000_000  # two changes of a folder may have the same time if they are nearer to one another


@contextmanager
def opened(name: str, flags: int = OPEN, *, folder: int | None = None) -> Iterator[int]:
    """Open a file or folder, in the folder with that descriptor, until the block ends. Raises OSError; ELOOP for a link."""
    descriptor = os.open(name, flags, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class OnDisk:
    """Which folders are known to be on disk, their names in those above them included: asking the disk takes a while."""

    def __init__(self) -> None:
        self._known: set[tuple[int, int, int, int]] = set()  # device and inode, inode of the one above and its last change

    def see_to(self, folder: int, above: int) -> None:
        """Return once an open folder is on disk. Raises OSError."""
        status, status_above = os.fstat(folder), os.fstat(above)
        # Whoever makes, removes or renames a folder changes the one above, so a number that is used again is noticed.
        changed_ns = status_above.st_mtime_ns
        if (known := (status.st_dev, status.st_ino, status_above.st_ino, changed_ns)) not in self._known:
            os.fsync(above)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            if time.time_ns() > changed_ns + SETTLED_NS:
                self._known.add(known)


@contextmanager
def descended(root: Path, folders: Sequence[str], *, make: OnDisk | None = None) -> Iterator[int]:
    """Open the folder `root`/`folders` until the block ends. Raises OSError.

    With `make`, those that are missing are made, and all are on disk afterwards, also those that another process made just now.
    """
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in folders:
            if make is not None:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=folder)
            above, folder = folder, os.open(name, OPEN, dir_fd=folder)
            try:
                if make is not None:
                    make.see_to(folder, above)
            finally:
                os.close(above)
        yield folder
    finally:
        os.close(folder)


def walk(folder: int, prefix: str, above: str = "") -> Iterator[str]:
    """Yield the names, relative to `folder`, of the files below it that begin with `prefix`, in no order.

    Left out: links, what is no file, and names that a client could not ask for.
    """
    with os.scandir(folder) as entries:
        for entry in entries:
            name = above + entry.name
            if not names.is_name(name):
                continue
            if entry.is_file(follow_symlinks=False):
                if name.startswith(prefix):
                    yield name
            elif entry.is_dir(follow_symlinks=False) and f"{name}/".startswith(prefix[: len(name) + 1]):
                with suppress(FileNotFoundError), opened(entry.name, folder=folder) as inner:
                    yield from walk(inner, prefix, f"{name}/")


def make_root(root: Path) -> None:
    """Make the storage folder, on disk, if it is not there. Raises OSError."""
    missing = [folder for folder in (root, *root.parents) if not folder.exists()]
    root.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        with opened(str(folder.parent), os.O_RDONLY) as above:
            os.fsync(above)
