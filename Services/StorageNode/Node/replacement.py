"""How a file gets new contents: as a whole, under a temporary name beside it, which is then renamed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from Services.fractos.errors import ResourceExhaustedError
from Services.StorageNode.Node import names
from Services.StorageNode.Node.folders import OPEN, opened

MAX_FILE_BYTES = 64 * 1024 * 1024  # what may travel as one value


def too_large(what: str, size_bytes: int, field: str) -> ResourceExhaustedError:
    """The error for more than MAX_FILE_BYTES; `field` is the argument that it came from."""
    return ResourceExhaustedError(f"{what} is {size_bytes:,} bytes; the limit is {MAX_FILE_BYTES:,}, split it", field=field)


@contextmanager
def temporary(folder: int, give_up: Callable[[str], object] = lambda name: None) -> Iterator[tuple[str, int]]:
    """Make a file that is invisible to clients; yield its name and descriptor.

    If the block raises while the file still has that name, `give_up(name)` is called and then the file is removed. Its lock
    says that somebody is still writing it. A process that starts meanwhile may have seen the file in the moment before it was
    locked, and removed it: then there is no name left to it, and another is made.
    """
    while True:
        name = names.temporary()
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                yield name, descriptor
                return
        except BaseException:
            if exists(name, folder):
                give_up(name)
                remove(name, folder)
            raise
        finally:
            os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data` at the present position of an open file."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def exists(name: str, folder: int) -> bool:
    """Whether a folder has an entry of that name."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def remove(name: str, folder: int) -> None:
    """Remove a file if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def remove_abandoned(name: str, folder: int, is_needed: Callable[[str], bool]) -> None:
    """Remove a temporary file unless somebody is still writing it, or it is needed all the same.

    Raises OSError; one that cannot be removed does no harm, since nobody sees it.
    """
    with opened(name, OPEN, folder=folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_needed(name):  # asked with the lock in hand: its writer is gone, so the answer stays
            os.unlink(name, dir_fd=folder)
