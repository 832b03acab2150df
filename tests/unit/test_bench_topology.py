"""What `bench topology` does when something cannot be measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy
import pytest

from Services.datacenter.bench import topology
from Services.datacenter.bench.context import Context, Model
from Services.datacenter.bench.measuring import summarize
from Services.datacenter.bench.options import Options
from Services.datacenter.bench.own_datacenter import OwnDatacenter
from Services.datacenter.bench.results import Row
from Services.datacenter.bench.rules import Link
from Services.datacenter.bench.workloads import Workload
from Services.fractos.errors import FailedPreconditionError, UnavailableError


class Connection:
    """Takes arrays, and does not run."""

    def memory(self, value: numpy.ndarray, *, node: str) -> numpy.ndarray:
        """The array itself."""
        return value


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A quick one, whose datacenters are not started and which has no TensorFlow."""

    @contextmanager
    def running(*_: object, **__: object) -> Iterator[OwnDatacenter]:
        yield OwnDatacenter(tmp_path, Connection(), 0.0)  # type: ignore[arg-type]

    def untrained(_: object) -> Path:
        raise FailedPreconditionError("no TensorFlow here")

    monkeypatch.setattr(topology, "running", running)
    monkeypatch.setattr(Model, "folder", property(untrained))
    options = Options(("topology",), tmp_path, None, 0.05, quick=True, nodes=5)
    return Context("topology", options, Model(tmp_path), lambda said: None)


def test_a_cell_that_fails_is_told_of_and_the_others_are_kept(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    links: list[Link] = []

    def set_network(_: Path, link: Link) -> None:
        links.append(link)
        if len(links) == 1:
            raise UnavailableError("math-3 has not confirmed")

    def compare(_: object, __: object, workload: Workload, *___: Any) -> tuple[list[Row], list[str]]:
        asked.append((workload.devices, workload.size_bytes))
        if len(asked) == 2:
            raise UnavailableError("math-1 is away")
        return [Row("topology", "ring", "duration", "ms", summarize([1.0]), {"application": "chain"})], []

    monkeypatch.setattr(topology, "set_network", set_network)
    monkeypatch.setattr(topology, "_compare", compare)
    outcome = topology.run(context)
    assert asked == [(4, 1_000), (2, 100_000), (4, 100_000)]  # the first one's network could not be set
    assert len(links) == 2
    assert len(outcome.rows) == 2
    assert len(outcome.failures) == 2
    assert outcome.failures[0].startswith("chain of 2, 1,000 B, 1 ms, 1000 Mbit/s could not be measured: ")
    assert "math-3 has not confirmed" in outcome.failures[0]
    assert "math-1 is away" in outcome.failures[1]
    assert outcome.notes == ("Without the applications: no TensorFlow here",)
