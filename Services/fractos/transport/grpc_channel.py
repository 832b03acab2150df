"""Channels: one long-lived stream for each pair of sender and receiver, with cumulative acknowledgement.

The stream is a gRPC call; between nodes of one host it is a `local_stream`, with the same messages and the same proofs.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeAlias

import grpc
from google.protobuf.message import DecodeError

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.errors import FailedPreconditionError, UnauthenticatedError, UnavailableError
from Services.fractos.events import FrameReceived, LinkLost, LinkOpened, PeerEpoch
from Services.fractos.plan import MAX_MESSAGE_BYTES
from Services.fractos.transport import handshake
from Services.fractos.transport.acknowledger import ACKNOWLEDGE_DELAY_S, Acknowledger, ServerContext
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.held_frames import HeldFrames
from Services.fractos.transport.interface import Deliver, Transport
from Services.fractos.transport.local_stream import LocalStream, open_stream
from Services.fractos.transport.streams import BROKEN, Outbox

log = logging.getLogger(__name__)

# A frame holds at most one value, one graph's arguments and a trail of small outputs.
MAX_FRAMES_BYTES = 2 * MAX_MESSAGE_BYTES + (8 << 20)
OPTIONS = [
    ("grpc.max_send_message_length", MAX_FRAMES_BYTES),
    ("grpc.max_receive_message_length", MAX_FRAMES_BYTES),
    ("grpc.use_local_subchannel_pool", 1),  # a new channel must not inherit the back-off of the one that broke
    ("grpc.enable_http_proxy", 0),
    # Probing for the bandwidth answers most small frames with a ping, which takes a fifth of a ring's time. A fixed window.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 4 << 20),
    # A peer that is silent although its connection stands is given up after 15 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
]
CONNECT_TIMEOUT_S = 2.0
PROOF_TIMEOUT_S = 5.0  # how long a stranger may hold a call open
CLOSE_TIMEOUT_S = 1.0
WATCH_S = 0.5  # how often a channel is looked after
SILENCE_S = 2.5  # how long a peer may acknowledge nothing before it counts as dead, as if stopped or cut off
SLOWEST_BYTES_PER_S = 1 << 20  # so much longer for what is on its way

IDLE_S = 60.0  # how long a channel that nobody keeps stays open with nothing to carry
PEERS = 1000  # addresses that frames are counted for

CONNECT = "/mockdc.fractos.v1.Channel/Connect"
HEARTBEAT = b""  # a frame without a body: counted and acknowledged, and that is all

Clock = Callable[[], float]
Call: TypeAlias = "grpc.aio.StreamStreamCall[fractos_pb2.Frames, fractos_pb2.Acknowledgement] | LocalStream"


class GrpcTransport(Transport):
    """The sending side: a link for each address that something was sent to."""

    def __init__(
        self,
        datacenter: str,
        key: bytes,
        node: str,
        deliver: Deliver,
        clock: Clock,
        network: NodeNetwork | None = None,
    ) -> None:
        """`key` is the datacenter's, by which the nodes that are called know this one, and it knows them.

        `network`: how slow the emulated links may be.
        """
        self._datacenter = datacenter
        self._key = key
        self._node = node
        self._deliver = deliver
        self._clock = clock
        self._network = network
        self._links: dict[str, _Link] = {}
        self._to_flush: dict[_Link, None] = {}
        self.sent: dict[str, list[int]] = {}  # by address: how many frames, and of how many bytes

    def send(self, address: str, frame: fractos_pb2.Frame) -> None:
        """Queue a frame."""
        link = self._links.get(address) or self._open(address)
        serialized = frame.SerializeToString()
        link.outbox.put(serialized)
        self._to_flush[link] = None
        self._count(address, len(serialized))

    def flush(self) -> None:
        """Begin to write what was queued."""
        links, self._to_flush = self._to_flush, {}
        for link in links:
            link.outbox.flush()

    def keep(self, address: str) -> None:
        """Open a channel if there is none, and see that its peer goes on answering."""
        link = self._links.get(address) or self._open(address)
        link.kept = True

    def release(self, address: str) -> None:
        """Let a channel go once it carries nothing for a minute."""
        if (link := self._links.get(address)) is not None:
            link.kept = False

    async def close(self) -> None:
        """Send what is queued, within a second, then close every channel."""
        links = list(self._links.values())
        await asyncio.gather(*(link.close() for link in links))

    def _count(self, address: str, size: int) -> None:
        count = self.sent.get(address)
        if count is None:
            if len(self.sent) >= PEERS:
                del self.sent[next(iter(self.sent))]
            count = self.sent[address] = [0, 0]
        count[0] += 1
        count[1] += size

    def _open(self, address: str) -> _Link:
        challenge = os.urandom(handshake.CHALLENGE_BYTES)
        opening = handshake.introduce(self._datacenter, self._node, address, self._clock(), challenge)
        link = self._links[address] = _Link(opening, self._key, self._deliver, self._lost, self._forget, self._network)
        return link

    def _lost(self, link: _Link) -> None:
        """Forget a link before its loss is told, since what follows may open the next one."""
        self._forget(link)
        unknown, unsent = ([fractos_pb2.Frame.FromString(one) for one in frames if one] for frames in link.remains())
        self._deliver(LinkLost(link.address, link.opened, unknown, unsent))

    def _forget(self, link: _Link) -> None:
        if self._links.get(link.address) is link:
            del self._links[link.address]


class _Link:
    """One stream to one address, from its opening to its loss."""

    def __init__(
        self,
        opening: handshake.Opening,
        key: bytes,
        deliver: Deliver,
        lost: Callable[[_Link], None],
        idle: Callable[[_Link], None],
        network: NodeNetwork | None,
    ) -> None:
        """`lost` hears of its loss; `idle` is told before it is closed since nothing was sent for long."""
        self.address = opening.address
        self.outbox: Outbox[bytes] = Outbox(len)  # serialized frames
        self.opened = False
        self.kept = False  # whether it is tried although there is nothing to send
        self._opening = opening
        self._key = key
        self._proof = b""  # until it was sent
        self._deliver = deliver
        self._lost = lost
        self._idle = idle
        self._network = network
        self._unacknowledged: deque[bytes] = deque()
        self._acknowledged = 0
        self._epoch = 0
        self._closing = False
        self._task = asyncio.create_task(self._live(), name=f"link to {self.address}")

    def remains(self) -> tuple[list[bytes], list[bytes]]:
        """The frames that may or may not have arrived, and those that were never sent."""
        return list(self._unacknowledged), self.outbox.clear()

    async def close(self) -> None:
        """Give what is queued a second to leave, then end."""
        self._closing = True
        deadline = asyncio.get_running_loop().time() + CLOSE_TIMEOUT_S
        while (self.outbox or self._unacknowledged) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(ACKNOWLEDGE_DELAY_S / 2)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _live(self) -> None:
        reason = "the other side closed it"
        try:
            async with _stream(self._opening) as call:
                await self._exchange(call)
        except asyncio.TimeoutError:
            reason = f"it could not be opened within {self._opening_timeout_s():g} s"
        except grpc.aio.AioRpcError as error:
            reason = f"{error.code().name}: {error.details()}"
        except UnauthenticatedError as error:
            reason = error.message
        except asyncio.CancelledError:
            reason = "it was cancelled"
        except Exception:
            log.exception("channel to %s failed", self.address)
            reason = "of a defect"
        log.info("channel to %s ended: %s", self.address, reason)
        if not self._closing:
            self._lost(self)

    async def _exchange(self, call: Call) -> None:
        """Write and read until the stream breaks. The first acknowledgement answers the handshake; nothing is sent before.

        Raises UnauthenticatedError if it does not prove that the receiver belongs to the datacenter.
        """
        first = await asyncio.wait_for(call.read(), self._opening_timeout_s())
        if not isinstance(first, fractos_pb2.Acknowledgement):
            return
        self._opening.check_proof(self._key, handshake.RECEIVER, first.challenge, first.proof)
        self._proof = self._opening.proof(self._key, handshake.OPENER, first.challenge)
        self.opened = True
        self._deliver(LinkOpened(self.address))
        self._learn(first.epoch)
        self.outbox.open(partial(self._write, call))
        self.outbox.beat()  # the receiver waits for the proof, whether there are frames or not
        watcher = asyncio.create_task(self._watch(call))
        try:
            await self._read(call)
        finally:
            watcher.cancel()
            self.outbox.cancel()

    async def _watch(self, call: Call) -> None:
        """End the stream when the peer has acknowledged nothing for too long; give it something to acknowledge.

        Counts its own turns instead of looking at a clock: when the whole machine has been paused, nobody was silent.
        """
        acknowledged, silent_s, idle_s = -1, 0.0, 0.0
        while silent_s < self._patience_s():
            if self.kept and not self._unacknowledged:
                self.outbox.put(HEARTBEAT)
                self.outbox.flush()
            await asyncio.sleep(WATCH_S)
            silent = self._unacknowledged and self._acknowledged == acknowledged
            is_idle = not (self.kept or self.outbox or self._unacknowledged) and self._acknowledged == acknowledged
            idle_s = idle_s + WATCH_S if is_idle else 0.0
            if idle_s >= IDLE_S:
                self._closing = True
                self._idle(self)
                call.cancel()
                return
            acknowledged, silent_s = self._acknowledged, silent_s + WATCH_S if silent else 0.0
        log.warning("%s has acknowledged nothing for %g s", self.address, silent_s)
        call.cancel()

    def _patience_s(self) -> float:
        """How long the peer may be silent."""
        size_bytes = sum(map(len, self._unacknowledged))
        patience_s = SILENCE_S + size_bytes / SLOWEST_BYTES_PER_S
        return patience_s + self._network.patience_s(self.address, size_bytes) if self._network else patience_s

    def _opening_timeout_s(self) -> float:
        return CONNECT_TIMEOUT_S + (self._network.opening_patience_s(self.address) if self._network else 0.0)

    async def _read(self, call: Call) -> None:
        while isinstance(acknowledgement := await call.read(), fractos_pb2.Acknowledgement):
            while self._acknowledged < acknowledgement.accepted:
                self._unacknowledged.popleft()
                self._acknowledged += 1
            self._learn(acknowledgement.epoch)

    def _learn(self, epoch: int) -> None:
        """Tell that the peer has become an owner, or was one when the stream was opened."""
        if epoch > self._epoch:
            self._epoch = epoch
            self._deliver(PeerEpoch(self.address, epoch))

    async def _write(self, call: Call, batch: list[bytes]) -> None:
        self._unacknowledged.extend(batch)
        proof, self._proof = self._proof, b""
        await call.write(fractos_pb2.Frames(frames=batch, proof=proof))


@asynccontextmanager
async def _stream(opening: handshake.Opening) -> AsyncIterator[Call]:
    """Open a stream to a node, over the quickest way there is."""
    local = await open_stream(
        opening.address, CONNECT, opening.metadata, fractos_pb2.Acknowledgement, max_bytes=MAX_FRAMES_BYTES
    )
    if local is not None:
        try:
            yield local
        finally:
            local.cancel()
        return
    async with grpc.aio.insecure_channel(opening.address, OPTIONS) as channel:
        yield fractos_pb2_grpc.ChannelStub(channel).Connect(metadata=opening.metadata)


class ChannelServicer(fractos_pb2_grpc.ChannelServicer):
    """The receiving side: checks who opens a channel, delivers its frames, acknowledges them."""

    def __init__(
        self,
        datacenter: str,
        key: bytes,
        address: str,
        deliver: Deliver,
        clock: Clock,
        epoch: Callable[[], int],
        network: NodeNetwork | None = None,
    ) -> None:
        """`key` is the datacenter's, `address` what others call this node by; `epoch` returns that of `Acknowledgement`.

        `network` holds back what comes, as emulated links do.
        """
        self._datacenter = datacenter
        self._key = key
        self._address = address
        self._deliver = deliver
        self._clock = clock
        self._epoch = epoch
        self._network = network

    async def Connect(self, request_iterator: object, context: ServerContext) -> None:
        """Serve one channel until its sender closes it."""
        try:
            metadata = context.invocation_metadata() or ()
            opening = handshake.check(metadata, self._datacenter, self._address, self._clock())
            if self._network is not None:
                await self._network.opening(opening.node)
            frames = await self._admit(opening, context)
            log.info("channel from %s opened", opening.node)
            acknowledger, held = Acknowledger(context, self._epoch), None
            # Not earlier, nor for one who left instead of proving it: what is kept for a node, nobody else may claim.
            if self._network is not None and isinstance(frames, fractos_pb2.Frames):
                arrived = partial(self._arrived, opening.node)
                held = self._network.opened(opening.node, arrived, acknowledger.accepted)
            try:
                await self._serve(opening, frames, context, acknowledger, held)
            finally:
                acknowledger.cancel()
                if held is not None:
                    held.close()
        except (FailedPreconditionError, UnauthenticatedError, UnavailableError) as error:
            log.warning("refused a channel from %s: %s", context.peer(), error)
            await context.abort(grpc.StatusCode[error.status], error.message)

    async def _serve(
        self,
        opening: handshake.Opening,
        frames: object,
        context: ServerContext,
        acknowledger: Acknowledger,
        held: HeldFrames | None,
    ) -> None:
        """Have frames arrive, and those that follow them, until the sender closes the channel."""
        while isinstance(frames, fractos_pb2.Frames):
            if held is None or held.link is None:
                self._arrived(opening.node, frames.frames)
                acknowledger.accepted(len(frames.frames), sum(map(len, frames.frames)))
            else:
                held.hold(frames.frames)
                await held.room()
            frames = await context.read()
        if held is not None:
            await held.all()
        await acknowledger.finish()

    def _arrived(self, source: str, frames: Sequence[bytes]) -> None:
        if received := _received(frames, source):
            self._deliver(*received)

    async def _admit(self, opening: handshake.Opening, context: ServerContext) -> object:
        """Exchange the proofs. Returns what came with the sender's: its first frames. Raises UnauthenticatedError."""
        challenge = os.urandom(handshake.CHALLENGE_BYTES)
        proof = opening.proof(self._key, handshake.RECEIVER, challenge)
        with suppress(*BROKEN):  # whoever reads the stream learns why
            await context.write(fractos_pb2.Acknowledgement(epoch=self._epoch(), challenge=challenge, proof=proof))
        try:
            first = await asyncio.wait_for(context.read(), PROOF_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise UnauthenticatedError(f"no proof came within {PROOF_TIMEOUT_S:g} s of the challenge") from None
        if isinstance(first, fractos_pb2.Frames):
            opening.check_proof(self._key, handshake.OPENER, challenge, first.proof)
        return first


def _received(frames: Sequence[bytes], source: str) -> list[FrameReceived]:
    received = []
    for serialized in frames:
        if serialized == HEARTBEAT:
            continue
        try:
            received.append(FrameReceived(fractos_pb2.Frame.FromString(serialized), source, len(serialized)))
        except DecodeError as error:
            log.warning("dropped a frame that does not parse: %s", error)
    return received
