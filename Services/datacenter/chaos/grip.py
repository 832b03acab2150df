"""A hold on one process that the datacenter has started: signals reach that process and never another one."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

import psutil

from Services.datacenter.processes import ProcessEntry, is_node, is_server
from Services.datacenter.system import same_process


class Grip:
    """Holds a recorded process by a descriptor, which keeps meaning it after its id was given to another."""

    def __init__(self, entry: ProcessEntry, process: psutil.Process, descriptor: int | None) -> None:
        self.entry = entry
        self._process = process
        self._descriptor = descriptor

    @classmethod
    def take(cls, entry: ProcessEntry) -> Grip | None:
        """Take hold of the process of a node or a ZooKeeper server; None if it is gone, or never was the recorded one."""
        if not is_node(entry.name) and not is_server(entry.name):
            return None
        descriptor = None
        if sys.platform == "linux":
            try:
                descriptor = os.pidfd_open(entry.pid)
            except OSError:
                return None
        # After the descriptor was opened: what it means can then not have changed since the look at the start time.
        process = same_process(entry.pid, entry.started)
        if process is None:
            _close(descriptor)
            return None
        return cls(entry, process, descriptor)

    def send(self, number: signal.Signals) -> bool:
        """Send a signal. Returns whether the process was still there, and still the one that was recorded."""
        if same_process(self.entry.pid, self.entry.started) is None:
            return False
        try:
            if sys.platform == "linux" and self._descriptor is not None:
                signal.pidfd_send_signal(self._descriptor, number)
            else:
                self._process.send_signal(number)
        except (OSError, psutil.Error):
            return False
        return True

    def close(self) -> None:
        """Let go."""
        _close(self._descriptor)
        self._descriptor = None


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        with suppress(OSError):
            os.close(descriptor)
