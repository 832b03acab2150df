"""How a datacenter grows: `python benchmarks/scale.py [--directory zookeeper] [--nodes 4,25,50,100] [--json]`.

Brings up datacenters of so many nodes in turn, each in a temporary folder: one application node, the others math and storage
nodes in about equal parts. Prints how long `up` takes until all are ready, what the nodes have of the system while nobody uses
them, and what the directory was asked. Then the smallest and the largest run beside each other: a ring of 3 steps over the
first three math nodes, and over the last three, run by run by turns, so that a slow moment of the machine hits all of them.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import psutil

from Services.datacenter.bench.graphs import ring
from Services.datacenter.bench.own_datacenter import CONTROLLERS
from Services.datacenter.ensemble import read_servers
from Services.fractos import connect

ROOT = Path(__file__).resolve().parents[1]
SETTLE_S = 3.0
IDLE_S = 10.0
CALLS = 40
KINDS = ("application", "math", "storage")
MNTR = {"packets_received": "packets asked", "response_bytes": "bytes answered", "watch_count": "watches"}

Figures = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", choices=("files", "zookeeper"), default="files", help="(default: %(default)s)")
    parser.add_argument("--nodes", type=_numbers, default="4,25,50,100", help="how many (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="how many rounds of latencies (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    is_zookeeper = options.directory == "zookeeper"
    sizes: dict[int, Figures] = {}
    for nodes in options.nodes:
        with running(nodes, is_zookeeper) as (folder, up_s):
            sizes[nodes] = {"up, s": up_s, **idle(folder)}
            print(f"{nodes} nodes were up after {up_s:.1f} s", file=sys.stderr)
    latencies = compare(min(options.nodes), max(options.nodes), is_zookeeper, options.rounds)
    if options.json:
        print(json.dumps({"directory": options.directory, "sizes": sizes, "latencies": latencies}, indent=2))
    else:
        print(as_text(sizes, latencies))
    return 0


@contextmanager
def running(nodes: int, is_zookeeper: bool) -> Iterator[tuple[Path, float]]:
    """A datacenter of so many nodes, and how many seconds it took to become ready."""
    with tempfile.TemporaryDirectory(prefix="scale-benchmark-") as name:
        folder = Path(name)
        (folder / "data_center_setup.cfg").write_text(configuration(counts(nodes), is_zookeeper))
        command = [sys.executable, str(ROOT / "run_datacenter.py"), "--path", name]
        try:
            if is_zookeeper:
                subprocess.run([*command, "--setup"], check=True, stdout=subprocess.DEVNULL)
            start = time.perf_counter()
            subprocess.run([*command, "up"], check=True, stdout=subprocess.DEVNULL)
            yield folder, time.perf_counter() - start
        finally:
            subprocess.run([*command, "down"], check=True, stdout=subprocess.DEVNULL)


def counts(nodes: int) -> dict[str, int]:
    """How many nodes of each type a datacenter has; three math nodes at least."""
    storage = max(0, nodes - 4) // 2
    return {"application": 1, "math": nodes - 1 - storage, "storage": storage}


def configuration(of_type: dict[str, int], is_zookeeper: bool) -> str:
    """The data_center_setup.cfg for so many nodes of each type."""
    kinds = [kind for kind in KINDS if of_type[kind]]
    sections = "".join(
        f"[{kind}_controller]\npaths_to_controller = {CONTROLLERS[kind]}\n"
        f"replicas = {of_type[kind]}\nzookeeper = {is_zookeeper}\n"
        for kind in kinds
    )
    names = ", ".join(f"{kind}_controller" for kind in kinds)
    return f"[DataCenter]\nname = scale-benchmark\n[Controllers]\ncontroller_names = {names}\n{sections}"


def idle(folder: Path) -> Figures:
    """What the nodes have of the system, and what the directory has had to do."""
    time.sleep(SETTLE_S)
    asked = directory_load(folder)
    nodes = processes(folder)
    before = {name: cpu_s(process) for name, process in nodes.items()}
    time.sleep(IDLE_S)
    shares = {name: (cpu_s(process) - before[name]) / IDLE_S for name, process in nodes.items()}
    figures: Figures = {"start, s of processor time per node": statistics.fmean(before.values())}
    figures["idle, % of a processor for all nodes"] = 100 * sum(shares.values())
    for kind in KINDS:
        if ours := [process for name, process in nodes.items() if name.startswith(f"{kind}-")]:
            figures |= of_kind(kind, ours)
    return figures | asked


def of_kind(kind: str, nodes: Sequence[psutil.Process]) -> Figures:
    """The largest of what each node of a type has."""
    return {
        f"{kind}: resident, MB": max(node.memory_info().rss for node in nodes) / 1e6,
        f"{kind}: connections": max(len(node.net_connections("tcp")) for node in nodes),
        f"{kind}: descriptors": max(node.num_fds() for node in nodes),
        f"{kind}: threads": max(node.num_threads() for node in nodes),
    }


def processes(folder: Path) -> dict[str, psutil.Process]:
    """The nodes by name."""
    command = [sys.executable, str(ROOT / "run_datacenter.py"), "--path", str(folder), "status", "--json"]
    status = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {node["node"]: psutil.Process(node["pid"]) for node in status["nodes"]}


def cpu_s(process: psutil.Process) -> float:
    """Processor time so far, in seconds."""
    times = process.cpu_times()
    return float(times.user + times.system)


def directory_load(folder: Path) -> Figures:
    """What all ZooKeeper servers together count; nothing for a directory of files."""
    load: Figures = {}
    for server in read_servers(folder):
        host, _, port = server.address.rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"mntr")
            lines = connection.makefile().read().splitlines()
        for key, value in (line.removeprefix("zk_").split("\t", 1) for line in lines):
            if key in MNTR:
                load[f"directory: {MNTR[key]}"] = load.get(f"directory: {MNTR[key]}", 0.0) + float(value)
    return load


def compare(few: int, many: int, is_zookeeper: bool, rounds: int) -> dict[str, Figures]:
    """The latencies in a small datacenter and a large one, and how many times longer runs take in the large one."""
    with ExitStack() as stack:
        clients = []
        for nodes in (few, many):
            folder, _ = stack.enter_context(running(nodes, is_zookeeper))
            clients.append(stack.enter_context(connect(folder, client_id="admin")))
        last = counts(many)["math"] - 1
        kinds = {
            "of few": (clients[0], ring(3)),
            "of many": (clients[1], ring(3)),
            "over the last of many": (clients[1], ring(3, [f"math-{number}" for number in (last - 2, last - 1, last)])),
        }
        samples: dict[str, list[float]] = {}
        for number in range(-2, rounds):
            found = medians_ms({name: partial(client.run, graph) for name, (client, graph) in kinds.items()})
            if number >= 0:
                for name, value in found.items():
                    samples.setdefault(f"ring of 3 {name}, ms", []).append(value)
                samples.setdefault("many / few", []).append(found["of many"] / found["of few"])
                samples.setdefault("last of many / few", []).append(found["over the last of many"] / found["of few"])
    return {
        name: {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
        for name, values in samples.items()
    }


def medians_ms(calls: Mapping[str, Callable[[], object]]) -> Figures:
    """The median duration of each call, in milliseconds, made by turns."""
    durations: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(CALLS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            durations[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) * 1e3 for name, found in durations.items()}


def as_text(sizes: dict[int, Figures], latencies: dict[str, Figures]) -> str:
    """The figures as two tables."""
    lines = [f"{'nodes':40}" + "".join(f"{nodes:12}" for nodes in sizes)]
    for name in dict.fromkeys(name for figures in sizes.values() for name in figures):
        cells = (f"{figures[name]:12.1f}" if name in figures else f"{'':12}" for figures in sizes.values())
        lines.append(f"{name:40}" + "".join(cells))
    lines += ["", f"{'':40}{'median':>12}{'lowest':>12}{'highest':>12}"]
    for name, figure in latencies.items():
        lines.append(f"{name:40}" + "".join(f"{figure[key]:12.3f}" for key in ("median", "lowest", "highest")))
    return "\n".join(lines)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


if __name__ == "__main__":
    raise SystemExit(main())
