"""Kills a process at a chosen one of its system calls: with ptrace, on Linux. For programs with one thread."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable

_TRACE_ME, _CONTINUE_TO_SYSTEM_CALL = 0, 24  # of linux/ptrace.h

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


def can_trace() -> bool:
    """Whether this system lets a process trace its children."""
    try:
        return sys.platform == "linux" and killed_at(1, os.getpid)
    except (OSError, RuntimeError):
        return False


def killed_at(call: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child process, and kill -9 that right before its system call of that number, from 1 on.

    Returns False if it had ended by then. Raises RuntimeError if the action fails, or if tracing is not permitted.
    """
    child = os.fork()
    if child == 0:
        _be_traced(action)
    _, status = os.waitpid(child, 0)
    for _ in range(2 * call - 1):  # it stops before and after each
        if not os.WIFSTOPPED(status):
            break
        _ptrace(_CONTINUE_TO_SYSTEM_CALL, child)
        _, status = os.waitpid(child, 0)
    if os.WIFSTOPPED(status):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return True
    if status:
        raise RuntimeError(f"the process ended with the status {status:#x}")
    return False


def _be_traced(action: Callable[[], object]) -> None:
    """What the child does. Never returns: the rest of the program is its parent's."""
    try:
        _ptrace(_TRACE_ME, 0)
        os.kill(os.getpid(), signal.SIGSTOP)
        action()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _ptrace(request: int, process: int) -> None:
    if _libc.ptrace(request, process, None, None) == -1:
        raise OSError(ctypes.get_errno(), "ptrace is not permitted")
