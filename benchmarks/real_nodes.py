"""A small datacenter whose nodes are children of this process, so that it can kill, stop and weigh each.

Used by overload.py, failover.py, memory_load.py, revoke.py and cnn.py.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import psutil

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.config import load, write_directory_record
from Services.fractos.credentials import issue_client
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import DirectoryRecord, Member
from Services.fractos.transport.unary import CAPABILITY

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {
    "application": "Applications/Application_Controller/application_controller.py",
    "cnn": "Services/ComputationalNodes/CNN/CNN_Controller/cnn_controller.py",
    "math": "Services/ComputationalNodes/MathCompute/Math_Controller/math_controller.py",
    "storage": "Services/StorageNode/Storage_Controller/storage_controller.py",
}
CLIENT = "admin"  # who may use it
CLIENT_S = 86_400.0  # for how long
READY_TIMEOUT_S = 60.0
END_TIMEOUT_S = 20.0
POLL_S = 0.02


@dataclass(frozen=True)
class Footprint:
    """What one process has of the system."""

    memory: int  # resident, in bytes
    descriptors: int  # open
    sockets: int  # among them
    objects: int = 0  # of Memory, at a node

    @classmethod
    def of(cls, pid: int) -> Footprint:
        """That of a process that lives."""
        process = psutil.Process(pid)
        return cls(process.memory_info().rss, process.num_fds(), len(process.net_connections("all")))


class Nodes:
    """The nodes of the datacenter in one folder."""

    def __init__(self, folder: Path, delays_ms: Mapping[str, float], record: DirectoryRecord | None = None) -> None:
        """`delays_ms`: by type of node, how much longer its operations take. `record`: a directory other than files."""
        self.folder = folder
        sections = "".join(
            f"[{kind}_controller]\npaths_to_controller = {script}\nzookeeper = False\n"
            f"device_latency_ms = {delays_ms.get(kind, 0):g}\n"
            for kind, script in SCRIPTS.items()
        )
        names = ", ".join(f"{kind}_controller" for kind in SCRIPTS)
        text = f"[DataCenter]\nname = benchmark\n[Controllers]\ncontroller_names = {names}\n{sections}"
        (folder / "data_center_setup.cfg").write_text(text)
        configuration = load(folder)
        self._record = record or DirectoryRecord("files", str(folder / "directory"), configuration.name)
        write_directory_record(configuration, self._record)
        self._credentials = issue_client(configuration, CLIENT, time.time() + CLIENT_S)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, *names: str) -> None:
        """Start nodes and wait until they are listed."""
        for name in names:
            log = self.folder / f"{name}.log"
            script = str(ROOT / SCRIPTS[name.partition("-")[0]])
            command = [sys.executable, script, "-n", name, "--path", str(self.folder), "--log", str(log)]
            with log.open("ab") as output:
                self._processes[name] = subprocess.Popen(command, stdout=output, stderr=output)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not set(names) <= {member.name for member in self.members() if member.pid == self._processes[member.name].pid}:
            for name in names:
                if self._processes[name].poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{name} does not start:\n{(self.folder / f'{name}.log').read_text()[-2000:]}")
            time.sleep(POLL_S)

    def members(self) -> tuple[Member, ...]:
        """Who is listed now, by type, the leader first."""
        return asyncio.run(self._read())

    def leader(self, node_type: str) -> str:
        """The name of the one that leads its type."""
        return next(member.name for member in self.members() if member.node_type == node_type)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a node a signal."""
        self._processes[name].send_signal(number)

    def pid(self, name: str) -> int:
        """The process of a node."""
        return self._processes[name].pid

    def is_alive(self, name: str) -> bool:
        """Whether the node's process has not ended."""
        return self._processes[name].poll() is None

    def start_again(self, name: str) -> None:
        """Start a node again that was killed, or stopped: then it is killed now."""
        self._processes[name].kill()
        self._processes[name].wait()
        self.start(name)

    def memory(self) -> dict[str, int]:
        """How many bytes of each node are resident."""
        return {name: psutil.Process(process.pid).memory_info().rss for name, process in self._processes.items()}

    def footprints(self) -> dict[str, Footprint]:
        """What each node has of the system."""
        members = {member.name: member.address for member in self.members()}
        return {
            name: replace(Footprint.of(process.pid), objects=self._objects(name, members[name]))
            for name, process in self._processes.items()
        }

    def close(self) -> None:
        """End all nodes."""
        for process in self._processes.values():
            process.terminate()
        deadline = time.monotonic() + END_TIMEOUT_S
        for name, process in self._processes.items():
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                print(f"{name} does not end; it is killed", file=sys.stderr)
                process.kill()
                process.wait()

    def _objects(self, name: str, address: str) -> int:
        """How many Memory objects a node holds."""
        capability = self._credentials.capabilities[name.rpartition("-")[0]]
        metadata = ((CAPABILITY, capability.SerializeToString()),)
        with grpc.insecure_channel(address) as channel:
            stub = fractos_pb2_grpc.TrafficStub(channel)
            return int(stub.Count(fractos_pb2.CountRequest(), metadata=metadata, timeout=READY_TIMEOUT_S).memory_objects)

    async def _read(self) -> tuple[Member, ...]:
        directory = open_directory(self._record)
        try:
            await directory.start()
            return tuple(member for member in directory.members() if member.name in self._processes)
        finally:
            await directory.close()


@contextmanager
def real_nodes(*names: str, delays_ms: Mapping[str, float]) -> Iterator[Nodes]:
    """A running datacenter of these nodes in a temporary folder, the first of a type leading; gone with the context."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        nodes = Nodes(Path(folder), delays_ms)
        try:
            for name in names:
                nodes.start(name)
            yield nodes
        finally:
            nodes.close()
