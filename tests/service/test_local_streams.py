"""Channels between nodes of one host: the same as over gRPC, and nothing for whoever has no business there."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from protos import fractos_pb2
from Services.fractos.events import Event, LinkLost, LinkOpened, PeerEpoch
from Services.fractos.transport import memory_packets
from Services.fractos.transport.grpc_channel import CONNECT, MAX_FRAMES_BYTES, ChannelServicer, GrpcTransport
from Services.fractos.transport.local_stream import HEADER, MESSAGE, LocalListener, Method, open_stream, socket_name
from tests.service.strangers import Delivered, frame_of, opening_for, receiver
from tests.waiting import eventually, on_event_loop

pytestmark = pytest.mark.skipif(not memory_packets.AVAILABLE, reason="this system has no abstract Unix sockets")
KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
ADDRESS = f"test-of-local-streams-{time.time_ns()}:1"  # nothing listens there but what the tests make


@asynccontextmanager
async def listening(key: bytes = KEY) -> AsyncIterator[tuple[Delivered, LocalListener]]:
    """A node that is reached from this host, and only so."""
    delivered = Delivered()
    servicer = ChannelServicer("test", key, ADDRESS, delivered.take, time.time, lambda: 7)
    listener = LocalListener(ADDRESS, MAX_FRAMES_BYTES)
    await listener.serve({CONNECT: Method(servicer.Connect, fractos_pb2.Frames)})
    try:
        yield delivered, listener
    finally:
        await listener.close()


@asynccontextmanager
async def transport(events: list[Event], key: bytes = KEY) -> AsyncIterator[GrpcTransport]:
    opened = GrpcTransport("test", key, "math-9", lambda *news: events.extend(news), time.time)
    try:
        yield opened
    finally:
        await opened.close()


def send(sender: GrpcTransport, *runs: bytes) -> None:
    for run in runs:
        sender.send(ADDRESS, frame_of(run))
    sender.flush()


@on_event_loop
async def test_frames_arrive_in_order_and_are_acknowledged() -> None:
    events: list[Event] = []
    runs = [b"%d" % number for number in range(300)]
    async with listening() as (delivered, _), transport(events) as sender:
        send(sender, *runs)
        await eventually(lambda: len(delivered.runs) == 300)
        assert delivered.runs == runs
        assert events == [LinkOpened(ADDRESS), PeerEpoch(ADDRESS, 7)]
        await eventually(lambda: not sender._links[ADDRESS]._unacknowledged)


@on_event_loop
async def test_more_than_the_socket_holds_arrives() -> None:
    async with listening() as (delivered, _), transport([]) as sender:
        send(sender, *(bytes([number]) * (3 << 20) for number in range(6)))
        await eventually(lambda: len(delivered.runs) == 6)
        assert [(run[0], len(run)) for run in delivered.runs] == [(number, 3 << 20) for number in range(6)]


@on_event_loop
async def test_a_receiver_that_is_gone_leaves_what_it_had_not_acknowledged_in_doubt() -> None:
    events: list[Event] = []
    async with listening() as (delivered, listener), transport(events) as sender:
        send(sender, b"before")
        await eventually(lambda: bool(delivered.runs))
        await listener.close()
        await eventually(lambda: isinstance(events[-1], LinkLost))
        lost = events[-1]
        assert isinstance(lost, LinkLost)
        assert (lost.opened, [frame.request.run_id for frame in lost.unknown], lost.unsent) == (True, [b"before"], [])


@pytest.mark.parametrize("keys", [(KEY, OTHER_KEY), (OTHER_KEY, KEY)], ids=["the receiver", "the sender"])
@on_event_loop
async def test_a_stranger_delivers_nothing_and_gets_nothing(keys: tuple[bytes, bytes]) -> None:
    events: list[Event] = []
    async with listening(keys[0]) as (delivered, _), transport(events, keys[1]) as sender:
        send(sender, b"secret")
        await eventually(lambda: bool(events))
        assert events == [LinkLost(ADDRESS, False, [], [frame_of(b"secret")])]
        assert not delivered.runs


@on_event_loop
async def test_who_refuses_says_why() -> None:
    async with listening():
        opening = opening_for(ADDRESS, time.time() - 60)
        stream = await open_stream(ADDRESS, CONNECT, opening.metadata, fractos_pb2.Acknowledgement, MAX_FRAMES_BYTES)
        assert stream is not None
        with pytest.raises(grpc.aio.AioRpcError, match="the clocks differ by -60"):
            await stream.read()
        stream.cancel()


@pytest.mark.parametrize(
    "said",
    [
        HEADER.pack(5, MESSAGE) + b"{oops",
        HEADER.pack(4, MESSAGE) + b"null",
        HEADER.pack(2, MESSAGE) + b"17",
        HEADER.pack(len(opened := json.dumps(["/no.Such/Method", []]).encode()), MESSAGE) + opened,
        HEADER.pack(len(odd := json.dumps([CONNECT, [["a-bin", "no hex"]]]).encode()), MESSAGE) + odd,
        HEADER.pack(MAX_FRAMES_BYTES + 1, MESSAGE),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["no JSON", "nothing", "a number", "another method", "bad metadata", "too long", "HTTP"],
)
@on_event_loop
async def test_nonsense_is_hung_up_on_and_harms_nobody_else(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with listening() as (delivered, _):
        connection = socket.socket(socket.AF_UNIX)
        connection.setblocking(False)
        connection.connect(socket_name(ADDRESS))
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        writer.write(said)
        await asyncio.wait_for(reader.read(), 20)  # until the end
        writer.close()
        assert "closed a stream" in caplog.text
        async with transport([]) as sender:
            send(sender, b"good")
            await eventually(lambda: delivered.runs == [b"good"])


@pytest.mark.parametrize("whose", ["another user's", "nobody's"])
@on_event_loop
async def test_without_a_socket_of_its_own_user_a_channel_goes_over_grpc(whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver(KEY) as (address, delivered), transport([]) as sender:
        with socket.socket(socket.AF_UNIX) as squatter:
            if whose == "another user's":
                squatter.bind(socket_name(address))
                squatter.listen()
                monkeypatch.setattr(memory_packets, "is_own_user", lambda connection: False)
            sender.send(address, frame_of(b"over gRPC"))
            sender.flush()
            await eventually(lambda: delivered.runs == [b"over gRPC"])


@on_event_loop
async def test_a_name_that_is_taken_leaves_grpc(caplog: pytest.LogCaptureFixture) -> None:
    async with listening():
        second = LocalListener(ADDRESS, MAX_FRAMES_BYTES)
        await second.serve({})
        await second.close()
    assert "over gRPC as well" in caplog.text


@on_event_loop
async def test_who_comes_when_all_streams_are_taken_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("Services.fractos.transport.local_stream.STREAMS", 0)
    async with listening():
        stream = await open_stream(ADDRESS, CONNECT, (), fractos_pb2.Acknowledgement, MAX_FRAMES_BYTES)
        assert stream is not None
        with pytest.raises(grpc.aio.AioRpcError, match="0 streams of this host are served"):
            await stream.read()
        stream.cancel()


@on_event_loop
async def test_an_opening_that_is_too_long_is_not_read() -> None:
    async with listening() as (delivered, listener):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as opener:
            opener.setblocking(False)
            opener.connect(socket_name(ADDRESS))
            opener.sendall(HEADER.pack(1 << 20, MESSAGE))
            await eventually(lambda: not listener._serving)
        assert delivered.runs == []
