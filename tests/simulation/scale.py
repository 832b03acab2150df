"""How a datacenter grows, on virtual time: `python -m tests.simulation scale --nodes 10,100,1000,10000`.

One application node gets the same runs whatever the number of nodes is: three steps each, the second at one of the nodes that
are named (`--used`). Nobody dies: this is about what living costs. The directory is modelled as `directory/zookeeper.py` uses
it: what is watched, when a list is read again, and what the answers have in bytes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import psutil

from protos import application_pb2
from Services.fractos.directory.entry import Registration, encode, entry_prefix
from Services.fractos.directory.interface import Member
from Services.fractos.directory.zookeeper import PAUSE_S
from Services.fractos.errors import FractosError
from Services.fractos.events import MembersChanged
from Services.fractos.graph import TaskGraph
from Services.fractos.values import to_big_integer
from tests.simulation.directory import SPREAD_S, Directory
from tests.simulation.node import SimulatedNode
from tests.simulation.world import World

START_S = 60.0  # within which all nodes come up, evenly
SETTLE_S = 5.0
LOAD_S = 10.0
RUNS_PER_S = 50
TIMEOUT_S = 30.0
HEARTBEATS_PER_S = 2 * 2  # on each channel that is kept: two, and their acknowledgements
ENTRY = Registration("math", 1000, "0" * 36, "127.0.0.1:50000", 100_000, "/mockdc/logs/math-1000.log")
NAME_BYTES = len(entry_prefix(ENTRY, 1000)) + 10 + 4  # in a list: with its sequence number and length
ENTRY_BYTES = len(encode(ENTRY, 1000, time.time())) + 88  # of an answer: with its header and the node's status
OWN_WATCHES = 2  # of every node: its own entry, and the revocations of its type


class WatchedDirectory(Directory):
    """Tells each node that follows it what it reads when its watches fire, and counts that."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.counts: Counter[str] = Counter()
        self._of_type: Counter[str] = Counter()
        self._followers: list[SimulatedNode] = []
        self._read_at: dict[tuple[str, str], float] = {}  # (node, type) → when
        self._known: Counter[tuple[str, str]] = Counter()  # how many entries it has read
        self._fired: set[tuple[str, str]] = set()  # watches that are set anew when their list is read

    def register(self, member: Member) -> None:
        """List a node: whoever watches its type hears of it."""
        self._entries.append(member)
        self._of_type[member.node_type] += 1
        for node in self._followers:
            self._fire(node, member.node_type)
        node_is_new = self._world.nodes[member.name]
        if node_is_new.follows:
            self._begin(node_is_new)

    def follow(self, node: SimulatedNode) -> None:
        """Have a node follow from now on."""
        if not node.follows:
            node.follows = True
            self._begin(node)

    @property
    def watches(self) -> int:
        """How many are set."""
        return len(self._entries) * OWN_WATCHES + len(self._followers) * (len(self._of_type) + 1)

    @property
    def followers(self) -> int:
        """How many nodes follow the others."""
        return len(self._followers)

    def _begin(self, node: SimulatedNode) -> None:
        self._followers.append(node)
        for node_type in self._of_type:
            self._read(node, node_type)
        node.feed(MembersChanged(tuple(self._entries)))

    def _fire(self, node: SimulatedNode, node_type: str) -> None:
        key = node.name, node_type
        if key in self._fired:
            return
        self._fired.add(key)
        self.counts["notifications"] += 1
        due = self._read_at.get(key, 0.0) + PAUSE_S * self._known[key]
        delay_s = max(due - self._world.now, self._world.random.uniform(0.0, SPREAD_S))
        self._world.agenda.after(delay_s, partial(self._read_again, node, node_type))

    def _read_again(self, node: SimulatedNode, node_type: str) -> None:
        self._fired.discard((node.name, node_type))
        self._read(node, node_type)
        node.feed(MembersChanged(tuple(self._entries)))

    def _read(self, node: SimulatedNode, node_type: str) -> None:
        key, count = (node.name, node_type), self._of_type[node_type]
        new = count - self._known[key]
        self._read_at[key], self._known[key] = self._world.now, count
        self.counts["list reads"] += 1
        self.counts["entry reads"] += new
        self.counts["bytes"] += count * NAME_BYTES + new * ENTRY_BYTES


class _Timed:
    """Whoever submitted a run and looks at the clock."""

    def __init__(self, world: World, took_s: list[float]) -> None:
        self._world = world
        self._began = world.now
        self._took_s = took_s

    def accepted(self, run_id: bytes) -> None:
        """It goes on."""

    def refused(self, run_id: bytes, error: FractosError) -> None:
        """Raises the error."""
        raise error

    def ended(self, result: application_pb2.RunResult) -> None:
        """Note how long it took. Raises AssertionError if it failed."""
        assert not result.HasField("failure"), result.failure
        self._took_s.append(self._world.now - self._began)


