"""What `bench topology` has found, as tables, charts and sentences. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from Services.datacenter.bench.charts import Chart, HeatMap, Line, Panel, Table, median, number, point, size
from Services.datacenter.bench.results import Outcome, Parameter, Row, values_of
from Services.fractos.topology import FAST_STAR, RING, STAR, TOPOLOGIES

TITLE = "What the centre costs"
ABOUT = """\
The same application as a **ring** (from device to device), a **fast-star** (control through the application node, data
from device to device) and a **star** (control and data through the application node), on emulated links: every message
between two nodes takes the latency, and every node's links have the bandwidth. Chains multiply an array on one math
node after the other. The image prediction goes storage → CNN → storage; the face verification goes storage → crop →
embedding → comparison with a stored embedding → storage, over four devices. Every run's bill was held against the rule:
for a chain of n devices with x bytes between each two, ring n + 1 hops and (n - 1) x bytes of values, fast-star 2n and
(n - 1) x, star 2n and 2 (n - 1) x. `traffic` is all bytes that the run waited for: values, and Requests, each with the
rest of the graph in a ring, which is why a ring of many small steps has more of it than a star."""
# Vilanova et al., EuroSys 2022, abstract: real-world heterogeneous applications 47 % faster, with 3x less network traffic.
PAPER_FASTER, PAPER_TRAFFIC = 1.47, 3.0
USUAL_BANDWIDTH = 1_000.0  # of the table and of the lines
At = Mapping[str, Parameter]


def tables(outcome: Outcome) -> Sequence[Table]:
    """The applications, then the chains at the usual bandwidth."""
    applications = [row for row in outcome.of("duration", RING) if row.parameters["application"] != "chain"]
    found: list[Table] = []
    if applications:
        at = applications[0].parameters
        title = f"Applications at {at['latency_ms']:g} ms and {speed(at['bandwidth_mbit'])}"
        heads = ("", "topology", "median, ms", "95 %", "by ring", "hops", "values", "traffic", "traffic by ring", "runs")
        cells = [line for row in applications for line in _application(outcome, row.parameters)]
        found.append(Table(heads, cells, title))
    chains = outcome.of("duration", RING, {"application": "chain", "bandwidth_mbit": USUAL_BANDWIDTH})
    chain_heads = (
        "latency, array, devices",
        "ring, ms",
        "fast-star by ring",
        "star by ring",
        "hops",
        "values",
        "traffic, star by ring",
        "runs",
    )
    rows = [_chain(outcome, row) for row in chains]
    found.append(Table(chain_heads, rows, f"Chains at {speed(USUAL_BANDWIDTH)} (the other bandwidths are in topology.csv)"))
    return found


def _application(outcome: Outcome, at: At) -> Iterator[tuple[str, ...]]:
    ring_bytes = _median(outcome, "traffic", RING, at)
    for topology in TOPOLOGIES:
        whole = outcome.of("duration", topology, at)[0].summary
        ratio = outcome.of("by ring", topology, at)[0].summary
        traffic = _median(outcome, "traffic", topology, at)
        yield (
            str(at["application"]),
            topology,
            median(whole),
            f"{number(whole.low)} … {number(whole.high)}",
            median(ratio),
            f"{_median(outcome, 'hops', topology, at):.0f}",
            size(_median(outcome, "values", topology, at)),
            size(traffic),
            number(traffic / ring_bytes),
            str(whole.n),
        )


def _chain(outcome: Outcome, row: Row) -> tuple[str, ...]:
    at = row.parameters
    hops, values = ([_median(outcome, figure, one, at) for one in TOPOLOGIES] for figure in ("hops", "values"))
    traffic = [_median(outcome, "traffic", one, at) for one in (STAR, RING)]
    return (
        f"{at['latency_ms']:g} ms, {size(float(at['bytes']))}, {at['devices']}",
        median(row.summary),
        *(median(outcome.of("by ring", one, at)[0].summary) for one in (FAST_STAR, STAR)),
        " / ".join(f"{one:.0f}" for one in hops),
        " / ".join(map(size, values)),
        number(traffic[0] / traffic[1]),
        str(row.summary.n),
    )


def charts(outcome: Outcome) -> Sequence[Chart | HeatMap]:
    """Time against latency, and the cost of a star over the grid. What could not be measured is left out."""
    rows = outcome.of("duration", None, {"application": "chain"})
    lengths, sizes, latencies, bandwidths = (
        [float(one) for one in values_of(rows, name)] for name in ("devices", "bytes", "latency_ms", "bandwidth_mbit")
    )
    if not rows:
        return []
    middle = {"devices": lengths[len(lengths) // 2], "bytes": sizes[len(sizes) // 2], "bandwidth_mbit": USUAL_BANDWIDTH}
    lines = [
        Line(one, [point(row.parameters["latency_ms"], row.summary) for row in found])
        for one in TOPOLOGIES
        if (found := outcome.of("duration", one, middle))
    ]
    title = f"A chain of {middle['devices']:.0f} devices, {size(middle['bytes'])} between them, {speed(USUAL_BANDWIDTH)}"
    drawn: list[Chart | HeatMap] = [
        Chart("topology", title, "latency of a link, ms", "time of a run, ms", lines, log_x=True, x_ticks=latencies)
    ]
    for name, topology in (("star", STAR), ("fast_star", FAST_STAR)):
        panels = [
            [_panel(outcome, topology, {"devices": length, "bytes": size_bytes}, latencies, bandwidths) for length in lengths]
            for size_bytes in sizes
        ]
        drawn.append(
            HeatMap(
                f"topology_{name}",
                f"Time of a {topology} by that of a ring",
                "latency of a link, ms",
                "bandwidth",
                [f"{one:g}" for one in latencies],
                [speed(one) for one in bandwidths],
                panels,
            )
        )
    return drawn


def _panel(outcome: Outcome, topology: str, at: At, latencies: Sequence[float], bandwidths: Sequence[float]) -> Panel:
    def ratio(latency: float, bandwidth: float) -> float:
        where = {**at, "application": "chain", "latency_ms": latency, "bandwidth_mbit": bandwidth}
        found = outcome.of("by ring", topology, where)
        return found[0].summary.median if found else math.nan

    cells = [[ratio(latency, bandwidth) for latency in latencies] for bandwidth in bandwidths]
    return Panel(f"{at['devices']:.0f} devices, {size(float(at['bytes']))}", cells)


def explanations(rows: Sequence[Row]) -> Iterator[str]:
    """The face verification beside the paper's, and where the difference comes from."""
    outcome = Outcome("topology", tuple(rows))
    for row in outcome.of("duration", STAR, {"application": "face verification"}):
        at = row.parameters
        ratio = _median(outcome, "by ring", STAR, at)
        traffic, hops, network, devices = (
            {one: _median(outcome, figure, one, at) for one in (RING, STAR)}
            for figure in ("traffic", "hops", "network by rule", "devices")
        )
        rest = {one: _median(outcome, "duration", one, at) - network[one] for one in (RING, STAR)}
        yield (
            f"**Beside the paper.** The face verification as a star takes {number(ratio)} times as long as the ring, with"
            f" {number(traffic[STAR] / traffic[RING])} times the traffic. FractOS was reported to accelerate real-world"
            " heterogeneous applications by 47 % while reducing their network traffic"
            f" {PAPER_TRAFFIC:g} times; read as a rate, that is {PAPER_FASTER:g} times as fast. Its applications, devices and"
            " network were others: only the direction can be compared."
        )
        yield (
            f"Hops and bytes explain ours. The star needs {hops[STAR]:.0f} hops for the ring's {hops[RING]:.0f}, and each value"
            " goes to the centre and from there on. By the rule the network alone keeps the star waiting for"
            f" {number(network[STAR])} ms along its longest path and the ring for {number(network[RING])} ms. What is left of"
            f" the measured times, {number(rest[STAR])} and {number(rest[RING])} ms, is devices ({number(devices[RING])} ms in"
            " the ring, those side by side counted one after the other) and nodes. So the ratio of times tends to that of the"
            " networks where links are slow, and to 1 where devices are."
        )
        yield (
            "In this application no value stays at the node that made it, so that a centre moves each of them twice instead of"
            " once and can at most double the values' traffic; where two steps share a node, a centre costs more than that."
            f" Where the paper's {PAPER_TRAFFIC:g} times come from is our inference, not its statement: three times is what"
            " comes of moving a value three times, as where storage is behind a file service that is itself a centre; this star"
            " has no such second one."
        )


def speed(mbit: Parameter) -> str:
    """A bandwidth as people write it."""
    return f"{float(mbit) / 1e3:g} Gbit/s" if float(mbit) >= 1e3 else f"{float(mbit):g} Mbit/s"


def _median(outcome: Outcome, figure: str, topology: str, at: At) -> float:
    return outcome.of(figure, topology, at)[0].summary.median
