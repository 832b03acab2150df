"""Revocation over real nodes: nothing of what was revoked begins after it was said to be done, and all else goes on."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import fractos_pb2, math_pb2, storage_pb2
from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.capability import NONCE_BYTES, narrow
from Services.fractos.client import Run
from Services.fractos.credentials import load_credentials
from Services.fractos.errors import FractosError, PermissionDeniedError, UnavailableError
from Services.fractos.revoking import revoke, revoke_all
from tests.nodes import Nodes, running
from tests.service.attackers import call, outcome, status_of, step
from tests.waiting import until

MATH = ("math-0", "math-1", "math-2")
STORAGE = ("storage-0", "storage-1")
DENIED = "PERMISSION_DENIED"
FIVE = math_pb2.FactorialRequest(n=fractos_pb2.BigInteger(magnitude=b"\5"))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    slow = {"math": "device_latency_ms = 40"}
    with running(tmp_path_factory.mktemp("revoking"), "application-0", *STORAGE, *MATH, keys=slow) as started:
        yield started


@pytest.fixture
def alice(nodes: Nodes) -> Iterator[Datacenter]:
    with client(nodes, "alice") as connected:
        yield connected


def client(nodes: Nodes, name: str) -> Datacenter:
    """A client that may use the datacenter."""
    if not (nodes.configuration.clients_path / f"{name}.json").exists():
        nodes.issue(name)
    return connect(nodes.root, client_id=name)


def revoke_client(nodes: Nodes, name: str) -> float:
    """As `clients revoke` does. Returns when it had been done."""
    capabilities = load_credentials(nodes.configuration, name).capabilities
    asyncio.run(revoke_all(nodes.configuration, [capabilities[service] for service in ("application", "math", "storage")]))
    return time.time()


def factorial(node: str, nodes: Nodes, capability: fractos_pb2.Capability) -> str:
    return status_of(call, nodes, node, "math.factorial", FIVE, capability)


def nonce(number: int) -> bytes:
    return number.to_bytes(NONCE_BYTES, "big")


def work(name: str, number: int) -> TaskGraph:
    """Something at two math nodes, then a file."""
    graph = TaskGraph("work")
    first = graph.node(MATH[number % 3]).factorial(n=5)
    second = graph.node(MATH[(number + 1) % 3]).factorial(n=first.value)
    graph.storage.write_integer(client_id=name, name=f"{number}.txt", value=second.value)
    return graph


class Load:
    """A client that submits runs all the time."""

    def __init__(self, datacenter: Datacenter, name: str, in_flight: int) -> None:
        self._datacenter = datacenter
        self._name = name
        self._in_flight = in_flight
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._submit)
        self.runs: list[Run] = []

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def done(self) -> int:
        """How many runs have succeeded."""
        return sum(1 for run in list(self.runs) if run.done() and status(run) == "OK")

    def _submit(self) -> None:
        while not self._over.is_set():
            waiting = [run for run in self.runs if not run.done()]
            if len(waiting) < self._in_flight:
                self.runs.append(self._datacenter.submit(work(self._name, len(self.runs))))
            else:
                self._over.wait(0.005)


def status(run: Run) -> str:
    """How a run ends."""
    try:
        run.result()
    except FractosError as error:
        return error.status
    return "OK"


def test_no_step_begins_after_a_client_was_revoked_and_others_go_on(nodes: Nodes, alice: Datacenter) -> None:
    with client(nodes, "eve") as eve, Load(alice, "alice", 2) as hers, Load(eve, "eve", 60) as load:
        until(lambda: load.done() >= 20 and hers.done() >= 3)
        at = revoke_client(nodes, "eve")
        before = hers.done()
        until(lambda: hers.done() >= before + 3)
        until(lambda: all(run.done() for run in list(load.runs)[-5:]) and len(load.runs) > 100)
    ended = [status(run) for run in load.runs]
    assert set(ended) == {"OK", DENIED}
    late = [(hop.operation, hop.node, hop.started_at - at) for run in load.runs for hop in run.trail if hop.started_at > at]
    assert late == []
    # Those that had got some way were stopped in the middle of it, at whichever node.
    assert any(run.trail and outcome != "OK" for run, outcome in zip(load.runs, ended, strict=True))
    written = {path.name for path in (nodes.root / "Services" / "storage" / "eve").iterdir()}
    began = {
        f"{number}.txt" for number, run in enumerate(load.runs) if run.trail and run.trail[-1].operation.startswith("storage")
    }
    assert written <= began
    assert [status(run) for run in hers.runs] == ["OK"] * len(hers.runs)


def test_what_waits_for_the_device_does_not_begin_any_more(nodes: Nodes) -> None:
    """It was allowed when it arrived."""
    with client(nodes, "mallory") as mallory:
        graph = TaskGraph("waiting")
        graph.node("math-0").factorial(n=5)
        runs = [mallory.submit(graph, timeout_s=60) for _ in range(100)]
        until(lambda: any(run.done() for run in runs))
        at = revoke_client(nodes, "mallory")
        ended = [status(run) for run in runs]
    assert {"OK", DENIED} == set(ended)
    assert [hop.started_at - at for run in runs for hop in run.trail if hop.started_at > at] == []


def test_a_direct_call_that_waits_does_not_begin_any_more(nodes: Nodes) -> None:
    nodes.issue("trent")
    capability = nodes.authority("trent").capability("math")
    ended: list[str] = []
    threads = [threading.Thread(target=lambda: ended.append(factorial("math-0", nodes, capability))) for _ in range(40)]
    for thread in threads:
        thread.start()
    until(lambda: ended)
    revoke_client(nodes, "trent")
    done = ended.count("OK")
    for thread in threads:
        thread.join()
    assert ended.count("OK") <= done + 8  # those that had begun: one for each thread of the device
    assert set(ended) == {"OK", DENIED}


def test_a_revoked_client_does_nothing_any_more(nodes: Nodes, alice: Datacenter) -> None:
    with client(nodes, "dave") as dave:
        memory = dave.memory(b"data", node="math-0")
        assert dave.run(work("dave", 0)).trail
        revoke_client(nodes, "dave")
        for attempt in (lambda: dave.run(work("dave", 1)), lambda: dave.memory(b"more", node="math-0")):
            with pytest.raises(PermissionDeniedError, match="revoked"):
                attempt()
        assert memory.read() == b"data"  # that is not a service's: it goes with the connection
    with pytest.raises(PermissionDeniedError, match="revoked"):
        client(nodes, "dave")
    authority = nodes.authority("dave")
    for node in MATH:
        assert factorial(node, nodes, authority.capability("math")) == DENIED
    for node in STORAGE:
        listing = storage_pb2.ListRequest(client_id="dave")
        assert status_of(call, nodes, node, "storage.list", listing, authority.capability("storage")) == DENIED
    # What was in somebody else's hands as well.
    for_all_who_ask = narrow(authority.capability("math"), nonce(1), operation="math.factorial")
    assert outcome(nodes, "alice", step(1, "math.factorial", FIVE, for_all_who_ask)) == DENIED
    assert alice.run(work("alice", 0)).trail


def test_a_revocation_goes_down_the_tree_and_not_up_or_sideways(nodes: Nodes) -> None:
    nodes.issue("carol")
    parent = nodes.authority("carol").capability("math")
    one, other = (narrow(parent, nonce(number), operation="math.factorial") for number in (1, 2))
    grandchild = narrow(one, nonce(3), expires_at=time.time() + 600)
    assert {factorial(node, nodes, chain) for node in MATH for chain in (parent, one, other, grandchild)} == {"OK"}
    asyncio.run(revoke(nodes.configuration, one))
    assert {factorial(node, nodes, chain) for node in MATH for chain in (one, grandchild)} == {DENIED}
    assert {factorial(node, nodes, chain) for node in MATH for chain in (parent, other)} == {"OK"}
    asyncio.run(revoke(nodes.configuration, parent))
    assert {factorial(node, nodes, chain) for node in MATH for chain in (parent, one, other, grandchild)} == {DENIED}


def test_a_node_that_starts_afterwards_refuses_too(nodes: Nodes) -> None:
    nodes.issue("frank")
    capability = nodes.authority("frank").capability("math")
    assert factorial("math-0", nodes, capability) == "OK"
    revoke_client(nodes, "frank")
    nodes.start("math-3")
    assert factorial("math-3", nodes, capability) == DENIED
    nodes.kill("math-2")
    nodes.start("math-2")
    assert factorial("math-2", nodes, capability) == DENIED
    nodes.issue("grace")
    assert factorial("math-3", nodes, nodes.authority("grace").capability("math")) == "OK"


def test_a_node_that_does_not_answer_is_named_and_asked_again(nodes: Nodes) -> None:
    nodes.issue("heidi")
    capability = nodes.authority("heidi").capability("math")
    nodes.processes["math-1"].send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(UnavailableError, match=r"may still be honoured.*math-1"):
            asyncio.run(revoke(nodes.configuration, capability))
        assert factorial("math-0", nodes, capability) == DENIED
    finally:
        nodes.processes["math-1"].send_signal(signal.SIGCONT)
    asyncio.run(revoke(nodes.configuration, capability))
    assert factorial("math-1", nodes, capability) == DENIED


def test_a_restart_of_everything_forgets_no_revocation(tmp_path: Path) -> None:
    with running(tmp_path, "math-0") as own:
        own.issue("eve")
        capability = own.authority("eve").capability("math")
        asyncio.run(revoke(own.configuration, capability))
        own.kill("math-0")
        own.start("math-0")
        assert factorial("math-0", own, capability) == DENIED
        own.issue("alice")
        assert factorial("math-0", own, own.authority("alice").capability("math")) == "OK"
