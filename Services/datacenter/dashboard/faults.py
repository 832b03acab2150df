"""Kills, stops, continues and restarts nodes, as the page asks. Only what `up` has started, and only for the same user.

A signal reaches the process that was recorded and never another one (see `chaos/grip.py`); a start is made as the supervisor
makes it, under the launcher's lock. Calls block: they are made off the event loop, one at a time.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil

from Services.datacenter import layout
from Services.datacenter.chaos.grip import Grip
from Services.datacenter.dashboard.picture import Process
from Services.datacenter.lock import exclusive_now
from Services.datacenter.processes import ProcessEntry, Processes, is_node
from Services.datacenter.system import end, same_process
from Services.fractos.config import Configuration
from Services.fractos.errors import FailedPreconditionError, NotFoundError, PermissionDeniedError

LOCK_S = 5.0  # how long another launcher may be at work
POLL_S = 0.1


class Faults:
    """What the page does to the processes of one datacenter."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stopped: dict[str, ProcessEntry] = {}  # by this page, and not continued since

    def kill(self, name: str) -> str:
        """kill -9."""
        self._send(name, signal.SIGKILL)
        return f"{name} was killed"

    def stop(self, name: str) -> str:
        """Have a process do nothing, without knowing it."""
        self._stopped[name] = self._send(name, signal.SIGSTOP)
        return f"{name} was stopped"

    def go_on(self, name: str) -> str:
        """Have a process that was stopped go on."""
        self._send(name, signal.SIGCONT)
        self._stopped.pop(name, None)
        return f"{name} goes on"

    def restart(self, configuration: Configuration, name: str) -> str:
        """Stop a node as `down` does, if it lives, and start it as it was started before."""
        with self._alone():
            processes = Processes(self._root)
            entry = _entry_of(processes, name)
            if layout.process_record(self._root).stat().st_uid != os.geteuid():
                raise PermissionDeniedError(f"{name} was started by another user: only that user may start it again")
            if process := same_process(entry.pid, entry.started):
                _check_owner(process, name)
                process.send_signal(signal.SIGCONT)  # else it cannot end itself
                end([process])
            settings = configuration.controller(name.rpartition("-")[0])
            processes.start_again(replace(entry, supervised=settings is not None and settings.restart))
        self._stopped.pop(name, None)
        return f"{name} was started"

    def close(self) -> None:
        """Have what was stopped go on."""
        for entry in self._stopped.values():
            if grip := Grip.take(entry):
                grip.send(signal.SIGCONT)
                grip.close()

    def _send(self, name: str, number: signal.Signals) -> ProcessEntry:
        entry = _entry_of(Processes(self._root), name)
        grip = Grip.take(entry)
        if grip is None:
            raise FailedPreconditionError(f"{name} is dead already; start it again")
        try:
            if process := same_process(entry.pid, entry.started):
                _check_owner(process, name)
            if not grip.send(number):
                raise FailedPreconditionError(f"{name} has ended meanwhile")
        finally:
            grip.close()
        return entry

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep launchers and the supervisor out."""
        patient_until = time.monotonic() + LOCK_S
        while True:
            with exclusive_now(layout.lock_file(self._root)) as held:
                if held:
                    yield
                    return
            if time.monotonic() > patient_until:
                raise FailedPreconditionError("a launcher is at work in this datacenter; wait for its end, then try again")
            time.sleep(POLL_S)


def processes_of(living: Mapping[str, ProcessEntry]) -> dict[str, Process]:
    """What the system says of the processes that were recorded and live."""
    return {name: _look_at(entry) for name, entry in living.items()}


def _look_at(entry: ProcessEntry) -> Process:
    try:
        process = psutil.Process(entry.pid)
        stopped = process.status() == psutil.STATUS_STOPPED
        return Process(ours=process.uids().effective == os.geteuid(), stopped=stopped)
    except psutil.Error:  # it has just ended
        return Process()


def _entry_of(processes: Processes, name: str) -> ProcessEntry:
    entry = processes.entries.get(name)
    if entry is None or not is_node(name):
        raise NotFoundError(f"`up` has started no node {name!r}; what was started by hand is stopped by hand")
    return entry


def _check_owner(process: psutil.Process, name: str) -> None:
    if process.uids().effective != os.geteuid():
        raise PermissionDeniedError(f"{name} belongs to {process.username()}: only that user may stop it")
