"""What is sent over emulated links, by channels and as Memory: it arrives late, in order, and not while a link is cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import grpc
import pytest

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.client_memory import NoStore
from Services.fractos.errors import DeadlineExceededError, UnavailableError
from Services.fractos.events import Event, LinkLost, LinkOpened
from Services.fractos.memory_block import MemoryView, SealedFile
from Services.fractos.network_rules import NetworkRules, Rule
from Services.fractos.transport import emulation, grpc_channel
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.grpc_channel import GrpcTransport
from Services.fractos.transport.memory_fetcher import MemoryFetcher
from Services.fractos.transport.memory_traffic import MemoryTraffic
from tests.service.memory_node import MemoryNode, pattern
from tests.service.strangers import Delivered, frame_of, opening_for, receiver, send
from tests.waiting import eventually, on_event_loop

KEY = bytes(range(32))
SENDER, RECEIVER = "math-9", "storage-0"
THERE = Rule(SENDER, RECEIVER, latency_ms=60)
BACK = Rule(RECEIVER, SENDER, latency_ms=90)
CUT = Rule(SENDER, RECEIVER, cut=True)
HEALED = Rule(SENDER, RECEIVER, cut=False)
LITTLE = pattern(1000)


def rules(*said: Rule) -> NetworkRules:
    return NetworkRules(said)


async def passed(seconds: float) -> None:
    """Wait until a time has passed in which nothing was to happen."""
    end = time.monotonic() + seconds
    await eventually(lambda: time.monotonic() > end)


class Channel:
    """A sender and a receiver, with what came of what was sent."""

    def __init__(self, address: str, sender: GrpcTransport, delivered: Delivered, events: list[Event]) -> None:
        self.address = address
        self.delivered = delivered
        self.events = events
        self.sender = sender

    def send(self, *runs: bytes) -> float:
        """Returns when."""
        for run in runs:
            self.sender.send(self.address, frame_of(run))
        self.sender.flush()
        return time.monotonic()

    async def arrive(self, *runs: bytes) -> float:
        """Wait until exactly these have arrived. Returns when."""
        await eventually(lambda: len(self.delivered.runs) >= len(runs))
        assert self.delivered.runs == list(runs)
        return time.monotonic()

    @property
    def lost(self) -> list[LinkLost]:
        return [event for event in self.events if isinstance(event, LinkLost)]


@asynccontextmanager
async def channel(network: NodeNetwork) -> AsyncIterator[Channel]:
    events: list[Event] = []
    async with receiver(KEY, network=network) as (address, delivered):
        sender = GrpcTransport("test", KEY, SENDER, lambda *news: events.extend(news), time.time)
        try:
            yield Channel(address, sender, delivered, events)
        finally:
            await sender.close()
            network.close()


def network_of_receiver(*said: Rule) -> NodeNetwork:
    return NodeNetwork(RECEIVER, rules(*said), lambda address: "")


@pytest.fixture
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that gives up soon."""
    monkeypatch.setattr(grpc_channel, "SILENCE_S", 0.3)
    monkeypatch.setattr(grpc_channel, "WATCH_S", 0.05)
    monkeypatch.setattr(grpc_channel, "CONNECT_TIMEOUT_S", 0.3)
    monkeypatch.setattr(emulation, "OPENING_PATIENCE_S", 0.3)


# -- channels -------------------------------------------------------------------------------------------------------------


@on_event_loop
async def test_frames_arrive_a_latency_later_and_a_stream_opens_after_two_round_trips() -> None:
    async with channel(network_of_receiver(THERE, BACK)) as link:
        opening = link.send(b"first")
        assert await link.arrive(b"first") >= opening + 2 * 0.150 + 0.060
        sent = link.send(b"second", b"third")
        assert await link.arrive(b"first", b"second", b"third") >= sent + 0.060
        assert not link.lost


@on_event_loop
async def test_frames_arrive_at_the_rate_of_the_bandwidth_and_in_order() -> None:
    async with channel(network_of_receiver(Rule(SENDER, RECEIVER, bandwidth_mbit=0.08, jitter_ms=5))) as link:
        runs = [b"%0100d" % number for number in range(20)]
        sent = link.send(*runs)
        assert await link.arrive(*runs) >= sent + 20 * 100 / 10_000
        assert not link.lost


