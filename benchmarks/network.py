"""Whether emulated links are as they are configured: latencies and bandwidths, for each way in which something travels.

python benchmarks/network.py [--rounds N] [--json]

Starts an application node and two math nodes, and an owner of Memory. Each round measures with the link and without, one after
the other. For Requests and direct calls the link's time comes on top of the machine's, so the difference counts. For Memory it
includes the machine's, so the time itself counts, beside what is configured or, where that is longer, what the machine takes.
Exit code 1 if a median is off by more than 10 % and more than 0.3 ms for each link that is crossed: a Request crosses one, a
call and a fetch one there and one back.
"""

from __future__ import annotations

import argparse
import base64
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial

import grpc
import numpy
import uvloop
from memory import new_store
from real_nodes import CLIENT, ROOT, Nodes, real_nodes

from protos import fractos_pb2, math_pb2, math_pb2_grpc
from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.config import Configuration, load
from Services.fractos.credentials import load_credentials
from Services.fractos.network_changes import change
from Services.fractos.network_rules import NetworkRules, Rule
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.memory_fetcher import MemoryFetcher
from Services.fractos.transport.memory_traffic import MemoryTraffic
from Services.fractos.transport.unary import CAPABILITY

LATENCIES_MS = (0.2, 1.0, 5.0, 20.0)
BANDWIDTHS_MBIT = (100.0, 1000.0, 10_000.0)
MEMORY_BYTES = {100.0: 1 << 20, 1000.0: 8 << 20, 10_000.0: 64 << 20}
CALL_BYTES = {100.0: 256 << 10, 1000.0: 1 << 20, 10_000.0: 1 << 20}
REQUEST_BYTES = 60_000  # more would be Memory
REQUESTS = 20  # each round
RELATIVE, ABSOLUTE_MS = 0.10, 0.3
REQUEST = "Request"
TIMEOUT_S = 60.0

Sample = Callable[[], float]  # in milliseconds


@dataclass(frozen=True)
class Figure:
    """One line of the table. Times in milliseconds."""

    way: str
    link: str
    configured: float
    measured: float  # the median of the rounds
    lowest: float
    highest: float

    @property
    def is_right(self) -> bool:
        """Whether it is within the bounds."""
        links = 1 if self.way == REQUEST else 2
        return abs(self.measured - self.configured) <= max(RELATIVE * self.configured, ABSOLUTE_MS * links)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=7, help="how many rounds to measure (default: %(default)s)")
    options = parser.parse_args()
    figures: list[Figure] = []
    for found in (of_nodes(options.rounds), of_memory(options.rounds)):
        for figure in found:
            figures.append(figure)
            if not options.json:
                print(_line(figure), flush=True)
    if options.json:
        print(json.dumps([{**asdict(one), "is_right": one.is_right} for one in figures], indent=2))
    return 0 if all(one.is_right for one in figures) else 1


# -- Requests and direct calls, at real nodes -----------------------------------------------------------------------------


def of_nodes(rounds: int) -> Iterator[Figure]:
    """Measure frames of channels and direct calls."""
    with (
        real_nodes("application-0", "math-0", "math-1", delays_ms={}) as nodes,
        connect(nodes.folder, client_id=CLIENT) as datacenter,
        direct_calls(nodes) as call,
    ):
        for said, name in links():
            size = REQUEST_BYTES if said.bandwidth_mbit else 8
            sample = request_of(datacenter, size)
            yield of_difference(nodes, rounds, REQUEST, name, said, expected_ms(said, size), sample)
        for said, name in links():
            size = CALL_BYTES[said.bandwidth_mbit] if said.bandwidth_mbit else 8
            configured_ms = 2 * expected_ms(said, size)
            yield of_difference(nodes, rounds, "direct call", name, said, configured_ms, partial(call, size))


def of_difference(nodes: Nodes, rounds: int, way: str, name: str, said: Rule, configured_ms: float, sample: Sample) -> Figure:
    """Measure with the links and without, and subtract."""
    configuration = load(nodes.folder)
    differences = []
    for number in range(-1, rounds):
        found = []
        for rules in ((), (said,)):
            _say(configuration, rules)
            sample()
            found.append(statistics.median(_after_a_pause(sample, configured_ms) for _ in range(REQUESTS)))
        if number >= 0:
            differences.append(found[1] - found[0])
    return _figure(way, name, configured_ms, differences)


def _after_a_pause(sample: Sample, pause_ms: float) -> float:
    """A sample, taken when processors have been idle for as long as over the link: they are slower then, for a moment."""
    time.sleep(pause_ms / 1e3)
    return sample()


def _say(configuration: Configuration, rules: tuple[Rule, ...]) -> None:
    change(configuration, lambda before: rules)


