"""Who may open a channel and who may answer one: the proofs of both sides, and what strangers try instead."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import grpc
import pytest

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.errors import FailedPreconditionError
from Services.fractos.events import Event, LinkLost, LinkOpened
from Services.fractos.transport import grpc_channel, handshake
from Services.fractos.transport.grpc_channel import GrpcTransport
from Services.fractos.transport.handshake import OPENER, RECEIVER, Opening
from tests.service.strangers import CHALLENGE, Delivered, Prove, StrangeReceiver, frame_of, opening_for, receiver, send, serving
from tests.waiting import eventually, on_event_loop

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
GOOD = frame_of(b"good").SerializeToString()


def honest(key: bytes = KEY, role: str = OPENER) -> Prove:
    return lambda opening, first: opening.proof(key, role, first.challenge)


async def refused(opening: Opening, address: str, prove: Prove) -> grpc.aio.AioRpcError:
    """Send a run that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await send(opening, address, prove, frame_of(b"forged").SerializeToString())
    return caught.value


async def assert_serves(address: str) -> None:
    assert (await send(opening_for(address), address, honest(), GOOD))[-1].accepted == 1


def _is_last(delivered: Delivered, run_id: bytes) -> bool:
    return delivered.runs[-1:] == [run_id]


@asynccontextmanager
async def transport(key: bytes, events: list[Event]) -> AsyncIterator[GrpcTransport]:
    opened = GrpcTransport("test", key, "math-9", lambda *news: events.extend(news), time.time)
    try:
        yield opened
    finally:
        await opened.close()


# -- the receiver is ours -------------------------------------------------------------------------------------------------


@on_event_loop
async def test_frames_of_a_sender_with_the_key_arrive_in_order(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    events: list[Event] = []
    async with receiver(KEY) as (address, delivered), transport(KEY, events) as sender:
        for number in range(300):
            sender.send(address, frame_of(b"%d" % number))
        sender.flush()
        await eventually(lambda: len(delivered.runs) == 300)
        assert delivered.runs == [b"%d" % number for number in range(300)]
        assert events[:2] == [LinkOpened(address), (address, 7)], "an address, and the receiver's epoch"
    assert KEY.hex() not in caplog.text


@on_event_loop
async def test_a_channel_that_is_kept_open_stays_open_without_frames() -> None:
    events: list[Event] = []
    async with receiver(KEY) as (address, delivered), transport(KEY, events) as sender:
        sender.keep(address)
        await eventually(lambda: LinkOpened(address) in events)
        sender.send(address, frame_of(b"later"))
        sender.flush()
        await eventually(lambda: delivered.runs == [b"later"])
        assert not any(isinstance(event, LinkLost) for event in events)


@on_event_loop
async def test_a_channel_that_carries_nothing_is_closed_unless_it_is_kept_and_nobody_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(grpc_channel, "IDLE_S", 0.1)
    monkeypatch.setattr(grpc_channel, "WATCH_S", 0.05)
    events: list[Event] = []
    async with receiver(KEY) as (kept, _), receiver(KEY) as (address, delivered), transport(KEY, events) as sender:
        sender.keep(kept)
        for run_id in (b"first", b"second"):  # the second opens another channel
            sender.send(kept, frame_of(run_id))
            sender.send(address, frame_of(run_id))
            sender.flush()
            await eventually(partial(_is_last, delivered, run_id))
            caplog.clear()
            await eventually(lambda: f"channel to {address} ended" in caplog.text)
        assert f"channel to {kept} ended" not in caplog.text
        sender.release(kept)
        await eventually(lambda: f"channel to {kept} ended" in caplog.text)
        assert events.count(LinkOpened(address)) == 2
        assert not any(isinstance(event, LinkLost) for event in events)


@pytest.mark.parametrize(
    "prove",
    [
        lambda opening, first: b"",
        lambda opening, first: bytes(32),
        honest(OTHER_KEY),
        honest(role=RECEIVER),
        lambda opening, first: first.proof,
        lambda opening, first: honest()(opening, first)[:-1],
        lambda opening, first: honest()(opening, first) + b"\0",
        lambda opening, first: opening.proof(KEY, OPENER, CHALLENGE),
        lambda opening, first: dataclasses.replace(opening, node="math-0").proof(KEY, OPENER, first.challenge),
        lambda opening, first: dataclasses.replace(opening, address="127.0.0.1:1").proof(KEY, OPENER, first.challenge),
        lambda opening, first: dataclasses.replace(opening, datacenter="other").proof(KEY, OPENER, first.challenge),
        lambda opening, first: dataclasses.replace(opening, protocol="1").proof(KEY, OPENER, first.challenge),
    ],
    ids=[
        "none", "zeros", "another key", "another role", "the receiver's own", "truncated", "too long", "of its own challenge",
        "of another node", "for another node", "of another datacenter", "of another protocol",
    ],
)  # fmt: skip
@on_event_loop
async def test_a_stranger_delivers_nothing(prove: Prove, caplog: pytest.LogCaptureFixture) -> None:
    async with receiver(KEY) as (address, delivered):
        error = await refused(opening_for(address), address, prove)
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        assert "math-9 did not prove that it belongs to datacenter 'test'" in str(error.details())
        assert "copy this datacenter's folder of keys (Services/config/keys" in str(error.details())
        assert caplog.text.count("did not prove") == 1
        await assert_serves(address)
        assert delivered.runs == [b"good"]


@on_event_loop
async def test_a_recorded_opening_and_proof_deliver_nothing_again() -> None:
    recorded: list[bytes] = []

    def record(opening: Opening, first: fractos_pb2.Acknowledgement) -> bytes:
        recorded.append(honest()(opening, first))
        return recorded[0]

    async with receiver(KEY) as (address, delivered):
        opening = opening_for(address)
        await send(opening, address, record, GOOD)
        error = await refused(opening, address, lambda opening, first: recorded[0])
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        assert delivered.runs == [b"good"]


@on_event_loop
async def test_who_never_proves_anything_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_channel, "PROOF_TIMEOUT_S", 0.05)
    async with receiver(KEY) as (address, delivered):
        async with grpc.aio.insecure_channel(address) as channel:
            metadata = opening_for(address).metadata
            call = fractos_pb2_grpc.ChannelStub(channel).Connect(metadata=metadata, timeout=20)
            assert isinstance(await call.read(), fractos_pb2.Acknowledgement)
            with pytest.raises(grpc.aio.AioRpcError, match=r"no proof came within 0\.05 s"):
                await call.read()
            assert await call.code() == grpc.StatusCode.UNAUTHENTICATED
        assert delivered.runs == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"protocol": "1"}, "the sender speaks protocol 1, this node speaks 2"),
        ({"datacenter": "other"}, "belongs to datacenter 'other', this node to 'test'"),
        ({"address": "127.0.0.1:1"}, "wants the node at '127.0.0.1:1', this is '127.0.0.1:"),
        ({"time": "0.000000"}, "the clocks differ by -"),
        ({"time": "nan"}, "the clocks differ"),
        ({"time": "soon"}, "'soon', not a number"),
        ({"challenge": ""}, "has 0 characters; it must be 64 hexadecimal digits"),
        ({"challenge": "x" * 64}, "it must be 64 hexadecimal digits"),
        ({"challenge": "0" * 63 + "\uff10"}, "it must be 64 hexadecimal digits"),
    ],
)
def test_what_does_not_agree_is_named(changed: dict[str, str], says: str) -> None:
    opening = dataclasses.replace(opening_for("127.0.0.1:2", 1000.0), **changed)
    with pytest.raises(FailedPreconditionError) as caught:
        handshake.check(opening.metadata, "test", "127.0.0.1:2", 1000.0)
    assert says in caught.value.message