@on_event_loop
async def test_an_acknowledgement_is_late_by_the_way_back() -> None:
    async with channel(network_of_receiver(Rule(RECEIVER, SENDER, latency_ms=300))) as link:
        link.send(b"first")
        await link.arrive(b"first")
        sent = link.send(b"second")
        await link.arrive(b"first", b"second")
        await link.sender.close()  # waits until all is acknowledged
        assert time.monotonic() >= sent + 0.3


@on_event_loop
async def test_a_network_that_is_switched_on_and_off_loses_nothing_and_keeps_the_order() -> None:
    network = network_of_receiver()
    async with channel(network) as link:
        runs: list[bytes] = []
        for number in range(40):
            runs.append(b"%d" % number)
            link.send(runs[-1])
            if number == 0:
                await link.arrive(b"0")
            elif number % 10 == 5:
                network.update(rules(THERE))
            elif number % 10 == 0:
                await eventually(lambda: len(link.delivered.runs) > len(runs) - 8)
                network.update(rules())
        await link.arrive(*runs)
        assert not link.lost


@on_event_loop
async def test_frames_wait_for_a_cut_to_be_healed() -> None:
    network = network_of_receiver()
    async with channel(network) as link:
        link.send(b"before")
        await link.arrive(b"before")
        network.update(rules(CUT))
        link.send(b"meanwhile")
        await eventually(lambda: any(held.holds for held in network.held))
        assert link.delivered.runs == [b"before"]
        network.update(rules(HEALED))
        await link.arrive(b"before", b"meanwhile")
        assert not link.lost


@on_event_loop
async def test_a_frame_that_cannot_be_delivered_does_not_stop_the_link(caplog: pytest.LogCaptureFixture) -> None:
    async with channel(network_of_receiver(THERE)) as link:
        link.send(b"first")
        await link.arrive(b"first")
        link.delivered.fails_next = True
        link.send(b"fails")
        await passed(0.02)  # so that the next one is under way too, and arrives later
        link.send(b"second")
        await link.arrive(b"first", b"second")
        assert not link.lost
    assert "ValueError: broken" in caplog.text


@pytest.mark.parametrize("cut", [CUT, Rule(RECEIVER, SENDER, cut=True)], ids=["there", "back"])
@on_event_loop
async def test_what_a_sender_has_given_up_does_not_arrive_when_the_link_is_healed(impatience: None, cut: Rule) -> None:
    network = network_of_receiver()
    async with channel(network) as link:
        link.send(b"before")
        await link.arrive(b"before")
        network.update(rules(cut))
        link.send(b"lost")
        await eventually(lambda: link.lost)
        assert link.lost[0].opened
        assert [frame.request.run_id for frame in link.lost[0].unknown][-1:] == [b"lost"]
        link.send(b"unsent")
        await eventually(lambda: len(link.lost) == 2)
        assert not link.lost[1].opened, "nobody answers who opens a stream over a link that is cut"
        assert [frame.request.run_id for frame in link.lost[1].unsent] == [b"unsent"]
        network.update(rules())
        link.send(b"after")
        await link.arrive(b"before", b"after")
        assert link.events.count(LinkOpened(link.address)) == 2


@on_event_loop
async def test_what_is_under_way_when_its_stream_ends_does_not_arrive() -> None:
    network = network_of_receiver(Rule(SENDER, RECEIVER, latency_ms=300))
    async with channel(network) as link:
        link.send(b"before")
        await link.arrive(b"before")
        link.send(b"under way")
        await eventually(lambda: any(held.holds for held in network.held))
        for opened in link.sender._links.values():
            opened._task.cancel()
        await eventually(lambda: link.lost and not network.held)
        await passed(0.4)
        assert link.delivered.runs == [b"before"]


