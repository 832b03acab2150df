"""What the system knows about processes, whoever started them, and how they are ended. Used by the record of processes."""

from __future__ import annotations

import time
from collections.abc import Mapping

import psutil

GRACE_S = 5.0  # how long a process may take to stop before it is killed
POLL_S = 0.02
SAME_START_S = 2.0  # the system computes start times from its clock, which may have been set since


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended but was not reaped by its parent does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pid_is_alive(pid: int) -> bool:
    """Whether a process with that id runs."""
    try:
        return is_alive(psutil.Process(pid))
    except (psutil.NoSuchProcess, ValueError):
        return False


def same_process(pid: int, started: float) -> psutil.Process | None:
    """The process with that id if it lives and is the one that started then (Unix time): ids are given out again."""
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < SAME_START_S
    except psutil.NoSuchProcess:
        return None
    return process if same and is_alive(process) else None


def environment_of(process: psutil.Process) -> Mapping[str, str]:
    """The environment that a process was started with; empty where that cannot be told."""
    try:
        return process.environ()
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return {}


def command_of(process: psutil.Process) -> list[str]:
    """The command line of a process; empty where that cannot be told."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def end(processes: list[psutil.Process]) -> None:
    """End processes: ask, wait, kill, wait."""
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            try:
                ask(process)
            except psutil.Error:  # has ended, or cannot be ended: the caller looks again
                continue
        deadline = time.monotonic() + GRACE_S
        while processes and time.monotonic() < deadline:
            processes = [process for process in processes if is_alive(process)]
            time.sleep(POLL_S)