@on_event_loop
async def test_a_receiver_ends_the_call_of_one_that_does_not_agree() -> None:
    async with receiver(KEY) as (address, delivered):
        error = await refused(dataclasses.replace(opening_for(address), protocol="1"), address, honest())
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert "the sender speaks protocol 1, this node speaks 2" in str(error.details())
        assert delivered.runs == []


def test_no_two_lists_of_fields_have_the_same_proof() -> None:
    lists = [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ("a", "b", "c"), ("\0" * 7 + "\1a",)]
    assert len({handshake.authenticate(KEY, *fields) for fields in lists}) == len(lists)


# -- the sender is ours ---------------------------------------------------------------------------------------------------


def answer(key: bytes = KEY, role: str = RECEIVER, challenge: bytes = CHALLENGE, **changed: str) -> StrangeReceiver:
    return StrangeReceiver(
        lambda opening: fractos_pb2.Acknowledgement(
            challenge=challenge, proof=dataclasses.replace(opening, **changed).proof(key, role, challenge)
        )
    )


@pytest.mark.parametrize(
    "stranger",
    [
        StrangeReceiver(lambda opening: fractos_pb2.Acknowledgement()),
        StrangeReceiver(lambda opening: fractos_pb2.Acknowledgement(challenge=CHALLENGE, proof=bytes(32))),
        answer(OTHER_KEY),
        answer(role=OPENER),
        answer(challenge=b"short"),
        answer(address="127.0.0.1:1"),
        answer(challenge=CHALLENGE, node="math-0"),
    ],
    ids=["nothing", "zeros", "another key", "another role", "short challenge", "relayed from another node", "another sender"],
)
@on_event_loop
async def test_a_receiver_without_the_key_gets_no_frame(stranger: StrangeReceiver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server = grpc.aio.server()
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    events: list[Event] = []
    async with serving(stranger, server), transport(KEY, events) as sender:
        sender.send(address, frame_of(b"secret"))
        sender.flush()
        await eventually(lambda: events and stranger.ended)
    assert events == [LinkLost(address, False, [], [frame_of(b"secret")])], "it was certainly not received"
    assert stranger.got == []
    assert caplog.text.count(f"the node at {address} did not prove that it belongs") == 1
    assert KEY.hex() not in caplog.text
    assert stranger.openings[0].challenge not in caplog.text


async def call_once(address: str, is_over: Callable[[], bool]) -> None:
    async with transport(KEY, []) as sender:
        sender.send(address, frame_of(b"run"))
        sender.flush()
        await eventually(is_over)


@on_event_loop
async def test_a_recorded_answer_to_another_opening_is_no_proof() -> None:
    recorded: list[fractos_pb2.Acknowledgement] = []

    def replay(opening: Opening) -> fractos_pb2.Acknowledgement:
        recorded.append(fractos_pb2.Acknowledgement(challenge=CHALLENGE, proof=opening.proof(KEY, RECEIVER, CHALLENGE)))
        return recorded[0]

    server = grpc.aio.server()
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    stranger = StrangeReceiver(replay)
    async with serving(stranger, server):
        await call_once(address, lambda: bool(stranger.got))
        await call_once(address, lambda: stranger.ended == 2)
        assert len(stranger.got) == 1, "what it answered the first time was good"
    assert len({opening.challenge for opening in stranger.openings}) == 2
