"""Runs that are submitted all the time, one stream of them for each type of node, to see when the datacenter works again."""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from threading import Event
from typing import Any

from Services.datacenter.chaos.checker import LOST, OK, Checker, Ended, Violation
from Services.datacenter.chaos.outages import Outages
from Services.datacenter.chaos.recovery import Recovery
from Services.datacenter.chaos.work import HOME, Work, ended_badly, ended_well, is_lost
from Services.datacenter.chaos.workload import CLIENT
from Services.fractos import Datacenter, FractosError, Result, Run, TaskGraph, connect

EVERY_S = 0.05
POLL_S = 0.005
TIMEOUT_S = 5.0
MOST_OPEN = 200  # runs of one stream that have not ended


class Probe:
    """The stream of runs that need nodes of one type."""

    def __init__(self, node_type: str, work: Work, recovery: Recovery, checker: Checker, outages: Outages) -> None:
        self._type = node_type
        self._work = work
        self._recovery = recovery
        self._checker = checker
        self._outages = outages
        self._open: list[tuple[Run, float]] = []

    def run(self, root: Path, stop: Event) -> None:
        """Submit until told to stop, then wait for what is open. Called in a thread of its own."""
        with connect(root, client_id=CLIENT) as datacenter:
            due = time.monotonic()
            while not stop.is_set():
                if time.monotonic() >= due and len(self._open) < MOST_OPEN:
                    due = time.monotonic() + EVERY_S
                    self._submit(datacenter)
                self._collect()
                time.sleep(POLL_S)
            while self._open:
                self._collect()
                time.sleep(POLL_S)

    def _submit(self, datacenter: Datacenter) -> None:
        asked_at = time.monotonic()
        try:
            self._open.append((datacenter.submit(self._work.graph, timeout_s=self._work.timeout_s), asked_at))
        except FractosError as error:
            self._checker.judge(ended_badly(self._work, error, asked_at))

    def _collect(self) -> None:
        for run, asked_at in [one for one in self._open if one[0].done()]:
            self._open.remove((run, asked_at))
            try:
                ended = ended_well(self._work, run.result(), asked_at)
            except FractosError as error:
                ended = ended_badly(self._work, error, asked_at)
            self._checker.judge(ended)
            if ended.status == OK:
                self._recovery.probe(self._type, asked_at, ended.ended_at)
        now = time.monotonic()
        for run, asked_at in [one for one in self._open if is_lost(one[1] + TIMEOUT_S, now, self._outages)]:
            self._open.remove((run, asked_at))
            self._checker.judge(
                Ended(self._work.kind, self._work.needs, asked_at, now, LOST, detail=f"run {run.run_id}", probe=True)
            )


def works(types: Collection[str], probe_file: str, picture: Any) -> dict[str, Work]:
    """The work of the probes by type. `picture`: what `predict` gets, if there is a network; `probe_file` holds 1."""
    made = {}
    if "math" in types:
        graph = TaskGraph("chaos probe math")
        made["math"] = _work("math", graph, graph.math.shift_left(value=1, bits=0))
    if "storage" in types:
        graph = TaskGraph("chaos probe storage")
        made["storage"] = _work("storage", graph, graph.storage.read_integer(client_id=CLIENT, name=probe_file))
    if picture is not None:
        graph = TaskGraph("chaos probe cnn")
        graph.cnn.predict(image=picture)
        made["cnn"] = Work("probe cnn", graph, frozenset({"cnn"}), lambda result, at: [], timeout_s=TIMEOUT_S, probe=True)
    return {HOME: made["math" if "math" in made else "storage"], **made}


def _work(node_type: str, graph: TaskGraph, step: Any) -> Work:
    def judge(result: Result, asked_at: float) -> list[Violation]:
        value = result[step].value
        return [] if value == 1 else [Violation("wrong", f"the probe of {node_type} answered {value}; right is 1")]

    return Work(f"probe {node_type}", graph, frozenset({node_type}), judge, timeout_s=TIMEOUT_S, probe=True)