def request_of(datacenter: Datacenter, size: int) -> Sample:
    """How long a Request with an argument of so many bytes is under way from one math node to the other."""
    graph = TaskGraph("request")
    first = graph.node("math-0").scale(tensor=numpy.zeros(max(1, size // 8)), factor=1.0)
    graph.node("math-1").scale(tensor=first.tensor, factor=1.0)

    def sample() -> float:
        hop = datacenter.run(graph, timeout_s=TIMEOUT_S).trail[1]
        return (hop.received_at - hop.sent_at) * 1e3

    return sample


@contextmanager
def direct_calls(nodes: Nodes) -> Iterator[Callable[[int], float]]:
    """How long a direct call with an argument, and a result, of so many bytes takes."""
    address = next(member.address for member in nodes.members() if member.name == "math-0")
    capability = load_credentials(load(nodes.folder), CLIENT).capabilities["math"]
    metadata = ((CAPABILITY, capability.SerializeToString()),)
    with grpc.insecure_channel(address, [("grpc.max_receive_message_length", 64 << 20)]) as channel:
        stub = math_pb2_grpc.MathStub(channel)

        def call(size: int) -> float:
            tensor = fractos_pb2.Tensor(dtype="float64", shape=[size // 8], data=bytes(size))
            request = math_pb2.ScaleRequest(tensor=tensor, factor=1.0)
            began = time.perf_counter()
            stub.Scale(request, metadata=metadata, timeout=TIMEOUT_S)
            return (time.perf_counter() - began) * 1e3

        yield call


# -- Memory, of an owner in another process -------------------------------------------------------------------------------


def of_memory(rounds: int) -> list[Figure]:
    """Measure fetches, mapped and streamed."""
    command = [sys.executable, "-m", "benchmarks.memory", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as owner:
        try:
            assert owner.stdout is not None
            _, large = (fractos_pb2.Memory.FromString(base64.b64decode(owner.stdout.readline())) for _ in range(2))
            return uvloop.run(_of_memory(large, rounds))
        finally:
            owner.kill()


async def _of_memory(large: fractos_pb2.Memory, rounds: int) -> list[Figure]:
    figures = []
    network = NodeNetwork("reader-0", NetworkRules(), lambda address: "owner-0")
    for way, streams_only in (("Memory, mapped", False), ("Memory, streamed", True)):
        fetcher = MemoryFetcher(new_store("reader"), time.time, MemoryTraffic(), network, streams_only=streams_only)
        for said, name in links():
            part = fractos_pb2.Memory()
            part.CopyFrom(large)
            part.size = MEMORY_BYTES[said.bandwidth_mbit] if said.bandwidth_mbit else 1000
            configured_ms = expected_ms(said, part.size) + (said.latency_ms or 0.0)
            fetches = 1 if said.bandwidth_mbit else REQUESTS
            free: list[float] = []
            linked: list[float] = []
            for number in range(-1, rounds):
                for rules, samples in ((NetworkRules(), free), (NetworkRules((said,)), linked)):
                    network.update(rules)
                    took_ms = statistics.median([await _fetch_ms(fetcher, part) for _ in range(fetches)])
                    if number >= 0:
                        samples.append(took_ms)
            figures.append(_figure(way, name, max(configured_ms, statistics.median(free)), linked))
        await fetcher.close()
    network.close()
    return figures


async def _fetch_ms(fetcher: MemoryFetcher, memory: fractos_pb2.Memory) -> float:
    began = time.perf_counter()
    (await fetcher.fetch(memory, time.time() + TIMEOUT_S)).close()
    return (time.perf_counter() - began) * 1e3


# -------------------------------------------------------------------------------------------------------------------------


def links() -> Iterator[tuple[Rule, str]]:
    """What is measured, and its name."""
    for latency_ms in LATENCIES_MS:
        yield Rule("*", "*", latency_ms=latency_ms), f"{latency_ms:g} ms"
    for bandwidth_mbit in BANDWIDTHS_MBIT:
        yield Rule("*", "*", bandwidth_mbit=bandwidth_mbit), f"{bandwidth_mbit:g} Mbit/s"


def expected_ms(said: Rule, size: int) -> float:
    """How long so many bytes take one way, in milliseconds."""
    return (said.latency_ms or 0.0) + (size * 8 / said.bandwidth_mbit / 1e3 if said.bandwidth_mbit else 0.0)


def _figure(way: str, name: str, configured_ms: float, samples: Sequence[float]) -> Figure:
    return Figure(way, name, configured_ms, statistics.median(samples), min(samples), max(samples))


def _line(one: Figure) -> str:
    verdict = "right" if one.is_right else "WRONG"
    spread = f"({one.lowest:.2f} to {one.highest:.2f})"
    return f"{one.way:17} {one.link:>13} {one.configured:9.2f} ms, measured {one.measured:8.2f} ms {spread:22} {verdict}"


if __name__ == "__main__":
    raise SystemExit(main())