@on_event_loop
async def test_a_sender_is_patient_with_a_link_that_is_slow(impatience: None) -> None:
    slow = (Rule(SENDER, RECEIVER, latency_ms=700), Rule(RECEIVER, SENDER, latency_ms=200))
    network = network_of_receiver(*slow)
    events: list[Event] = []
    async with receiver(KEY, network=network) as (address, delivered):
        own = NodeNetwork(SENDER, rules(*slow), lambda address: RECEIVER)
        sender = GrpcTransport("test", KEY, SENDER, lambda *news: events.extend(news), time.time, own)
        sender.send(address, frame_of(b"slow"))
        sender.flush()
        await eventually(lambda: delivered.runs == [b"slow"])
        sender.send(address, frame_of(b"again"))
        sender.flush()
        await eventually(lambda: delivered.runs == [b"slow", b"again"])
        await sender.close()
        own.close()
        network.close()
    assert not any(isinstance(event, LinkLost) for event in events)


@pytest.mark.parametrize("leaves", [False, True], ids=["wrong proof", "no proof"])
@on_event_loop
async def test_nothing_is_kept_of_a_name_that_was_not_proved(leaves: bool) -> None:
    network = network_of_receiver(THERE, BACK)
    async with receiver(KEY, network=network) as (address, _):
        began = time.monotonic()
        if leaves:
            async with grpc.aio.insecure_channel(address) as opened:
                call = fractos_pb2_grpc.ChannelStub(opened).Connect(metadata=opening_for(address).metadata)
                assert isinstance(await call.read(), fractos_pb2.Acknowledgement)
                await call.done_writing()
                assert await call.read() is grpc.aio.EOF
        else:
            with pytest.raises(grpc.aio.AioRpcError, match="did not prove"):
                await send(opening_for(address), address, lambda opening, answer: bytes(32))
        assert time.monotonic() >= began + 2 * 0.150
        assert not network._network._links
        assert not network.held
    network.close()


@on_event_loop
async def test_only_so_many_may_wait_for_a_stream_over_a_link_that_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulation, "MOST_OPENING", 2)
    monkeypatch.setattr(emulation, "OPENING_PATIENCE_S", 1.0)
    network = network_of_receiver(CUT)
    openings = [asyncio.create_task(network.opening(SENDER)) for _ in range(3)]
    with pytest.raises(UnavailableError, match="2 streams are being opened"):
        await openings[2]
    for opening in openings[:2]:
        with pytest.raises(UnavailableError, match="is cut"):
            await opening
    network.update(rules())
    await network.opening(SENDER)
    network.close()


# -- Memory ---------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def two_nodes(streams_only: bool, *said: Rule) -> AsyncIterator[tuple[MemoryNode, MemoryNode, NodeNetwork]]:
    """An owner, and a reader on a network on which the owner is RECEIVER and the reader SENDER."""

    def network() -> NodeNetwork:
        return NodeNetwork(SENDER, rules(*said), lambda address: RECEIVER)

    async with MemoryNode() as owner, MemoryNode(streams_only=streams_only, network=network) as reader:
        assert reader.network is not None
        yield owner, reader, reader.network


async def timed(fetch: Awaitable[MemoryView]) -> tuple[bytes, float]:
    began = time.monotonic()
    with await fetch as view:
        return bytes(view.buffer), time.monotonic() - began


@pytest.mark.parametrize("streams_only", [False, True], ids=["mapped", "streamed"])
@on_event_loop
async def test_memory_takes_a_round_trip_and_the_time_of_its_bytes(streams_only: bool) -> None:
    back = Rule(RECEIVER, SENDER, latency_ms=50, bandwidth_mbit=80)
    async with two_nodes(streams_only, Rule(SENDER, RECEIVER, latency_ms=30), back) as (owner, reader, _):
        data = pattern(1_000_000)
        fetched, took_s = await timed(reader.fetcher.fetch(owner.publish(data), time.time() + 30))
        assert fetched == data
        assert took_s >= 0.030 + 0.050 + 0.100


@pytest.mark.parametrize("streams_only", [False, True], ids=["mapped", "streamed"])
@on_event_loop
async def test_fetches_at_the_same_time_share_the_bandwidth_of_their_link(streams_only: bool) -> None:
    async with two_nodes(streams_only, Rule(RECEIVER, SENDER, bandwidth_mbit=80)) as (owner, reader, _):
        memory = owner.publish(pattern(500_000))
        began = time.monotonic()
        views = await asyncio.gather(*(reader.fetcher.fetch(memory, time.time() + 30) for _ in range(4)))
        assert time.monotonic() >= began + 4 * 0.050
        for view in views:
            view.close()


