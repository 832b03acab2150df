"""Which directory a node uses: the recorded one, or the one that it forms a datacenter with. Called by `node.py`.

`--setup` and `up` record a directory. A node that is started by hand where there is no record makes one, which the next nodes,
`up` and `connect()` find: with ZooKeeper if its flag says so and the servers of this folder run or `[ZooKeeper] hosts` names
others, else with files.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

from Services.fractos.config import Configuration, lock_directory_record, read_directory_record, write_directory_record
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import ConfigurationError, UnavailableError

HOST = "127.0.0.1"
CLIENT_PORT = re.compile(r"^[ \t]*clientPort[ \t]*=[ \t]*(\d+)[ \t]*$", re.MULTILINE)
PEER = re.compile(r"^[ \t]*server\.\d+[ \t]*=", re.MULTILINE)
ANSWER_S = 1.0


def join_or_form(configuration: Configuration, *, zookeeper: bool) -> DirectoryRecord:
    """Return the recorded directory; without one choose it and record it.

    Raises ConfigurationError if ZooKeeper is asked for and the record names another kind or no server is set up, and
    UnavailableError if none of the servers runs.
    """
    with lock_directory_record(configuration):
        record = read_directory_record(configuration)
        if record is None:
            external = configuration.with_directory("zookeeper").external_directory
            record = (external or _servers(configuration)) if zookeeper else _files(configuration)
            write_directory_record(configuration, record)
    if zookeeper and record.kind != "zookeeper":
        raise ConfigurationError(
            f"--zookeeper: the datacenter in {configuration.root} uses {record.kind} ({record.address}); leave the flag out,"
            " or stop all of its nodes and type `python3 run_datacenter.py --setup --directory zookeeper`"
        )
    return record


def _files(configuration: Configuration) -> DirectoryRecord:
    return DirectoryRecord("files", str(configuration.service_config_path / "directory"), configuration.name)


def _servers(configuration: Configuration) -> DirectoryRecord:
    """The ZooKeeper servers in the datacenter's folder, of which at least one must run."""
    ports = _client_ports(configuration.root / "zookeeper")
    if not ports:
        raise ConfigurationError(
            f"--zookeeper: no ZooKeeper server is set up in {configuration.root / 'zookeeper'}; type"
            " `python3 run_datacenter.py --setup` and start the servers, or leave the flag out"
        )
    if not any(_listens(port) for port in ports.values()):
        scripts = ", ".join(f"zookeeper/{name}/bin/zkServer.sh start" for name in ports)
        raise UnavailableError(
            f"--zookeeper: no ZooKeeper server of {configuration.root} runs; start them: {scripts}; or leave the flag out"
        )
    address = ",".join(f"{HOST}:{port}" for port in ports.values())
    return DirectoryRecord("zookeeper", address, configuration.name)


def _client_ports(folder: Path) -> dict[str, int]:
    """The servers by name, as many as the first one knows, with the port for clients of each."""
    ports: dict[str, int] = {}
    count = 1
    while len(ports) < count:
        name = f"zookeeper{len(ports)}"
        try:
            text = (folder / name / "conf" / "zoo.cfg").read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        if (port := CLIENT_PORT.search(text)) is None:
            return {}
        ports[name] = int(port[1])
        count = max(1, len(PEER.findall(text)))
    return ports


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), ANSWER_S):
            return True
    except OSError:
        return False
