"""Runs by the clock: what is counted, and what becomes of one that fails."""

from __future__ import annotations

import sys
import threading
from typing import cast

import pytest

from Services.datacenter.bench.open_loop import latencies_ms
from Services.fractos import Datacenter, TaskGraph
from Services.fractos.errors import UnavailableError


class Runs:
    """In place of a Datacenter: runs end as they are asked for, or, if there is a gate, once it is open."""

    def __init__(self, gate: threading.Event | None = None, failing: int = -1) -> None:
        self.submitted = 0
        self._gate, self._failing = gate, failing

    def submit(self, graph: TaskGraph, *, wait: bool) -> Result:
        """The gate opens with the tenth: whoever waited for the first before would never get there."""
        self.submitted += 1
        if self._gate and self.submitted == 10:
            self._gate.set()
        return Result(self._gate, self.submitted == self._failing)


class Result:
    """One of these runs."""

    def __init__(self, gate: threading.Event | None, fails: bool) -> None:
        self._gate, self._fails = gate, fails

    def result(self) -> None:
        """As Run's."""
        assert self._gate is None or self._gate.wait(10)
        if self._fails:
            raise UnavailableError("math-0 is away")


def test_runs_are_submitted_whatever_becomes_of_those_before() -> None:
    runs, before = Runs(threading.Event()), sys.getswitchinterval()
    took = latencies_ms(cast(Datacenter, runs), TaskGraph("any"), per_second=1000, seconds=0.01)
    assert runs.submitted == len(took) == 10
    assert sys.getswitchinterval() == before


def test_a_run_that_fails_is_told_of() -> None:
    with pytest.raises(UnavailableError, match="math-0 is away"):
        latencies_ms(cast(Datacenter, Runs(failing=3)), TaskGraph("any"), per_second=10_000, seconds=0.001)


def test_one_run_at_least() -> None:
    assert len(latencies_ms(cast(Datacenter, Runs()), TaskGraph("any"), per_second=1, seconds=0.1)) == 1
