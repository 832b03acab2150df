"""Emulated links beside real ones: an array through a chain of nodes that are each in a network namespace of their own.

sudo .venv/bin/python benchmarks/network_namespaces.py [--rounds N] [--json]

Two math nodes, each in a namespace, are joined by a bridge, so that Memory goes between them as a stream over TCP. A round
moves an array to and fro: with the rates of both network cards limited by the kernel (`tc` with a token bucket, tbf), then with
these limits removed and the same bandwidth emulated, then with neither, by the same processes. What counts is the ratio of the
first two. The kernel's rate includes the headers of packets, about 5 %. Needs root, and `ip` and `tc` of iproute2; removes what
it has made. Exit code 1 if a median ratio is not within 0.9 and 1.1, and the two differ by more than what a chain takes that
nothing limits, which a real link takes besides.
"""

from __future__ import annotations

import argparse
import json
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

RATES_MBIT = (100, 1000)
SIZES_MIB = (1, 4, 16, 32)
TRANSFERS = 4  # from node to node, in a chain
TIMEOUT_S = 120.0
PREFIX = "mockdc-bench"  # of the namespaces
SUBNET = "198.18.77"  # of the range for benchmarks, RFC 2544
NODES = ("math-0", "math-1")
BURST_S = 0.001  # for so long the token bucket lets through what it has; less, and a late timer makes the link slower
LOWEST, HIGHEST = 0.9, 1.1


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
        print(json.dumps([{**asdict(one), "is_right": one.is_right} for one in figures], indent=2))
    return 0 if all(one.is_right for one in figures) else 1


@dataclass(frozen=True)
class Figure:
    """One line of the table: medians of the rounds, in seconds, and the ratios of the rounds."""

    rate_mbit: int
    size_mib: int
    real_s: float
    emulated_s: float
    free_s: float  # without any limit
    ratio: float
    lowest: float
    highest: float

    @property
    def is_right(self) -> bool:
        """Whether the emulated link is like the real one."""
        return LOWEST <= self.ratio <= HIGHEST or abs(self.real_s - self.emulated_s) <= self.free_s


def measure(configuration: Configuration, datacenter: Datacenter, rate: int, size: int, rounds: int) -> Figure:
    """How long the chain takes with the kernel's limits, with emulated ones and with none."""
    array = datacenter.memory(numpy.ones(size << 17), node=NODES[0])
    graph = TaskGraph("chain")
    step = graph.node(NODES[0]).scale(tensor=array, factor=1.0)
    for number in range(TRANSFERS):
        step = graph.node(NODES[(number + 1) % 2]).scale(tensor=step.tensor, factor=1.0)
    found = []
    for number in range(-1, rounds):
        _limit(rate)
        real_s = _run_s(datacenter, graph)
        _limit(None)
        _say(configuration, (Rule("*", "*", bandwidth_mbit=rate),))
        emulated_s = _run_s(datacenter, graph)
        _say(configuration, ())
        if number >= 0:
            found.append((real_s, emulated_s, _run_s(datacenter, graph)))
    array.release()
    ratios = [real_s / emulated_s for real_s, emulated_s, _ in found]
    real_s, emulated_s, free_s = (statistics.median(times) for times in zip(*found, strict=True))
    return Figure(rate, size, real_s, emulated_s, free_s, statistics.median(ratios), min(ratios), max(ratios))


def _run_s(datacenter: Datacenter, graph: TaskGraph) -> float:
    began = time.perf_counter()
    datacenter.run(graph, timeout_s=TIMEOUT_S)
    return time.perf_counter() - began


def _say(configuration: Configuration, rules: tuple[Rule, ...]) -> None:
    change(configuration, lambda before: rules)


def _line(one: Figure) -> str:
    spread = f"{one.ratio:.3f} ({one.lowest:.3f} to {one.highest:.3f})"
    times = f"real {one.real_s:7.3f} s, emulated {one.emulated_s:7.3f} s, free {one.free_s:6.3f} s"
    verdict = "right" if one.is_right else "WRONG"
    return f"{one.rate_mbit:5g} Mbit/s, {TRANSFERS} x {one.size_mib:2g} MiB: {times}, ratio {spread} {verdict}"


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
            bucket = ["tbf", "rate", f"{rate_mbit}mbit", "burst", str(burst_bytes), "latency", "400ms"]
            subprocess.run([*place, "replace", *card, *bucket], check=True)


def _remove() -> None:
    listed = subprocess.run(["ip", "netns", "list"], check=True, capture_output=True, text=True).stdout
    for name in (line.split()[0] for line in listed.splitlines() if line.startswith(f"{PREFIX}-")):
        _ip("netns", "delete", name)  # with its cards, and with them their other ends


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
