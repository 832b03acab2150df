"""The ZooKeeper servers of one datacenter: their folders, their ports, which of them run.

A server's folder is `zookeeper/zookeeper<i>/{bin,conf,data,logs}`. Its conf/zoo.cfg is the only place where its ports are kept;
they are chosen once and changed only if someone else has taken one while none of our servers runs.
"""

from __future__ import annotations

import re
import shlex
import socket
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

from Services.datacenter.installation import Installation
from Services.fractos.config import write_atomically
from Services.fractos.errors import FailedPreconditionError

TEMPLATES = Path(__file__).parent / "templates"
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
HOST = "127.0.0.1"
# Below the range from which systems take the ports of outgoing connections: those could take one of ours while it is idle.
PORTS = range(15_000, 32_000)
JVM_FLAGS = " ".join(
    (
        "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xmx128m",  # small servers that start in half the time
        "-XX:+ExitOnOutOfMemoryError -XX:-UsePerfData",
        "-Djava.net.preferIPv4Stack=true",
        "-Dzookeeper.jmx.log4j.disable=true",
        "-Djava.util.logging.config.file=conf/logging.properties",
    )
)


@dataclass(frozen=True)
class Ports:
    """What one server listens at on 127.0.0.1."""

    client: int
    quorum: int  # 0: none, the server is alone
    election: int  # 0: none


@dataclass(frozen=True)
class Server:
    """One server of the ensemble."""

    folder: Path
    ports: Ports

    @property
    def name(self) -> str:
        """`zookeeper0`."""
        return self.folder.name

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"{HOST}:{self.ports.client}"

    @property
    def command(self) -> list[str]:
        """Runs the server; the same line that `zkServer.sh start` uses."""
        return [str(self.folder / "bin" / "zkServer.sh"), "start-foreground"]

    @property
    def output(self) -> Path:
        """What Java itself prints."""
        return self.folder / "logs" / "zookeeper.out"

    @property
    def log(self) -> Path:
        """What ZooKeeper logs."""
        return self.folder / "logs" / "zookeeper.0.log"


def read_servers(root: Path) -> list[Server]:
    """The servers that are set up in the datacenter in folder `root`; none if their zoo.cfg files do not fit together."""
    first = _read(_folder(root, 0))
    if first is None:
        return []
    servers = []
    peers = first[1] or ((0, 0),)  # a server alone names no peers
    for number, (quorum, election) in enumerate(peers):
        found = _read(_folder(root, number))
        if found is None or found[1] != first[1]:
            return []
        servers.append(Server(_folder(root, number), Ports(found[0], quorum, election)))
    return servers


def prepare_servers(root: Path, count: int, installation: Installation, rng: Random) -> list[Server]:
    """Make the folders of `count` servers, or bring them up to date, and return the servers.

    What is there and still right is left alone, zoo.cfg with whatever a user added to it included. Raises
    FailedPreconditionError if a change is needed that running servers do not allow.
    """
    servers = read_servers(root)
    running = running_servers(root)
    taken = taken_ports(servers, running)
    if len(servers) != count or taken:
        if running:
            wish = (
                f"another program has {', '.join(taken)}"
                if taken
                else f"[ZooKeeper] servers = {count} differs from what is set up"
            )
            raise FailedPreconditionError(
                f"{wish}, but {', '.join(running)} of this datacenter is running; stop it first:"
                " `python3 run_datacenter.py down`, or `bin/zkServer.sh stop` in the server's folder"
            )
        servers = [Server(_folder(root, number), ports) for number, ports in enumerate(choose_ports(count, is_free, rng))]
        for server in servers:
            write_atomically(server.folder / "conf" / "zoo.cfg", zoo_cfg(server, servers))
    for number, server in enumerate(servers, start=1):
        _fill(server, number, installation)
    return servers


