"""Keys, seals and nonces stay where they belong: not in logs, results, errors, the directory or what `status` prints."""

from __future__ import annotations

import base64
import secrets
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy
import psutil
import pytest

from protos import fractos_pb2, fractos_pb2_grpc, math_pb2, storage_pb2
from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.capability import NONCE_BYTES, Rights, narrow
from Services.fractos.errors import FractosError
from tests.nodes import ROOT, Nodes, running, slow_graph
from tests.service.attackers import call, outcome, run, step
from tests.service.strangers import opening_for, send
from tests.waiting import on_event_loop

CLIENTS = ("alice", "eve")
ARRAY = numpy.arange(1 << 17, dtype="uint8")


@dataclass
class Traffic:
    """What a datacenter has done, and what came of it."""

    nodes: Nodes
    secrets: set[bytes] = field(default_factory=set)
    said: list[str] = field(default_factory=list)  # results, errors, output of commands
    capability: fractos_pb2.Capability = field(default_factory=fractos_pb2.Capability)  # one that was used in every way

    def keep(self, *capabilities: fractos_pb2.Capability) -> None:
        """Remember what nobody may see of capabilities."""
        for capability in capabilities:
            self.secrets.add(capability.seal)
            self.secrets |= {fractos_pb2.Link.FromString(link).nonce for link in capability.links}

    def attempt(self, what: object) -> None:
        """Do something that may fail, and remember all that is said about it."""
        try:
            self.said.append(repr(what() if callable(what) else what))
        except FractosError as error:
            self.said += [str(error), repr(error), repr(error.context)]
        except grpc.RpcError as error:
            self.said += [str(error), repr(error), repr(error.trailing_metadata())]


def use_graphs(traffic: Traffic, datacenter: Datacenter) -> None:
    """Runs that succeed and runs that fail, each with Memory."""
    memory = datacenter.memory(ARRAY, node="math-0")
    part = memory.narrow(offset=1, size=20, rights=Rights.READ)
    traffic.keep(memory.memory.capability, part.memory.capability)
    traffic.said += [repr(memory), str(part), repr(datacenter)]
    for name, client_id in (("a", "alice"), ("../a", "alice"), ("a", "eve"), ("a", "nobody")):
        graph = TaskGraph("traffic")
        scaled = graph.node("math-1").scale(tensor=memory, factor=2.0)
        written = graph.storage.write_bytes(client_id=client_id, name=name, data=part, after=scaled)
        graph.output(graph.storage.read_bytes(client_id=client_id, name=name, after=written))
        authority = datacenter._authority
        assert authority is not None
        serialized = authority.graph(graph)
        traffic.keep(*(one.capability for one in fractos_pb2.Graph.FromString(serialized).steps))
        traffic.attempt(lambda graph=graph: datacenter.run(graph))
        run = datacenter.submit(graph)
        traffic.attempt(run.result)
        traffic.said += [repr(run.trail), repr(graph), repr(graph.steps)]


def misuse(traffic: Traffic) -> None:
    """Calls that are refused, with capabilities that are wrong in every way."""
    nodes = traffic.nodes
    good = nodes.authority("alice").capability("math")
    request = math_pb2.FactorialRequest(n=fractos_pb2.BigInteger(magnitude=b"\5"))
    nonce = secrets.token_bytes(NONCE_BYTES)
    bad = [
        narrow(good, nonce, expires_at=time.time() - 1),
        narrow(good, nonce, node="math-7"),
        narrow(good, nonce, operation="math.power"),
        fractos_pb2.Capability(links=good.links, seal=good.seal[:-1] + bytes([good.seal[-1] ^ 1])),
        fractos_pb2.Capability(links=[*good.links, good.seal], seal=good.seal),
        nodes.authority("alice").capability("storage"),
    ]
    traffic.keep(*bad[:4], good)
    for capability in (*bad, good):
        traffic.attempt(lambda capability=capability: call(nodes, "math-0", "math.factorial", request, capability))
        traffic.attempt(lambda capability=capability: outcome(nodes, "alice", step(1, "math.factorial", request, capability)))
    damaged = step(1, "math.factorial", b"\xff" + good.SerializeToString(), good)
    traffic.attempt(lambda: run(nodes, "alice", [damaged]))
    text = storage_pb2.WriteTextRequest(client_id="alice", name="x", text="y")
    traffic.attempt(lambda: run(nodes, "alice", [step(1, "storage.write_text", text, good)]))
    with grpc.insecure_channel(nodes.address("math-0")) as channel:
        stub = fractos_pb2_grpc.MemoryStoreStub(channel)
        memory = fractos_pb2.Memory(owner=nodes.address("math-0"), object=bytes(16), size=1, capability=good)
        traffic.attempt(lambda: list(stub.Read(fractos_pb2.ReadMemoryRequest(memory=memory), timeout=30)))


def pose_as_a_controller(traffic: Traffic) -> None:
    """A channel with the right opening and a proof of something else."""

    address = traffic.nodes.address("math-0")

    @on_event_loop
    async def attack() -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await send(opening_for(address), address, lambda *_: bytes(32), b"")
        traffic.said += [str(caught.value), repr(caught.value)]

    attack()


