"""Emulated links beside real ones: an array through a chain of nodes that are each in a network namespace of their own.

sudo .venv/bin/python benchmarks/network_namespaces.py [--rounds N] [--json]

Two math nodes, each in a namespace, are joined by a bridge, so that Memory goes between them as a stream over TCP. A round
moves an array to and fro: with the rates of both network cards limited by the kernel (`tc` with a token bucket, tbf), with the
same bandwidth emulated instead, in turns first, then with neither, by the same processes. What a chain takes that nothing
limits ("free") is taken off both, and what counts is the ratio of the rest, which the links take. Where that is less than the
free chain takes, nothing can be said: "not decidable". The kernel's rate includes the headers of packets, about 5 %. Needs
root, and `ip` and `tc` of iproute2; removes what it has made, and what runs that were killed have left. Exit code 1 if a median
ratio is not within 0.9 and 1.1.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy
from real_nodes import CLIENT, CLIENT_S, END_TIMEOUT_S, READY_TIMEOUT_S, ROOT, SCRIPTS

from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.config import Configuration, load, write_directory_record
from Services.fractos.credentials import issue_client
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import FractosError
from Services.fractos.keys import DATACENTER, load_or_make_key
from Services.fractos.network_changes import change
from Services.fractos.network_rules import Rule
from Services.fractos.remote_memory import Memory

RATES_MBIT = (100, 1000)
SIZES_MIB = (1, 4, 16, 32)
TRANSFERS = 4  # from node to node, in a chain
TIMEOUT_S = 120.0
PREFIXES = "mockdc-bench-"  # of the namespaces of all processes that run this
PREFIX = f"{PREFIXES}{os.getpid()}"  # of this one's
SUBNET = "198.18.77"  # of the range for benchmarks, RFC 2544
NODES = ("math-0", "math-1")
BURST_S = 0.001  # for so long the token bucket lets through what it has; less, and a late timer makes the link slower
QUEUE_BYTES = 16 << 20  # more than TCP sends at once, so that nothing is dropped
LOWEST, HIGHEST = 0.9, 1.1
RIGHT, WRONG, UNDECIDED = "right", "WRONG", "not decidable"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=3, help="how many rounds to measure (default: %(default)s)")
    options = parser.parse_args()
    _check_rights()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    figures = []
    with namespaces(), _datacenter() as (configuration, datacenter):
        for rate in RATES_MBIT:
            for size in SIZES_MIB:
                figures.append(measure(configuration, datacenter, rate, size, options.rounds))
                if not options.json:
                    print(_line(figures[-1]), flush=True)
    if options.json:
        print(json.dumps([{**asdict(one), "verdict": one.verdict} for one in figures], indent=2))
    return 1 if any(one.verdict == WRONG for one in figures) else 0


@dataclass(frozen=True)
class Figure:
    """One line of the table: medians of the rounds, in seconds, and the ratios of what the links took in them."""

    rate_mbit: int
    size_mib: int
    real_s: float
    emulated_s: float
    free_s: float  # without any limit
    ratio: float
    lowest: float
    highest: float

    @property
    def verdict(self) -> str:
        """Whether the emulated link is like the real one."""
        if max(self.real_s, self.emulated_s) < 2 * self.free_s:  # what both take besides is more than what is compared
            return UNDECIDED
        return RIGHT if LOWEST <= self.ratio <= HIGHEST else WRONG


def measure(configuration: Configuration, datacenter: Datacenter, rate: int, size: int, rounds: int) -> Figure:
    """How long the chain takes with the kernel's limits, with emulated ones and with none."""
    found = []
    for number in range(-1, rounds):
        array = datacenter.memory(numpy.ones(size << 17), node=NODES[0])
        graph = chain(array)
        ways = [partial(_real_s, datacenter, graph, rate), partial(_emulated_s, configuration, datacenter, graph, rate)]
        if number % 2:  # what comes first finds other caches and clocks
            emulated_s, real_s = ways[1](), ways[0]()
        else:
            real_s, emulated_s = ways[0](), ways[1]()
        free_s = _run_s(datacenter, graph)
        if number >= 0:
            found.append((real_s, emulated_s, free_s))
        array.release()
    ratios = [_ratio(*times) for times in found]
    real_s, emulated_s, free_s = (statistics.median(times) for times in zip(*found, strict=True))
    return Figure(rate, size, real_s, emulated_s, free_s, statistics.median(ratios), min(ratios), max(ratios))


