"""The clients that keep the datacenter busy. Each runs in a thread of its own, with a connection of its own."""

from __future__ import annotations

from pathlib import Path
from random import Random
from threading import Event

from Services.datacenter.chaos.checker import Checker
from Services.datacenter.chaos.outages import Outages
from Services.datacenter.chaos.work import do
from Services.datacenter.chaos.workload import CLIENT, Workload
from Services.fractos import connect

PAUSE_S = 0.04  # between two runs, at most: the faults are to be felt, not the load
REFUSED_PAUSE_S = 0.2  # after a run that could not be submitted


class Client:
    """One client, which does one run after the other."""

    def __init__(self, workload: Workload, checker: Checker, outages: Outages, rng: Random) -> None:
        self._workload = workload
        self._checker = checker
        self._outages = outages
        self._rng = rng

    def run(self, root: Path, stop: Event) -> None:
        """Run until told to stop, and to the end of the run that is on its way then."""
        with connect(root, client_id=CLIENT) as datacenter:
            while not stop.is_set():
                ended = do(self._workload.next(), datacenter, self._outages)
                self._checker.judge(ended)
                refused = ended.status == "UNAVAILABLE" and ended.definite
                stop.wait(REFUSED_PAUSE_S if refused else self._rng.uniform(0, PAUSE_S))