def zoo_cfg(server: Server, servers: Sequence[Server]) -> str:
    """The configuration of one server. Its paths are relative, so that a datacenter's folder may be moved or copied."""
    lines = [
        "# Made by run_datacenter.py. Keys may be added or changed: the launcher makes the file anew only to change the ports",
        "# or the number of servers.",
        "tickTime=500",  # ms; sessions last 2 to 20 ticks
        "initLimit=20",
        "syncLimit=10",
        "dataDir=./data",
        f"clientPort={server.ports.client}",
        f"clientPortAddress={HOST}",
        "maxClientCnxns=1000",
        "quorumListenOnAllIPs=false",
        "admin.enableServer=false",
        "4lw.commands.whitelist=srvr,ruok,mntr,conf",
        "preAllocSize=4096",
        "autopurge.snapRetainCount=3",
        "autopurge.purgeInterval=1",
    ]
    if len(servers) > 1:  # a server alone must not name itself: it would wait for a quorum
        lines += [
            f"server.{number}={HOST}:{one.ports.quorum}:{one.ports.election}" for number, one in enumerate(servers, start=1)
        ]
    return "\n".join(lines) + "\n"


def choose_ports(count: int, is_free: Callable[[int], bool], rng: Random) -> list[Ports]:
    """Return free ports for `count` servers, at random, so that datacenters that are set up at once differ."""
    free = (port for port in rng.sample(PORTS, len(PORTS)) if is_free(port))
    try:
        return [Ports(next(free), next(free), next(free)) for _ in range(count)]
    except (StopIteration, RuntimeError) as error:
        raise FailedPreconditionError(
            f"there are not enough free ports on {HOST} from {PORTS.start} to {PORTS.stop}"
        ) from error


def running_servers(root: Path) -> dict[str, int]:
    """The servers of the datacenter that run, whoever started them, with their process ids."""
    folders = {f"{folder}/conf/zoo.cfg": folder.name for folder in _existing_folders(root)}
    scripts = {f"{folder}/bin/zkServer.sh": folder.name for folder in _existing_folders(root)}
    running = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if MAIN in words and words[-1] in folders:
            running[folders[words[-1]]] = process.pid
        elif words[-1:] == ["start-foreground"] and words[-2] in scripts:  # about to become Java
            running[scripts[words[-2]]] = process.pid
    return dict(sorted(running.items()))


def _folder(root: Path, number: int) -> Path:
    return root / "zookeeper" / f"zookeeper{number}"


def _existing_folders(root: Path) -> list[Path]:
    return [folder for folder in (root / "zookeeper").glob("zookeeper*") if folder.is_dir()]


def _read(folder: Path) -> tuple[int, tuple[tuple[int, int], ...]] | None:
    """A server's client port, and the quorum and election port of every server that it knows."""
    try:
        text = (folder / "conf" / "zoo.cfg").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    client = re.search(r"^clientPort=(\d+)$", text, re.MULTILINE)
    peers = re.findall(r"^server\.\d+=[^:]+:(\d+):(\d+)$", text, re.MULTILINE)
    return (int(client[1]), tuple((int(quorum), int(election)) for quorum, election in peers)) if client else None


def taken_ports(servers: Sequence[Server], running: Container[str]) -> list[str]:
    """The ports, in words, which someone else has while the server they belong to does not run."""
    return [
        f"port {port} of {server.name}"
        for server in servers
        if server.name not in running
        for port in (server.ports.client, server.ports.quorum, server.ports.election)
        if port and not is_free(port)
    ]


def is_free(port: int) -> bool:
    """Whether a server could listen at a port now."""
    with socket.socket() as probe:
        # As Java does: connections that linger after a server has ended do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _fill(server: Server, number: int, installation: Installation) -> None:
    """Write what a server's folder needs besides zoo.cfg, where it is missing or differs."""
    for name in ("data", "logs"):
        (server.folder / name).mkdir(parents=True, exist_ok=True)
    environment = {"JAVA": str(installation.java), "CLASSPATH": installation.classpath, "JVMFLAGS": JVM_FLAGS}
    _write_if_changed(server.folder / "data" / "myid", f"{number}\n")
    _write_if_changed(
        server.folder / "conf" / "java.env",
        "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items()),
    )
    for name in ("logging.properties", "logback.xml", "log4j.properties"):
        _write_if_changed(server.folder / "conf" / name, (TEMPLATES / name).read_text(encoding="utf-8"))
    script = server.folder / "bin" / "zkServer.sh"
    _write_if_changed(script, (TEMPLATES / "zkServer.sh").read_text(encoding="utf-8"))
    script.chmod(0o755)


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)
