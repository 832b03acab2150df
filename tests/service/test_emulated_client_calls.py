"""Calls of clients over emulated links: how many may wait, for how long, and that a refusal is as late as an answer."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.errors import ResourceExhaustedError, UnavailableError
from Services.fractos.network_rules import NetworkRules, Rule
from Services.fractos.transport import emulation
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.link import Network
from tests.service.memory_node import MemoryNode
from tests.waiting import eventually, on_event_loop

RECEIVER = "storage-0"
CLIENT_CUT = Rule("client", RECEIVER, cut=True)
REQUEST = fractos_pb2.CreateMemoryRequest(data=bytes(1000))


def network_of_receiver(*said: Rule) -> NodeNetwork:
    return NodeNetwork(RECEIVER, NetworkRules(said), lambda address: "")


async def answered() -> fractos_pb2.CreateMemoryRequest:
    return REQUEST


@pytest.mark.parametrize(("limit", "most"), [("MOST_WAITING", 3), ("MOST_WAITING_BYTES", 3500)])
@on_event_loop
async def test_only_so_many_calls_of_clients_may_wait_for_their_link(
    monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(emulation, limit, most)
    network = network_of_receiver(CLIENT_CUT)
    waiting = [asyncio.create_task(network.answer(REQUEST, answered)) for _ in range(3)]
    await eventually(lambda: network._waiting == 3)
    with pytest.raises(ResourceExhaustedError, match=r"3 calls of clients with .* bytes are on their way"):
        await network.answer(REQUEST, answered)
    network.update(NetworkRules((Rule("client", RECEIVER, latency_ms=1),)))
    assert await asyncio.gather(*waiting) == [REQUEST] * 3
    assert await network.answer(REQUEST, answered) == REQUEST
    network.close()


@pytest.mark.parametrize(("cut", "definite"), [(CLIENT_CUT, True), (Rule(RECEIVER, "client", latency_ms=60_000), False)])
@on_event_loop
async def test_a_call_of_a_client_waits_no_longer_than_there_is_sense_in_it(
    monkeypatch: pytest.MonkeyPatch, cut: Rule, definite: bool
) -> None:
    monkeypatch.setattr(emulation, "CALL_PATIENCE_S", 0.05)
    monkeypatch.setattr(Network, "patience_s", lambda network, source, target, size_bytes: 0.0)
    network = network_of_receiver(cut)
    with pytest.raises(UnavailableError, match="is cut, or carries too much") as caught:
        await network.answer(REQUEST, answered)
    assert caught.value.definite is definite
    network.close()


@on_event_loop
async def test_a_refusal_takes_as_long_as_an_answer() -> None:
    def network() -> NodeNetwork:
        return network_of_receiver(Rule("client", RECEIVER, latency_ms=70), Rule(RECEIVER, "client", latency_ms=60))

    async with MemoryNode(network=network) as owner, grpc.aio.insecure_channel(owner.address) as opened:
        began = time.monotonic()
        with pytest.raises(grpc.aio.AioRpcError, match="the Memory is at"):
            await fractos_pb2_grpc.MemoryStoreStub(opened).Release(fractos_pb2.ReleaseMemoryRequest())
        assert time.monotonic() >= began + 0.130
