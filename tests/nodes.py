"""Real nodes in processes of their own, on a directory of files in a temporary folder: a datacenter without its launcher."""

from __future__ import annotations

import asyncio
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import grpc
import psutil
import pytest

from Services.fractos.authority import Authority
from Services.fractos.config import load, write_directory_record
from Services.fractos.credentials import issue_client, load_credentials
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import DirectoryRecord, Member
from Services.fractos.graph import TaskGraph
from Services.fractos.keys import DATACENTER, load_or_make_key
from Services.fractos.transport.unary import CAPABILITY
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[1]
CONTROLLERS = {
    "application": "Applications/Application_Controller/application_controller.py",
    "math": "Services/ComputationalNodes/MathCompute/Math_Controller/math_controller.py",
    "storage": "Services/StorageNode/Storage_Controller/storage_controller.py",
    "cnn": "Services/ComputationalNodes/CNN/CNN_Controller/cnn_controller.py",
}
READY_TIMEOUT_S = 60.0
CLIENT = "admin"
NONE: Mapping[str, str] = MappingProxyType({})


def configuration_text(*node_types: str, scripts: Mapping[str, str] = CONTROLLERS, keys: Mapping[str, str] = NONE) -> str:
    """A data_center_setup.cfg for nodes of these types, without ZooKeeper.

    By type: `scripts` to start, and `keys`, more lines of the section; those of "DataCenter", "Memory" and "Network" too.
    """
    names = ", ".join(f"{node_type}_controller" for node_type in node_types)
    sections = [
        f"[{node_type}_controller]\npaths_to_controller = {scripts[node_type]}\nzookeeper = False\n{keys.get(node_type, '')}\n"
        for node_type in node_types
    ]
    center = f"[DataCenter]\nname = test\n{keys.get('DataCenter', '')}\n"
    center += f"[Memory]\n{keys.get('Memory', '')}\n[Network]\n{keys.get('Network', '')}\n"
    return f"{center}[Controllers]\ncontroller_names = {names}\n{''.join(sections)}"


class Carrying(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Has all calls of a channel carry a capability, serialized."""

    def __init__(self, capability: bytes) -> None:
        self._capability = capability

    def _go_on(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), (CAPABILITY, self._capability))
        return continuation(_Details(details.method, details.timeout, metadata, details.credentials), request)

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return self._go_on(continuation, client_call_details, request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return self._go_on(continuation, client_call_details, request)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return self._go_on(continuation, client_call_details, request_iterator)


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Any
    credentials: Any
    wait_for_ready: bool | None = None
    compression: Any = None


class Nodes:
    """The nodes of one test datacenter, with other `scripts` and more `keys` for some types of node."""

    def __init__(
        self,
        root: Path,
        record: DirectoryRecord | None = None,
        *,
        scripts: Mapping[str, str] = NONE,
        keys: Mapping[str, str] = NONE,
    ) -> None:
        self.root = root
        self._scripts = {**CONTROLLERS, **scripts}
        (root / "data_center_setup.cfg").write_text(configuration_text(*CONTROLLERS, scripts=self._scripts, keys=keys))
        configuration = load(root)
        self.record = record or DirectoryRecord("files", str(root / "directory"), configuration.name)
        write_directory_record(configuration, self.record)
        self.configuration = configuration
        self.issue(CLIENT)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def key(self) -> bytes:
        """What Controllers of this datacenter know each other by."""
        return load_or_make_key(load(self.root).keys_path, DATACENTER)

    def start(self, *names: str) -> None:
        """Start nodes and wait until all are listed."""
        for name in names:
            log = self.root / f"{name}.log"
            with log.open("ab") as output:
                self.processes[name] = subprocess.Popen(
                    [
                        sys.executable,
                        str(ROOT / self._scripts[name.partition("-")[0]]),
                        "-n",
                        name,
                        "--path",
                        str(self.root),
                        "--log",
                        str(log),
                    ],
                    stdout=output,
                    stderr=output,
                )
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not set(names) <= {member.name for member in self.members()}:
            for name in names:
                assert self.processes[name].poll() is None, self.log(name)
            assert time.monotonic() < deadline, "\n".join(self.log(name) for name in names)
            time.sleep(0.05)

    def members(self) -> tuple[Member, ...]:
        """Who is listed now."""

        async def read() -> tuple[Member, ...]:
            directory = open_directory(self.record)
            try:
                await directory.start()
                return directory.members()
            finally:
                await directory.close()

        return asyncio.run(read())

    def address(self, name: str) -> str:
        """Where a node listens."""
        return next(member.address for member in self.members() if member.name == name)

    def issue(self, client_id: str) -> None:
        """Let a client use the datacenter."""
        issue_client(self.configuration, client_id, time.time() + 3600)

    def authority(self, client_id: str = CLIENT) -> Authority:
        """What a client's graphs carry."""
        credentials = load_credentials(self.configuration, client_id)
        return Authority(client_id, credentials.capabilities, time.time, secrets.token_bytes)

    def channel(self, name: str, client_id: str = CLIENT) -> grpc.Channel:
        """A gRPC channel to a node, whose calls carry a client's capability."""
        capability = load_credentials(self.configuration, client_id).capabilities[name.rpartition("-")[0]]
        channel = grpc.insecure_channel(self.address(name), [("grpc.max_receive_message_length", 80 << 20)])
        return grpc.intercept_channel(channel, Carrying(capability.SerializeToString()))

    def wait_until_busy(self, name: str) -> None:
        """Wait until a node computes: its processor time grows."""
        process = psutil.Process(self.processes[name].pid)
        before = process.cpu_times().user
        until(lambda: process.cpu_times().user >= before + 0.1)

    def kill(self, name: str) -> None:
        """kill -9, and wait until the process is gone."""
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def log(self, name: str) -> str:
        """All that a node has written."""
        return (self.root / f"{name}.log").read_text()

    def stop(self) -> None:
        """Stop every node as `down` does; each must end well."""
        for process in self.processes.values():
            process.terminate()
        codes = {name: process.wait(20) for name, process in self.processes.items()}
        self.processes.clear()
        assert set(codes.values()) <= {0}, codes


def slow_graph(steps: int = 100) -> TaskGraph:
    """Some 30 ms of work for each step, one after the other."""
    graph = TaskGraph("slow")
    step = graph.math.binomial_expansion(a=3, b=4, n=9999)
    for _ in range(steps):
        step = graph.math.binomial_expansion(a=3, b=4, n=9999, after=step)
    return graph


@contextmanager
def running(root: Path, *names: str, scripts: Mapping[str, str] = NONE, keys: Mapping[str, str] = NONE) -> Iterator[Nodes]:
    """A datacenter of these nodes."""
    nodes = Nodes(root, scripts=scripts, keys=keys)
    try:
        nodes.start(*names)
        yield nodes
        nodes.stop()
    finally:
        for process in nodes.processes.values():
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """One application, one storage and two math nodes, of which math-0 leads, for a module's tests."""
    with running(tmp_path_factory.mktemp("datacenter"), "application-0", "storage-0", "math-0") as started:
        started.start("math-1")
        yield started