def lose_a_node(traffic: Traffic, datacenter: Datacenter) -> None:
    """kill -9 in the middle of a run, which goes on elsewhere."""
    run = datacenter.submit(slow_graph(60))
    traffic.nodes.wait_until_busy("math-0")
    traffic.nodes.kill("math-0")
    traffic.attempt(run.result)
    traffic.nodes.start("math-0")


def revoke(traffic: Traffic) -> None:
    capability = traffic.nodes.authority("eve").capability("math")
    with grpc.insecure_channel(traffic.nodes.address("math-1")) as channel:
        stub = fractos_pb2_grpc.CapabilitiesStub(channel)
        for _ in range(2):
            traffic.attempt(lambda: stub.Revoke(fractos_pb2.RevokeRequest(capability=capability), timeout=30))
    request = math_pb2.FactorialRequest(n=fractos_pb2.BigInteger(magnitude=b"\5"))
    traffic.attempt(lambda: call(traffic.nodes, "math-0", "math.factorial", request, capability))


def ask_for_status(traffic: Traffic) -> None:
    for arguments in (["status"], ["status", "--json"]):
        command = [sys.executable, str(ROOT / "run_datacenter.py"), *arguments, "--path", str(traffic.nodes.root)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert result.stdout
        traffic.said += [result.stdout, result.stderr]


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traffic]:
    """A datacenter that has seen all of this."""
    with running(tmp_path_factory.mktemp("secrets"), "application-0", "storage-0", "math-0") as nodes:
        nodes.start("math-1")  # math-0 leads
        for client in CLIENTS:
            nodes.issue(client)
        traffic = Traffic(nodes)
        traffic.secrets |= {path.read_bytes() for path in nodes.configuration.keys_path.glob("*.key")}
        for client in CLIENTS:
            traffic.keep(
                *(nodes.authority(client).capability(service) for service in ("storage", "math", "cnn", "application"))
            )
        with connect(nodes.root, client_id="alice") as datacenter:
            use_graphs(traffic, datacenter)
            misuse(traffic)
            pose_as_a_controller(traffic)
            lose_a_node(traffic, datacenter)
            revoke(traffic)
            ask_for_status(traffic)
        for process in nodes.processes.values():
            traffic.said += [*psutil.Process(process.pid).cmdline(), *psutil.Process(process.pid).environ().values()]
        yield traffic


def spellings(secret: bytes) -> list[bytes]:
    """How a secret, or a good part of it, can look in a file."""
    part = secret[:NONCE_BYTES]
    found = [part, part.hex().encode(), part.hex().upper().encode(), part.hex(" ").encode(), part.hex(":").encode()]
    for shift in range(3):  # where it begins within a group of three bytes
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            found.append(encode(bytes(shift) + part)[4 if shift else 0 : -4])
    found.append(repr(part)[2:-1].encode())
    found.append(str(list(part))[1:-1].encode())
    return found


def leaks(content: bytes, known: set[bytes]) -> list[bytes]:
    return [secret for secret in known if any(spelling in content for spelling in spellings(secret))]


def files(traffic: Traffic) -> list[Path]:
    """Every file of the datacenter but those that are there to keep secrets."""
    configuration = traffic.nodes.configuration
    closed = (configuration.keys_path, configuration.clients_path, configuration.journal_path)
    found = [path for path in sorted(traffic.nodes.root.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [path for path in found if not any(folder in path.parents for folder in closed)]


@pytest.mark.parametrize("place", [b"%s", b"seal: %s,", b"xx%s"])
def test_the_search_finds_what_is_there(place: bytes) -> None:
    secret = bytes(range(100, 132))
    for spelling in (secret, secret.hex().encode(), base64.b64encode(b"ab" + secret), repr(secret).encode()):
        assert leaks(place % spelling, {secret, bytes(32)}) == [secret]
    assert not leaks(b"nothing of the kind", {secret})


def test_no_file_holds_a_secret(traffic: Traffic) -> None:
    assert len(traffic.secrets) > 30
    assert all(len(secret) >= NONCE_BYTES for secret in traffic.secrets)
    names = {path.name for path in files(traffic)}
    assert {"storage-0.log", "math-0.log", "application-0.log"} <= names
    found = {str(path): leaks(path.read_bytes(), traffic.secrets) for path in files(traffic)}
    assert [path for path, leaked in found.items() if leaked] == []
    assert leaks(traffic.nodes.configuration.clients_path.joinpath("alice.json").read_bytes(), traffic.secrets)


def test_nothing_that_was_said_holds_a_secret(traffic: Traffic) -> None:
    assert any("PERMISSION_DENIED" in text for text in traffic.said)
    assert any("not valid" in text for text in traffic.said)
    assert [text[:300] for text in traffic.said if leaks(text.encode(), traffic.secrets)] == []


def test_logs_do_not_show_a_defect(traffic: Traffic) -> None:
    """All of that was refused on purpose."""
    for path in traffic.nodes.root.glob("*.log"):
        assert "Traceback" not in path.read_text(), path.name


def test_what_holds_secrets_is_for_its_owner_alone(traffic: Traffic) -> None:
    configuration = traffic.nodes.configuration
    journal = [path for path in configuration.journal_path.iterdir() if path.name.startswith("runs.db")]
    assert {"runs.db", "runs.db-wal"} <= {path.name for path in journal}
    for path in (*configuration.keys_path.iterdir(), *configuration.clients_path.iterdir(), *journal):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for folder in (configuration.keys_path, configuration.clients_path):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
