"""The process of an owner: how a record names it, whether it still runs, and how a silent one is made to let go.

A process id is given to another process later, so it counts only together with the start time of the process, in clock ticks
since the boot of its host, which no change of the clock moves. Used by `Services/fractos/ownership.py`. Processes are told
apart and ended on Linux only, where a descriptor of a process makes a signal safe; elsewhere nothing is said about them.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from Services.fractos.errors import FailedPreconditionError

_PROC = Path("/proc")
_UNSAFE = "this system cannot end a process without the risk of hitting another one"


@dataclass(frozen=True)
class ProcessName:
    """One process, unlike every other one, also of other times and hosts."""

    pid: int
    started: int  # clock ticks since boot; 0 where that cannot be told
    host: str  # where `pid` has a meaning: the boot and the namespace of process ids; empty where that cannot be told


def name_process(pid: int) -> ProcessName:
    """The name of the living process with that id on this host."""
    return ProcessName(pid, _started(pid) or 0, _host())


def is_gone(process: ProcessName) -> bool:
    """Whether a process has certainly ended. One of another host or container is never certain."""
    try:
        return bool(process.host) and process.host == _host() and _started(process.pid) != process.started
    except OSError:  # hidden from this user
        return False


class SilentProcess:
    """A process that is to let go of the lock file `lock`: asked by `ask_to_yield()`, forced by `kill()`."""

    def __init__(self, process: ProcessName, lock: Path) -> None:
        """Raises FailedPreconditionError if it may not be ended; ProcessLookupError if it has ended."""
        if not _host():
            raise FailedPreconditionError(_UNSAFE)
        if process.host != _host():
            raise FailedPreconditionError("it belongs to another host or container, or to the time before the last boot")
        # The descriptor comes first: whatever is checked after it is checked of the very process that the signal reaches.
        self._descriptor = _open_process(process.pid)
        try:
            _check(process, lock)
        except BaseException:
            self.close()
            raise

    def ask_to_yield(self) -> None:
        """Send SIGUSR2, at which a node exits at once."""
        self._send(signal.SIGUSR2)

    def kill(self) -> None:
        """Send SIGKILL, which ends a stopped process too."""
        self._send(signal.SIGKILL)

    def close(self) -> None:
        """Forget the process."""
        os.close(self._descriptor)

    def _send(self, number: signal.Signals) -> None:
        if sys.platform != "linux":
            return
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return  # it has ended, which is what was wanted
        except PermissionError as error:
            raise FailedPreconditionError("the system does not let this user end it") from error


def _open_process(pid: int) -> int:
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):  # which a Python for old kernels lacks
        raise FailedPreconditionError(_UNSAFE)
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError as error:
        raise FailedPreconditionError(f"the system does not let this user end it ({error.strerror})") from error


def _check(process: ProcessName, lock: Path) -> None:
    if is_gone(process):
        raise ProcessLookupError(f"process {process.pid} has ended")
    if process.pid == os.getpid():
        raise FailedPreconditionError("it is this very process")
    if not _has_open(process.pid, lock):
        raise FailedPreconditionError(f"it does not have {lock} open, so another process holds the lock")


def _has_open(pid: int, file: Path) -> bool:
    """Whether a process has a file open. Raises FailedPreconditionError if this user may not know, ProcessLookupError."""
    try:
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                # The name comes first: to look closer at a file of a server that is gone would take for ever.
                if descriptor.readlink().name == file.name and descriptor.samefile(file):
                    return True
    except FileNotFoundError as error:
        raise ProcessLookupError(f"process {pid} has ended") from error
    except OSError as error:
        raise FailedPreconditionError(f"this user may not see which files it has open ({error.strerror})") from error
    return False


def _started(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it is not there, or has ended and was not reaped."""
    try:
        # The name of the program comes second, in parentheses, and may hold anything. See proc_pid_stat(5).
        after_name = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in {"Z", "X"} else int(after_name[19])


def boot_id() -> str:
    """Which start of the machine this is; empty where that is not known."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _host() -> str:
    try:
        namespace = (_PROC / "self/ns/pid").readlink()
    except OSError:
        return ""
    boot = boot_id()
    return f"{boot} {namespace}" if boot else ""
