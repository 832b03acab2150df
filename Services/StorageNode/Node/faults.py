"""What the operating system says when it refuses something, in the words of the tree of errors."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from Services.fractos.errors import (
    DataLossError,
    FailedPreconditionError,
    FractosError,
    InternalError,
    InvalidArgumentError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnavailableError,
)

_LINK = "is a link or lies behind one, and links are not followed; store the file itself there"
_NOT_PERMITTED = "the storage node's user may not do that; change owner or permissions"

# errno → the error, and what to tell
_ABOUT_THE_NAME: dict[int, tuple[type[FractosError], str]] = {
    errno.ELOOP: (PermissionDeniedError, _LINK),
    errno.ENOTDIR: (FailedPreconditionError, "lies below a file as if that were a folder; choose another name"),
    errno.EISDIR: (FailedPreconditionError, "is a folder; name a file in it"),
    errno.ENXIO: (FailedPreconditionError, "is not a file, but a pipe, socket or device"),
    errno.ENAMETOOLONG: (InvalidArgumentError, "is longer than the file system of the storage folder allows"),
    errno.EILSEQ: (InvalidArgumentError, "has characters that the file system of the storage folder does not allow"),
}
_ABOUT_THE_NODE: dict[int, tuple[type[FractosError], str]] = {
    errno.ENOENT: (FailedPreconditionError, "the storage folder is gone; make or mount it again"),
    errno.EEXIST: (FailedPreconditionError, "there is a file where the storage folder should be; move it away"),
    errno.EACCES: (PermissionDeniedError, _NOT_PERMITTED),
    errno.EPERM: (PermissionDeniedError, _NOT_PERMITTED),
    errno.EROFS: (FailedPreconditionError, "the disk is read-only; mount it for writing"),
    errno.ENOSPC: (ResourceExhaustedError, "the disk is full; delete something"),
    errno.EDQUOT: (ResourceExhaustedError, "the disk quota is used up; delete something"),
    errno.EFBIG: (ResourceExhaustedError, "the file would be larger than the process may write (ulimit -f)"),
    errno.EMFILE: (ResourceExhaustedError, "the storage node has too many files open (ulimit -n); try again later"),
    errno.ENFILE: (ResourceExhaustedError, "the host has too many files open; try again later"),
    errno.EIO: (DataLossError, "the disk reports an error; check it"),
}

# What SQLite says, which hides the errno. Its codes are in Python from 3.11 on only, and its texts have never changed.
_DAMAGED = "it is damaged; stop the node and move it away (steps of runs under way may then be done twice)"
_ABOUT_THE_DATABASE: dict[str, tuple[type[FractosError], str]] = {
    "database or disk is full": (ResourceExhaustedError, "the disk is full; delete something"),
    "database is locked": (UnavailableError, "another process uses it; try again later"),
    "database disk image is malformed": (DataLossError, _DAMAGED),
    "file is not a database": (DataLossError, _DAMAGED),
}
_DATABASE_FILES = 3  # the database, its log and its index of the log


@contextmanager
def translated(shown: str, field: str = "", *, definite: bool = True) -> Iterator[None]:
    """Raise the operating system's errors as errors of the tree that name `shown`.

    `field` is the argument that `shown` came from. `definite=False`: what was asked for may have happened all the same.
    """
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        if number in _ABOUT_THE_NAME:
            kind, text = _ABOUT_THE_NAME[number]
            raise kind(f"{shown} {text}", field=field, definite=definite) from error
        kind, text = _ABOUT_THE_NODE.get(number, (InternalError, "an error that was not expected"))
        raise kind(f"{shown}: {text} ({error.strerror})", definite=definite) from error


def check_is_file(mode: int) -> None:
    """Raise the OSError that stands for anything but a regular file; `mode` is a `st_mode`."""
    if stat.S_ISREG(mode):
        return
    number = errno.ELOOP if stat.S_ISLNK(mode) else errno.EISDIR if stat.S_ISDIR(mode) else errno.ENXIO
    raise OSError(number, "not a regular file")


@contextmanager
def translated_database(path: Path, *, definite: bool = True) -> Iterator[None]:
    """Raise SQLite's errors about the database in that file as errors of the tree. The connection must be closed by then.

    `definite=False`: what was asked for may have happened all the same.
    """
    try:
        yield
    except sqlite3.Error as error:
        if str(error) not in _ABOUT_THE_DATABASE:
            with translated(str(path), definite=definite):
                _open_as_sqlite_does(path)
        kind, text = _ABOUT_THE_DATABASE.get(str(error), (DataLossError, "it cannot be used; check the disk, and ulimit -f"))
        raise kind(f"{path}: {text} ({error})", definite=definite) from error


def _open_as_sqlite_does(path: Path) -> None:
    """Raise the OSError, if there is one, that keeps SQLite from a database."""
    with ExitStack() as stack:
        for _ in range(_DATABASE_FILES):
            stack.callback(os.close, os.open(path, os.O_RDWR | os.O_CREAT, 0o666))
