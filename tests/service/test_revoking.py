"""Revoking a capability at all nodes that may honour it: those that live, are paused, have died, or are strangers."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import pytest

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.transport import capabilities, fencing
from Services.fractos.transport.call_proof import CallProver
from Services.fractos.transport.capabilities import CONFIRM
from tests.service.datacenter import Datacenter
from tests.service.revoking_node import KEY, RevokingNode, capability, revocation, revoking_node
from tests.waiting import eventually, on_event_loop
from tests.zookeeper_server import ZooKeeperServer

OTHER_KEY = bytes(range(1, 33))


@pytest.fixture(params=["zookeeper", "files"])
def record(request: pytest.FixtureRequest, tmp_path: Path) -> DirectoryRecord:
    if request.param == "zookeeper":
        server: ZooKeeperServer = request.getfixturevalue("zookeeper_server")
        return DirectoryRecord("zookeeper", server.address, uuid.uuid4().hex)
    return files(tmp_path)


def files(tmp_path: Path) -> DirectoryRecord:
    return DirectoryRecord("files", str(tmp_path), "lab")


@asynccontextmanager
async def revoking_nodes(record: DirectoryRecord, count: int) -> AsyncIterator[list[RevokingNode]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(revoking_node(record, index)) for index in range(count)]


@contextmanager
def process(record: DirectoryRecord, index: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A node in a process of its own, and its address."""
    command = [sys.executable, "-m", "tests.service.revoking_node", record.kind, record.address, record.datacenter, str(index)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            yield started, started.stdout.readline().strip()
        finally:
            started.kill()


async def refusal(revoking: Callable[[], object]) -> str:
    """What a call says that ends with UNAVAILABLE."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await revoking()  # type: ignore[misc]
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    return str(caught.value.details())


@on_event_loop
async def test_every_node_of_the_type_knows_once_it_is_revoked(record: DirectoryRecord) -> None:
    async with revoking_nodes(record, 4) as nodes, revoking_node(record, 0, "storage") as other:
        for number in range(1, 4):
            await nodes[number].revoke(capability(number))
            assert [node.taken[-1] for node in nodes] == [revocation(number)] * 4
        assert [len(node.taken) for node in nodes] == [3] * 4
        assert other.taken == []
        assert await other.directory.revocations("math") == tuple(map(revocation, (1, 2, 3)))


@on_event_loop
async def test_many_may_revoke_at_once(tmp_path: Path) -> None:
    async with revoking_nodes(files(tmp_path), 4) as nodes:
        await asyncio.gather(*(nodes[number % 4].revoke(capability(number)) for number in range(40)))
        for node in nodes:
            assert {one.id for one in node.taken} == {revocation(number).id for number in range(40)}


@on_event_loop
async def test_a_memory_is_revoked_at_its_node_alone(tmp_path: Path) -> None:
    async with revoking_nodes(files(tmp_path), 2) as nodes:
        await nodes[0].revoke(capability(7, service=""))
        assert (nodes[0].taken, nodes[1].taken) == ([revocation(7, service="")], [])
        assert await nodes[0].directory.revocations("math") == ()


@on_event_loop
async def test_what_this_node_does_not_verify_is_refused(tmp_path: Path) -> None:
    async with revoking_nodes(files(tmp_path), 2) as nodes:
        with pytest.raises(grpc.aio.AioRpcError, match="not one of this node") as caught:
            await nodes[0].revoke(fractos_pb2.Capability())
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
        assert nodes[0].taken == nodes[1].taken == []


@on_event_loop
async def test_a_paused_node_is_named_until_it_goes_on(tmp_path: Path) -> None:
    record = files(tmp_path)
    with process(record, 5) as (paused, address):
        async with revoking_nodes(record, 2) as nodes:
            os.kill(paused.pid, signal.SIGSTOP)
            says = await refusal(lambda: nodes[0].revoke(capability(1)))
            assert f"math-5 at {address} (DEADLINE_EXCEEDED" in says
            assert says.endswith("; ask again")
            assert nodes[0].taken == nodes[1].taken == [revocation(1)]
            os.kill(paused.pid, signal.SIGCONT)
            await nodes[0].revoke(capability(1))


@on_event_loop
async def test_a_paused_node_that_the_directory_has_dropped_is_still_named(zookeeper_server: ZooKeeperServer) -> None:
    record = DirectoryRecord("zookeeper", zookeeper_server.address, uuid.uuid4().hex)
    with process(record, 5) as (paused, address):
        async with revoking_nodes(record, 1) as (node,):
            os.kill(paused.pid, signal.SIGSTOP)
            await eventually(lambda: len(node.directory.members()) == 1)
            assert f"math-5 at {address}" in await refusal(lambda: node.revoke(capability(1)))


@on_event_loop
async def test_a_killed_node_need_not_confirm_once_it_is_no_longer_listed(record: DirectoryRecord) -> None:
    with process(record, 5) as (killed, _):
        async with revoking_nodes(record, 2) as nodes:
            await nodes[0].revoke(capability(1))
            killed.kill()
            killed.wait()
            await eventually(lambda: len(nodes[0].directory.members()) == 2)
            await nodes[0].revoke(capability(2))
            assert nodes[1].taken == [revocation(1), revocation(2)]


@on_event_loop
async def test_a_killed_node_that_is_listed_still_is_named(
    zookeeper_server: ZooKeeperServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capabilities, "FENCE_TIMEOUT_S", 0.01)  # else the server may drop it in time
    record = DirectoryRecord("zookeeper", zookeeper_server.address, uuid.uuid4().hex)
    with process(record, 5) as (killed, address):
        async with revoking_nodes(record, 1) as (node,):
            killed.kill()
            killed.wait()
            assert f"math-5 at {address} (UNAVAILABLE" in await refusal(lambda: node.revoke(capability(1)))


@on_event_loop
async def test_a_node_that_was_dropped_is_asked_for_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = files(tmp_path)
    async with Datacenter(record, open_directory) as datacenter, revoking_node(record, 0) as node:
        directory, silent = await datacenter.node(index=5)
        await eventually(lambda: len(node.directory.members()) == 2)
        await directory.close()  # it goes on listening
        await eventually(lambda: len(node.directory.members()) == 1)
        assert f"math-5 at {silent.address}" in await refusal(lambda: node.revoke(capability(1)))
        monkeypatch.setattr(fencing, "REMEMBERED_S", -1.0)
        await node.revoke(capability(1))


@on_event_loop
async def test_a_node_of_the_type_with_another_key_is_named(tmp_path: Path) -> None:
    record = files(tmp_path)
    async with revoking_nodes(record, 1) as (node,), revoking_node(record, 1, key=OTHER_KEY) as stranger:
        says = await refusal(lambda: node.revoke(capability(1)))
        assert f"math-1 at {stranger.address} (UNAUTHENTICATED: math-0 did not prove" in says
        assert stranger.taken == []


async def confirm(
    node: RevokingNode, request: fractos_pb2.ConfirmRequest, metadata: tuple[tuple[str, str], ...]
) -> grpc.StatusCode:
    """Tell a node of a revocation. Returns the status."""
    async with grpc.aio.insecure_channel(node.address) as channel:
        call = fractos_pb2_grpc.CapabilitiesStub(channel).Confirm(request, metadata=metadata, timeout=20)
        status: grpc.StatusCode = await call.code()
        return status


@on_event_loop
async def test_only_controllers_tell_of_revocations_and_each_call_counts_once(tmp_path: Path) -> None:
    async with revoking_nodes(files(tmp_path), 1) as (node,):
        request = fractos_pb2.ConfirmRequest(revocation=revocation(1))
        good = CallProver("lab", KEY, "math-9", time.time, os.urandom).metadata(node.address, CONFIRM, request)
        forged = CallProver("lab", OTHER_KEY, "math-9", time.time, os.urandom).metadata(node.address, CONFIRM, request)
        other = fractos_pb2.ConfirmRequest(revocation=revocation(2))
        assert await confirm(node, request, ()) == grpc.StatusCode.FAILED_PRECONDITION
        assert await confirm(node, request, forged) == grpc.StatusCode.UNAUTHENTICATED
        assert await confirm(node, other, good) == grpc.StatusCode.UNAUTHENTICATED
        assert node.taken == []
        assert await confirm(node, request, good) == grpc.StatusCode.OK
        assert await confirm(node, request, good) == grpc.StatusCode.UNAUTHENTICATED
        assert node.taken == [revocation(1)]


@pytest.mark.parametrize(
    "senseless",
    [
        fractos_pb2.Revocation(service="storage", id=bytes(16), expires_at=1.0),
        fractos_pb2.Revocation(service="math", id=bytes(15), expires_at=1.0),
        fractos_pb2.Revocation(service="math", id=bytes(16), expires_at=float("nan")),
        fractos_pb2.Revocation(service="math", id=bytes(16), expires_at=float("inf")),
    ],
    ids=["another type", "short", "no number", "never"],
)
@on_event_loop
async def test_a_revocation_that_makes_no_sense_is_refused(senseless: fractos_pb2.Revocation, tmp_path: Path) -> None:
    async with revoking_nodes(files(tmp_path), 1) as (node,):
        request = fractos_pb2.ConfirmRequest(revocation=senseless)
        metadata = CallProver("lab", KEY, "math-9", time.time, os.urandom).metadata(node.address, CONFIRM, request)
        assert await confirm(node, request, metadata) == grpc.StatusCode.INVALID_ARGUMENT
        assert node.taken == []
