"""The ZooKeeper servers of one datacenter: their folders, their ports, which of them run.

A server's folder is `zookeeper/zookeeper<i>/{bin,conf,data,logs}`. Its conf/zoo.cfg is the only place where its ports are kept;
they are chosen once and changed only if someone else has taken one while none of our servers runs. Whatever else is in conf/ is
written once and then the user's.
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
from Services.datacenter.next_command import to_type
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

# Its paths are relative, so that a datacenter's folder may be moved or copied. Times: tickTime in ms, the limits in ticks.
NEW_ZOO_CFG = f"""\
# Made by run_datacenter.py. Keys may be added or changed; the launcher changes nothing but the ports, which are at the end.
tickTime=500
initLimit=20
syncLimit=10
dataDir=./data
clientPortAddress={HOST}
maxClientCnxns=1000
quorumListenOnAllIPs=false
admin.enableServer=false
4lw.commands.whitelist=srvr,ruok,mntr,conf
preAllocSize=4096
autopurge.snapRetainCount=3
autopurge.purgeInterval=1
"""
CLIENT_PORT = re.compile(r"[ \t]*clientPort[ \t]*=[ \t]*(\d+)[ \t]*")
PEER = re.compile(r"[ \t]*server\.\d+[ \t]*=.*")
PEER_PORTS = re.compile(r"[^=]*=[^:=]+:(\d+):(\d+)[ \t]*")


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
    """The servers that are set up in the datacenter in folder `root`; none if their zoo.cfg files do not fit together.

    Raises FailedPreconditionError if the ports in a zoo.cfg cannot be understood.
    """
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

    What is there and still right is left alone; of a zoo.cfg only the lines with ports are ever changed. Raises
    FailedPreconditionError if a change is needed that running servers do not allow, or a zoo.cfg cannot be understood.
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
                f" `{to_type(root, 'down')}`, or `bin/zkServer.sh stop` in the server's folder"
            )
        servers = [Server(_folder(root, number), ports) for number, ports in enumerate(choose_ports(count, is_free, rng))]
        for server in servers:
            config = server.folder / "conf" / "zoo.cfg"
            text = config.read_text(encoding="utf-8") if config.exists() else NEW_ZOO_CFG
            write_atomically(config, with_ports(text, server, servers))
    for number, server in enumerate(servers, start=1):
        _fill(server, number, installation)
    return servers


def with_ports(text: str, server: Server, servers: Sequence[Server]) -> str:
    """A zoo.cfg with the ports of a server and its peers instead of those in it; all other lines are kept."""
    lines = [line for line in text.splitlines() if not CLIENT_PORT.fullmatch(line) and not PEER.fullmatch(line)]
    lines.append(f"clientPort={server.ports.client}")
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
        elif len(words) > 1 and words[-1] == "start-foreground" and words[-2] in scripts:  # about to become Java
            running[scripts[words[-2]]] = process.pid
    return dict(sorted(running.items()))


def was_stopped(folder: Path) -> bool:
    """Whether the server in this folder that does not run any more was stopped with its zkServer.sh, and has not crashed."""
    return not (folder / "data" / "zookeeper_server.pid").exists()


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
    lines = text.splitlines()
    clients = [match[1] for line in lines if (match := CLIENT_PORT.fullmatch(line))]
    peers = [PEER_PORTS.fullmatch(line) for line in lines if PEER.fullmatch(line)]
    known = [(int(peer[1]), int(peer[2])) for peer in peers if peer]
    if len(clients) != 1 or len(known) != len(peers):
        raise FailedPreconditionError(
            f"{folder / 'conf' / 'zoo.cfg'} cannot be understood: it needs one line clientPort=<port>, and its lines server.<n>"
            " have the form server.<n>=<address>:<port>:<port>; correct it, or delete it to have it made anew"
        )
    return int(clients[0]), tuple(known)


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
    """Write what a server's folder needs besides zoo.cfg: conf/ where something is missing, the rest also where it differs."""
    for name in ("data", "logs"):
        (server.folder / name).mkdir(parents=True, exist_ok=True)
    _write_if_changed(server.folder / "data" / "myid", f"{number}\n")
    environment = server.folder / "conf" / "java.env"
    _write_if_changed(
        environment, java_env(environment.read_text(encoding="utf-8") if environment.exists() else "", installation)
    )
    for name in ("logging.properties", "logback.xml", "log4j.properties"):
        if not (server.folder / "conf" / name).exists():
            write_atomically(server.folder / "conf" / name, (TEMPLATES / name).read_text(encoding="utf-8"))
    script = server.folder / "bin" / "zkServer.sh"
    _write_if_changed(script, (TEMPLATES / "zkServer.sh").read_text(encoding="utf-8"))
    script.chmod(0o755)


def java_env(text: str, installation: Installation) -> str:
    """A java.env with what `text` lacks, and with new places instead of those from which Java or ZooKeeper has gone.

    Nor does a place stay that was found at an earlier set-up, when there was no better one; others are the user's.
    """
    for name, value in (("JAVA", str(installation.java)), ("CLASSPATH", installation.classpath), ("JVMFLAGS", JVM_FLAGS)):
        wanted = f"{name}={shlex.quote(value)}"
        stated = re.search(rf"^{name}=(.*)$", text, re.MULTILINE)
        if stated is None:
            text += f"{wanted}\n"
        elif name != "JVMFLAGS" and ((place := stated[1].strip("'\" ")) in installation.passed_over or _are_gone(place)):
            text = text.replace(stated[0], wanted)
    return text


def _are_gone(places: str) -> bool:
    """Whether there is none of the places in a class path; what only a shell can tell is taken to be there."""
    return places.startswith("/") and not any(Path(place.removesuffix("*")).exists() for place in places.split(":"))


def _write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)