class Scale(NamedTuple):
    """The figures of one size."""

    nodes: int
    runs: int
    figures: dict[str, float]


def measure(nodes: int, used: int, seed: int = 0) -> Scale:
    """Simulate so many nodes, of which runs name `used`. Raises AssertionError if a run fails or a promise is broken."""
    process = psutil.Process()
    resident = process.memory_info().rss
    used = min(used, _math_nodes(nodes))
    world = World(seed, {})
    directory = world.directory = WatchedDirectory(world)
    world.files.content["admin", "n"] = to_big_integer(21)
    for number, name in enumerate(_names(nodes)):
        world.agenda.after(number * START_S / nodes, partial(world.restart, name))
    world.run(START_S + SETTLE_S)
    memory = (process.memory_info().rss - resident) / nodes
    starting = Counter(directory.counts)
    world.frames.clear()
    took_s: list[float] = []
    for submit in _submissions(world, nodes, used, took_s):
        world.run(1 / RUNS_PER_S)
        submit()
    world.run(SETTLE_S)
    runs = round(LOAD_S * RUNS_PER_S)
    assert len(took_s) == runs, f"{len(took_s)} of {runs} runs ended"
    assert not world.history.violations, world.history.violations
    channels = world.network.counts()
    figures = {
        "messages per run": len(world.frames) / runs,
        "heartbeats per second and node": HEARTBEATS_PER_S * world.network.kept() / nodes,
        "channels of the application node": channels["application-0"],
        "channels per node": sum(channels.values()) / nodes,
        "nodes that follow the directory": directory.followers,
        "watches per node": directory.watches / nodes,
        "start: notifications per node": starting["notifications"] / nodes,
        "start: entries read per node": starting["entry reads"] / nodes,
        "start: KB read per node": starting["bytes"] / nodes / 1e3,
        "load: KB read per node that is named": (directory.counts["bytes"] - starting["bytes"]) / used / 1e3,
        "memory per node, KB": memory / 1e3,
        "latency p50, ms": _percentile(took_s, 0.5) * 1e3,
        "latency p99, ms": _percentile(took_s, 0.99) * 1e3,
        "processor seconds": time.process_time(),
    }
    return Scale(nodes, runs, figures)


def main(arguments: list[str]) -> int:
    """Print a table of all sizes."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation scale", description=__doc__)
    parser.add_argument("--nodes", type=_numbers, default="10,100,1000,10000", help="sizes (default: %(default)s)")
    parser.add_argument("--used", type=int, default=100, help="how many nodes runs name (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    # Each size in a process of its own, whose memory is its own too.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        scales = pool.starmap(measure, [(nodes, options.used) for nodes in options.nodes], chunksize=1)
    if options.json:
        print(json.dumps({scale.nodes: scale.figures for scale in scales}, indent=2))
        return 0
    print(f"{'nodes':38}" + "".join(f"{scale.nodes:12,}" for scale in scales))
    for name in scales[0].figures:
        print(f"{name:38}" + "".join(f"{scale.figures[name]:12,.2f}" for scale in scales))
    return 0


def _hundredth(nodes: int) -> int:
    return max(1, nodes // 100)


def _math_nodes(nodes: int) -> int:
    return nodes - 1 - 2 * _hundredth(nodes)


def _names(nodes: int) -> Iterator[str]:
    """One application node, a hundredth of the rest storage and CNN nodes, and math nodes."""
    few = _hundredth(nodes)
    counts = {"application": 1, "storage": few, "cnn": few, "math": _math_nodes(nodes)}
    return (f"{node_type}-{index}" for node_type, count in counts.items() for index in range(count))


def _submissions(world: World, nodes: int, used: int, took_s: list[float]) -> Iterator[Callable[[], None]]:
    """The runs in the order in which to submit them."""
    authority = world.keys.authority("the client")
    graphs = [authority.graph(_graph(f"math-{number * _math_nodes(nodes) // used}")) for number in range(used)]
    capability = authority.capability("application")
    for _ in range(round(LOAD_S * RUNS_PER_S)):
        run_id, graph = world.random.randbytes(16), world.random.choice(graphs)
        world.history.submitted(run_id, graph)
        request = application_pb2.SubmitRequest(run_id=run_id, timeout_s=TIMEOUT_S, graph=graph)
        application = world.nodes["application-0"]
        yield lambda request=request, node=application: node.submit(request, _Timed(world, took_s), capability)  # type: ignore[misc]


def _graph(node: str) -> TaskGraph:
    graph = TaskGraph("read, shift there, shift anywhere")
    read = graph.storage.read_integer(client_id="admin", name="n")
    shifted = graph.node(node).shift_left(value=read.value, bits=1)
    graph.math.shift_left(value=shifted.value, bits=1)
    return graph


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]