@pytest.mark.parametrize("streams_only", [False, True], ids=["mapped", "streamed"])
@pytest.mark.parametrize("cut", [CUT, Rule(RECEIVER, SENDER, cut=True)], ids=["there", "back"])
@on_event_loop
async def test_memory_waits_for_a_cut_to_be_healed_or_for_the_deadline(streams_only: bool, cut: Rule) -> None:
    async with two_nodes(streams_only, cut) as (owner, reader, network):
        memory = owner.publish(LITTLE)
        with pytest.raises(DeadlineExceededError, match="1000 bytes of Memory did not come from"):
            await reader.fetcher.fetch(memory, time.time() + 0.1)
        fetching = asyncio.create_task(timed(reader.fetcher.fetch(memory, time.time() + 30)))
        await passed(0.1)
        assert not fetching.done()
        network.update(rules())
        assert (await fetching)[0] == LITTLE


@on_event_loop
async def test_memory_that_is_under_way_when_a_link_is_cut_arrives_when_it_is_healed() -> None:
    slow = Rule(RECEIVER, SENDER, latency_ms=100, bandwidth_mbit=80)
    async with two_nodes(False, slow) as (owner, reader, network):
        fetching = asyncio.create_task(timed(reader.fetcher.fetch(owner.publish(pattern(1_000_000)), time.time() + 30)))
        await passed(0.05)
        network.update(rules(slow, CUT))
        await passed(0.3)
        assert not fetching.done()
        network.update(rules(slow))
        assert (await fetching)[1] >= 0.05 + 0.3 + 0.1


@pytest.mark.parametrize("streams_only", [False, True], ids=["mapped", "streamed"])
@on_event_loop
async def test_a_client_gets_memory_as_late_as_over_its_link(streams_only: bool) -> None:
    def network() -> NodeNetwork:
        return NodeNetwork(RECEIVER, rules(THERE, Rule("client", RECEIVER, latency_ms=40), to_client), lambda address: "")

    to_client = Rule(RECEIVER, "client", bandwidth_mbit=80)
    async with MemoryNode(network=network) as owner:
        client = MemoryFetcher(NoStore(), time.time, MemoryTraffic(), streams_only=streams_only)
        memory = owner.publish(pattern(1_000_000))
        fetched, took_s = await timed(client.fetch(memory, time.time() + 30))
        assert fetched == pattern(1_000_000)
        assert took_s >= 0.040 + 0.100
        first, second = await asyncio.gather(*(timed(client.fetch(memory, time.time() + 30)) for _ in range(2)))
        assert max(first[1], second[1]) >= 0.040 + 0.200
        await client.close()


@on_event_loop
async def test_a_client_leaves_memory_as_late_as_over_its_link() -> None:
    def network() -> NodeNetwork:
        return NodeNetwork(RECEIVER, rules(Rule("client", RECEIVER, bandwidth_mbit=80)), lambda address: "")

    async with MemoryNode(network=network) as owner:
        client = MemoryFetcher(NoStore(), time.time, MemoryTraffic())
        data = pattern(1_000_000)
        block = SealedFile(len(data))
        block.write(0, data)
        block.seal()
        began = time.monotonic()
        left = await client.hand_over(owner.address, block.descriptor(), len(data), fractos_pb2.Capability())
        assert left is not None
        assert time.monotonic() >= began + 0.100
        async with grpc.aio.insecure_channel(owner.address) as opened:
            began = time.monotonic()
            call = fractos_pb2_grpc.MemoryStoreStub(opened).Create(metadata=(("may-create", "yes"),))
            await call.write(fractos_pb2.CreateMemoryRequest(size=len(data)))
            await call.read()
            await call.write(fractos_pb2.CreateMemoryRequest(data=data, publish=True))
            published = await call.read()
            assert isinstance(published, fractos_pb2.CreateMemoryResponse)
            assert published.memory.size == len(data)
            assert time.monotonic() >= began + 0.100
            call.cancel()
        block.close()
        await client.close()
