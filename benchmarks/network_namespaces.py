"""Emulated links beside real ones: an array through a chain of nodes that are each in a network namespace of their own.

sudo .venv/bin/python -m benchmarks.network_namespaces [--rounds N] [--json]

Two math nodes, each in a namespace, are joined by a bridge, so that Memory goes between them as a stream over TCP. A round
moves an array to and fro: once with the rates of both network cards limited by the kernel (`tc` with a token bucket, tbf), once
with these limits removed and the same bandwidth emulated, by the same processes. What counts is the ratio of both. The kernel's rate
includes the headers of packets, about 5 %. Needs root, and `ip` and `tc` of iproute2; removes what it has made. Exit code 1 if
a median ratio is not within 0.9 and 1.1.
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
from pathlib import Path

import numpy

from benchmarks.real_nodes import CLIENT, CLIENT_S, END_TIMEOUT_S, READY_TIMEOUT_S, ROOT, SCRIPTS
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
BURST = "32kb"  # what the token bucket lets through at once
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
                real, emulated = measure(configuration, datacenter, rate, size, options.rounds)
                ratios = [one / other for one, other in zip(real, emulated, strict=True)]
                figures.append(
                    {
                        "rate_mbit": rate,
                        "size_mib": size,
                        "real_s": statistics.median(real),
                        "emulated_s": statistics.median(emulated),
                        "ratio": statistics.median(ratios),
                        "lowest": min(ratios),
                        "highest": max(ratios),
                    }
                )
                if not options.json:
                    print(_line(figures[-1]), flush=True)
    if options.json:
        print(json.dumps(figures, indent=2))
    return 0 if all(LOWEST <= one["ratio"] <= HIGHEST for one in figures) else 1


def measure(
    configuration: Configuration, datacenter: Datacenter, rate: int, size: int, rounds: int
) -> tuple[list[float], list[float]]:
    """How long the chain takes with the kernel's limits and with emulated ones, in seconds, round by round."""
    array = datacenter.memory(numpy.ones(size << 17), node=NODES[0])
    graph = TaskGraph("chain")
    step = graph.node(NODES[0]).scale(tensor=array, factor=1.0)
    for number in range(TRANSFERS):
        step = graph.node(NODES[(number + 1) % 2]).scale(tensor=step.tensor, factor=1.0)
    real: list[float] = []
    emulated: list[float] = []
    for number in range(-1, rounds):
        _say(configuration, ())
        _limit(rate)
        real_s = _run_s(datacenter, graph)
        _limit(None)
        _say(configuration, (Rule("*", "*", bandwidth_mbit=rate),))
        emulated_s = _run_s(datacenter, graph)
        if number >= 0:
            real.append(real_s)
            emulated.append(emulated_s)
    _say(configuration, ())
    array.release()
    return real, emulated


def _run_s(datacenter: Datacenter, graph: TaskGraph) -> float:
    began = time.perf_counter()
    datacenter.run(graph, timeout_s=TIMEOUT_S)
    return time.perf_counter() - began


def _say(configuration: Configuration, rules: tuple[Rule, ...]) -> None:
    change(configuration, lambda before: rules)


def _line(one: dict[str, float]) -> str:
    verdict = "right" if LOWEST <= one["ratio"] <= HIGHEST else "WRONG"
    spread = f"({one['lowest']:.3f} to {one['highest']:.3f})"
    return (
        f"{one['rate_mbit']:5g} Mbit/s, {TRANSFERS} x {one['size_mib']:2g} MiB: real {one['real_s']:7.3f} s,"
        f" emulated {one['emulated_s']:7.3f} s, ratio {one['ratio']:.3f} {spread} {verdict}"
    )


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
            bucket = ["tbf", "rate", f"{rate_mbit}mbit", "burst", BURST, "latency", "400ms"]
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
