"""Files with secrets, for their owner's eyes only from their first moment on. Used by `keys.py` and `credentials.py`."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from Services.fractos.config import TEMPORARY

OTHERS = 0o077
OTHERS_WRITE = 0o022


def open_to_others(folder: Path) -> int:
    """The mode of a folder in which others could replace files; 0 if they could not. Raises OSError."""
    mode = stat.S_IMODE(folder.stat().st_mode)
    return mode if mode & OTHERS_WRITE else 0


def read_secret(path: Path, most_bytes: int) -> tuple[bytes, int]:
    """Up to so many bytes of a file, and its mode if others could read it, else 0; of what is no file, nothing.

    Both are of the one file that was opened, so that what was checked is what was read. Raises OSError.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe in its place must not be waited for
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        content = file.read(most_bytes) if stat.S_ISREG(mode) else b""
    permissions = stat.S_IMODE(mode)
    return content, permissions if permissions & OTHERS else 0


def publish_secret(path: Path, content: bytes) -> bool:
    """Make a file, all of it and on disk. Returns False if it is there already: then that is left alone. Raises OSError."""
    with _written(path, content) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
    _sync(path.parent)
    return True


def replace_secret(path: Path, content: bytes) -> None:
    """Replace a file at once by one that holds `content`, all of it and on disk. Raises OSError."""
    with _written(path, content) as temporary:
        temporary.replace(path)
    _sync(path.parent)


@contextmanager
def _written(path: Path, content: bytes) -> Iterator[Path]:
    """A file beside `path` that holds `content`; it is gone afterwards unless it was given another name."""
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
