"""One launcher at a time: the lock that every command that starts or stops something holds, and the supervisor too."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from Services.fractos.errors import FailedPreconditionError

PATIENCE_S = 900.0  # longer than a first set-up with its training takes
POLL_S = 0.1
TOLD_AFTER_S = 1.0  # the supervisor has it for moments only


@contextmanager
def exclusive(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock file `path`, waiting while another process holds it, which `say` is told once.

    The kernel drops the lock with the process, however that dies. Raises FailedPreconditionError after 15 minutes, and if the
    file cannot be written.
    """
    with _open(path) as file:
        _acquire(file.fileno(), path, say)
        with contextlib.suppress(OSError):  # a full disk keeps nobody from `down`
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), str(os.getpid()).encode())
        yield


@contextmanager
def exclusive_now(path: Path) -> Iterator[bool]:
    """Hold the lock file `path` if nobody else does; gives whether that is so. Raises FailedPreconditionError as above."""
    with _open(path) as file:
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _open(path: Path) -> TextIO:
    """The lock file; a child does not keep the lock, since Python closes its descriptors when another program is executed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="ascii")
    except OSError as error:
        raise FailedPreconditionError(
            f"cannot write {path}, the lock of this datacenter's launchers ({error.strerror}); make the folder writable,"
            " or copy the datacenter's folder to where you may write and name it with --path"
        ) from error


def _acquire(descriptor: int, path: Path, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = path.read_text(encoding="ascii") or "unknown"
            if time.monotonic() - began > PATIENCE_S:
                raise FailedPreconditionError(
                    f"another launcher (process {holder}) has been at work in this datacenter for {PATIENCE_S:.0f} s;"
                    " wait for it or end it, then try again"
                ) from error
            if not told and time.monotonic() - began > TOLD_AFTER_S:
                say(f"waiting for another launcher (process {holder}) that is at work in this datacenter")
                told = True
            time.sleep(POLL_S)
        else:
            return