def _ratio(real_s: float, emulated_s: float, free_s: float) -> float:
    """That of what the links took; infinite if the emulated one took nothing."""
    return max(0.0, real_s - free_s) / (emulated_s - free_s) if emulated_s > free_s else math.inf


def _real_s(datacenter: Datacenter, graph: TaskGraph, rate: int) -> float:
    _limit(rate)
    try:
        return _run_s(datacenter, graph)
    finally:
        _limit(None)


def _emulated_s(configuration: Configuration, datacenter: Datacenter, graph: TaskGraph, rate: int) -> float:
    _say(configuration, (Rule("*", "*", bandwidth_mbit=rate),))
    try:
        return _run_s(datacenter, graph)
    finally:
        _say(configuration, ())


def chain(array: Memory) -> TaskGraph:
    """An array that lies at the first node is multiplied at the nodes in turn."""
    graph = TaskGraph("chain")
    step = graph.node(NODES[0]).scale(tensor=array, factor=1.0)
    for number in range(TRANSFERS):
        step = graph.node(NODES[(number + 1) % 2]).scale(tensor=step.tensor, factor=1.0)
    return graph


def _run_s(datacenter: Datacenter, graph: TaskGraph) -> float:
    began = time.perf_counter()
    datacenter.run(graph, timeout_s=TIMEOUT_S)
    return time.perf_counter() - began


def _say(configuration: Configuration, rules: tuple[Rule, ...]) -> None:
    change(configuration, lambda before: rules)


def _line(one: Figure) -> str:
    spread = f"{one.ratio:.3f} ({one.lowest:.3f} to {one.highest:.3f})"
    times = f"real {one.real_s:7.3f} s, emulated {one.emulated_s:7.3f} s, free {one.free_s:6.3f} s"
    return f"{one.rate_mbit:5g} Mbit/s, {TRANSFERS} x {one.size_mib:2g} MiB: {times}, ratio {spread} {one.verdict}"


# -- namespaces -----------------------------------------------------------------------------------------------------------


