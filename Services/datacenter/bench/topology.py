"""`bench topology`: what the centre costs. The same applications as ring, fast-star and star, on emulated networks.

Every run's bill is held against the rule of `rules.py`; one that does not match fails the command.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy

from Services.datacenter.bench import findings, workloads
from Services.datacenter.bench.context import Context
from Services.datacenter.bench.emulation import set_network
from Services.datacenter.bench.image import prepare
from Services.datacenter.bench.measuring import summarize
from Services.datacenter.bench.own_datacenter import OwnDatacenter, running
from Services.datacenter.bench.results import Outcome, Parameter, Row
from Services.datacenter.bench.rules import Link, expected, network_ms
from Services.datacenter.bench.workloads import Workload
from Services.fractos import Datacenter
from Services.fractos.config import MemorySettings
from Services.fractos.errors import FailedPreconditionError, FractosError
from Services.fractos.topology import RING, TOPOLOGIES

TITLE, ABOUT = findings.TITLE, findings.ABOUT
tables, charts = findings.tables, findings.charts
INLINE_LIMIT = MemorySettings().inline_limit
LATENCIES_MS, BANDWIDTHS_MBIT = (0.2, 1.0, 5.0), (100.0, 1_000.0, 10_000.0)
LENGTHS, SIZES = (2, 4, 8), (1_000, 100_000, 1_000_000)
QUICK_GRID = ((1.0,), (1_000.0,), (2, 4), (1_000, 100_000))
APPLICATIONS_PART = 0.2  # of the time
USUAL = Link(1.0, 1_000.0)  # of the applications
SHOWN_FAILURES = 5  # of each kind


class Runs:
    """Runs of one workload in one topology, and what their bills say. Called, it does one and returns its milliseconds."""

    def __init__(self, datacenter: Datacenter, workload: Workload, topology: str) -> None:
        self._datacenter = datacenter
        self._workload = workload
        self._topology = topology
        self.expected = expected(workload.stages, topology)
        self.device_ms: list[float] = []
        self.total_bytes: list[float] = []
        self.mismatches: list[str] = []

    def __call__(self) -> list[float]:
        """Run once. What it computed is not fetched."""
        began = time.perf_counter()
        result = self._datacenter.run(self._workload.graph, topology=self._topology, timeout_s=120)
        took_ms = (time.perf_counter() - began) * 1e3
        total = result.bill.total
        must = self.expected
        if (total.hops, total.value_bytes) != (must.hops, must.value_bytes):
            self.mismatches.append(
                f"{self._workload.name} of {self._workload.devices} devices with {self._workload.size_bytes:,} bytes as"
                f" {self._topology}: the bill says {total.hops} hops and {total.value_bytes:,} bytes of values;"
                f" by the rule it is {must.hops} and {must.value_bytes:,}"
            )
        self.total_bytes.append(total.total_bytes)
        self.device_ms.append(sum(hop.device_ms for hop in result.trail))
        return [took_ms]


def run(context: Context) -> Outcome:
    """Measure chains over the grid, then the applications."""
    rows: list[Row] = []
    notes: list[str] = []
    mismatches: list[str] = []
    failures: list[str] = []
    for found, wrong in _chains(context, failures):
        rows += found
        mismatches += wrong
    try:
        for found, wrong in _applications(context, failures):
            rows += found
            mismatches += wrong
    except FailedPreconditionError as error:
        notes.append(f"Without the applications: {error.message}")
    except FractosError as error:
        failures.append(f"The applications could not be measured: {error}")
    shown = dict.fromkeys(mismatches), dict.fromkeys(failures)
    notes += findings.explanations(rows)
    return Outcome("topology", tuple(rows), tuple(notes), tuple(one for some in shown for one in list(some)[:SHOWN_FAILURES]))


def _chains(context: Context, failures: list[str]) -> Iterator[tuple[list[Row], list[str]]]:
    """One cell of the grid after the other; one that fails is told of in `failures`, and the others go on."""
    grid = QUICK_GRID if context.options.quick else (LATENCIES_MS, BANDWIDTHS_MBIT, LENGTHS, SIZES)
    latencies, bandwidths, lengths, sizes = grid
    links = [Link(latency, bandwidth) for latency in latencies for bandwidth in bandwidths]
    cells = list(product(links, sizes, lengths))
    kept_s = context.left_s * APPLICATIONS_PART
    context.say(f"starting an application node and {max(lengths)} math nodes")
    with running({"application": 1, "math": max(lengths)}) as own:
        sources = {size: own.connection.memory(numpy.ones(size // 8), node="math-0") for size in sizes}
        set_to = None
        for index, (link, size, length) in enumerate(cells):
            workload = workloads.chain([f"math-{number}" for number in range(length)], sources[size], size)
            limit_s = (context.left_s - kept_s) / (len(cells) - index)
            try:
                if link != set_to:
                    set_to = None  # while it is not known
                    set_network(own.root, link)
                    set_to = link
                yield _compare(context, own, workload, link, limit_s, f"{index + 1} of {len(cells)}, ")
            except FractosError as error:
                failures.append(f"{_what(workload, link)} could not be measured: {error}")


def _applications(context: Context, failures: list[str]) -> Iterator[tuple[list[Row], list[str]]]:
    """As `_chains`. Raises FailedPreconditionError without TensorFlow."""
    context.say("training a small network")
    models = context.model.folder
    context.say("starting an application, a storage, a CNN and two math nodes")
    with running(workloads.NODES, prepare=partial(prepare, models=models)) as own:
        label, embedding_bytes = workloads.enroll(own.connection)
        set_network(own.root, USUAL)
        applications = workloads.image_prediction(label), workloads.face_verification(embedding_bytes)
        for index, workload in enumerate(applications):
            try:
                yield _compare(context, own, workload, USUAL, context.left_s / (len(applications) - index))
            except FractosError as error:
                failures.append(f"{_what(workload, USUAL)} could not be measured: {error}")


def _what(workload: Workload, link: Link) -> str:
    where = f"{link.latency_ms:g} ms, {link.bandwidth_mbit:g} Mbit/s"
    return f"{workload.name} of {workload.devices}, {workload.size_bytes:,} B, {where}"


def _compare(
    context: Context, own: OwnDatacenter, workload: Workload, link: Link, limit_s: float, place: str = ""
) -> tuple[list[Row], list[str]]:
    """One workload in all topologies, side by side. Returns its rows, and what bills do not match."""
    runs = {topology: Runs(own.connection, workload, topology) for topology in TOPOLOGIES}
    measured = context.measure(f"{place}{_what(workload, link)}", runs, limit_s)
    parameters: dict[str, Parameter] = {
        "application": workload.name,
        "devices": workload.devices,
        "bytes": workload.size_bytes,
        "latency_ms": link.latency_ms,
        "bandwidth_mbit": link.bandwidth_mbit,
    }
    rows = []
    for topology, one in runs.items():
        rounds = len(measured.samples[topology])  # those to warm up came before
        figures = {
            ("duration", "ms"): measured.summary(topology),
            ("by ring", ""): measured.ratio(topology, RING),
            ("hops", ""): summarize([one.expected.hops]),
            ("values", "B"): summarize([one.expected.value_bytes]),
            ("traffic", "B"): summarize(one.total_bytes[-rounds:]),
            ("devices", "ms"): summarize(one.device_ms[-rounds:]),
            ("network by rule", "ms"): summarize([network_ms(workload.stages, topology, link, INLINE_LIMIT)]),
        }
        rows += [Row("topology", topology, name, unit, summary, parameters) for (name, unit), summary in figures.items()]
    return rows, [mismatch for one in runs.values() for mismatch in one.mismatches]