def _check_rights() -> None:
    missing = [program for program in ("ip", "tc") if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        lacking = f"{' and '.join(missing)} of iproute2" if missing else "root's rights"
        raise SystemExit(f"error: this makes network namespaces, for which {lacking} is needed; nothing was changed")


@contextmanager
def namespaces() -> Iterator[None]:
    """A namespace for each node and one with the bridge between them and this host; gone with the context."""
    _remove()  # what one that was killed has left
    try:
        _ip("netns", "add", f"{PREFIX}-switch")
        _ip("-n", f"{PREFIX}-switch", "link", "add", "bridge", "type", "bridge")
        _ip("-n", f"{PREFIX}-switch", "link", "set", "bridge", "up")
        _join("host", 1)
        for number, node in enumerate(NODES):
            _ip("netns", "add", f"{PREFIX}-{node}")
            _join(node, number + 2)
        yield
    finally:
        _remove()


def _join(name: str, number: int) -> None:
    """Connect a node, or this "host", with the bridge, by a card called mockdc<number>."""
    card, plug, switch = f"mockdc{number}", f"plug{number}", f"{PREFIX}-switch"
    place = [] if name == "host" else ["-n", f"{PREFIX}-{name}"]
    _ip("-n", switch, "link", "add", plug, "type", "veth", "peer", "name", card)
    _ip("-n", switch, "link", "set", card, "netns", str(os.getpid()) if name == "host" else f"{PREFIX}-{name}")
    _ip("-n", switch, "link", "set", plug, "master", "bridge", "up")
    _ip(*place, "address", "add", f"{SUBNET}.{number}/24", "dev", card)
    _ip(*place, "link", "set", card, "up")
    _ip(*place, "link", "set", "lo", "up")


def _limit(rate_mbit: int | None) -> None:
    """Limit what each node sends, or limit it no more."""
    for number, node in enumerate(NODES):
        place = ["tc", "-n", f"{PREFIX}-{node}", "qdisc"]
        card = ["dev", f"mockdc{number + 2}", "root"]
        if rate_mbit is None:
            subprocess.run([*place, "del", *card], check=True)
        else:
            burst_bytes = round(rate_mbit * 1e6 / 8 * BURST_S)
            bucket = ["tbf", "rate", f"{rate_mbit}mbit", "burst", str(burst_bytes), "limit", str(QUEUE_BYTES)]
            subprocess.run([*place, "replace", *card, *bucket], check=True)


def _remove() -> None:
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    for name in (line.split()[0] for line in listed.splitlines() if line.startswith(PREFIXES)):
        if not _is_of_another(name):
            _ip("netns", "delete", name)  # with its cards, and with them their other ends


def _is_of_another(namespace: str) -> bool:
    """Whether it was made by a process that runs and is not this one."""
    made_by = namespace.removeprefix(PREFIXES).partition("-")[0]
    return made_by.isdecimal() and int(made_by) != os.getpid() and Path(f"/proc/{made_by}").exists()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


# -- nodes ----------------------------------------------------------------------------------------------------------------


@contextmanager
def _datacenter() -> Iterator[tuple[Configuration, Datacenter]]:
    """The nodes, each with a folder of its own, since they have different addresses, and a client."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, ExitStack() as stack:
        folder = Path(name)
        host = _folder(folder, "application-0", 1)
        load_or_make_key(host.keys_path, DATACENTER)
        issue_client(host, CLIENT, time.time() + CLIENT_S)
        stack.enter_context(_node(host, "application-0", []))
        for number, node in enumerate(NODES):
            configuration = _folder(folder, node, number + 2)
            shutil.copytree(host.keys_path, configuration.keys_path)
            stack.enter_context(_node(configuration, node, ["ip", "netns", "exec", f"{PREFIX}-{node}"]))
        yield host, stack.enter_context(_connected(host))


def _folder(parent: Path, node: str, number: int) -> Configuration:
    """The folder of one node's configuration; all use one directory of files."""
    folder = parent / node
    folder.mkdir()
    sections = "".join(
        f"[{kind}_controller]\npaths_to_controller = {SCRIPTS[kind]}\nzookeeper = False\n" for kind in ("application", "math")
    )
    (folder / "data_center_setup.cfg").write_text(
        f"[DataCenter]\nname = benchmark\ngrpc_ip = {SUBNET}.{number}\n"
        f"[Controllers]\ncontroller_names = application_controller, math_controller\n{sections}"
    )
    configuration = load(folder)
    write_directory_record(configuration, DirectoryRecord("files", str(parent / "directory"), configuration.name))
    return configuration


@contextmanager
def _node(configuration: Configuration, name: str, within: list[str]) -> Iterator[None]:
    """A node; it ends with the context."""
    log = configuration.root / f"{name}.log"
    script = str(ROOT / SCRIPTS[name.partition("-")[0]])
    command = [*within, sys.executable, script, "-n", name, "--path", str(configuration.root), "--log", str(log)]
    with log.open("ab") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _connected(configuration: Configuration) -> Datacenter:
    """A client, once all nodes answer."""
    graph = TaskGraph("ready?")
    for node in NODES:
        graph.node(node).shift_left(value=1, bits=1)
    deadline = time.monotonic() + READY_TIMEOUT_S
    while True:
        with ExitStack() as stack:
            try:
                datacenter = stack.enter_context(connect(configuration.root, client_id=CLIENT))
                datacenter.run(graph, timeout_s=5)
            except FractosError:
                if time.monotonic() > deadline:
                    raise
            else:
                stack.pop_all()
                return datacenter
        time.sleep(0.2)


if __name__ == "__main__":
    raise SystemExit(main())
