"""The two ends of a channel, each as one that may be a stranger: what it says is for a test to choose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.events import Event, FrameReceived
from Services.fractos.transport.acknowledger import ServerContext
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.grpc_channel import OPTIONS, ChannelServicer, Clock
from Services.fractos.transport.handshake import CHALLENGE_BYTES, Opening, introduce

CHALLENGE = bytes(range(CHALLENGE_BYTES))
Prove = Callable[[Opening, fractos_pb2.Acknowledgement], bytes]


@dataclass
class Delivered:
    """What has arrived."""

    runs: list[bytes] = field(default_factory=list)
    fails_next: bool = False  # instead of taking what arrives next

    def take(self, *events: Event) -> None:
        """As `Controller.feed`."""
        if self.fails_next:
            self.fails_next = False
            raise ValueError("broken")
        self.runs += [event.frame.request.run_id for event in events if isinstance(event, FrameReceived)]


def frame_of(run_id: bytes) -> fractos_pb2.Frame:
    """A Request of this run."""
    return fractos_pb2.Frame(request=fractos_pb2.Request(run_id=run_id))


@asynccontextmanager
async def serving(servicer: fractos_pb2_grpc.ChannelServicer, server: grpc.aio.Server) -> AsyncIterator[None]:
    """Serve for a while."""
    fractos_pb2_grpc.add_ChannelServicer_to_server(servicer, server)
    await server.start()
    try:
        yield
    finally:
        await server.stop(0)


@asynccontextmanager
async def receiver(
    key: bytes, clock: Clock = time.time, network: NodeNetwork | None = None
) -> AsyncIterator[tuple[str, Delivered]]:
    """The receiving side of a Controller that has this key: its address, and what it delivers."""
    server = grpc.aio.server(options=OPTIONS)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    delivered = Delivered()
    async with serving(ChannelServicer("test", key, address, delivered.take, clock, lambda: 7, network), server):
        yield address, delivered


def opening_for(address: str, now: float | None = None) -> Opening:
    """How `math-9` opens a channel."""
    return introduce("test", "math-9", address, time.time() if now is None else now, CHALLENGE)


async def send(opening: Opening, address: str, prove: Prove, *frames: bytes) -> list[fractos_pb2.Acknowledgement]:
    """Open a channel, send these frames with what `prove` makes of the answer, and return all that the receiver says.

    Raises AioRpcError if it refuses.
    """
    answered = asyncio.get_running_loop().create_future()

    async def requests() -> AsyncIterator[fractos_pb2.Frames]:
        yield fractos_pb2.Frames(frames=frames, proof=prove(opening, await answered))

    answers: list[fractos_pb2.Acknowledgement] = []
    async with grpc.aio.insecure_channel(address, OPTIONS) as channel:
        stub = fractos_pb2_grpc.ChannelStub(channel)
        try:
            async for answer in stub.Connect(requests(), metadata=opening.metadata, timeout=30):
                answers.append(answer)
                if not answered.done():
                    answered.set_result(answer)
        finally:
            answered.cancel()
    return answers


class StrangeReceiver(fractos_pb2_grpc.ChannelServicer):
    """A receiver that answers as it is told, and keeps what it gets."""

    def __init__(self, answer: Callable[[Opening], fractos_pb2.Acknowledgement]) -> None:
        self._answer = answer
        self.openings: list[Opening] = []
        self.got: list[fractos_pb2.Frames] = []
        self.ended = 0

    async def Connect(self, request_iterator: object, context: ServerContext) -> None:
        """Answer, then read until the sender goes."""
        given = {key.removeprefix("mockdc-"): value for key, value in context.invocation_metadata() or ()}
        fields = ("datacenter", "node", "address", "time", "challenge", "protocol")
        self.openings.append(Opening(*(str(given[name]) for name in fields)))
        try:
            await context.write(self._answer(self.openings[-1]))
            while isinstance(frames := await context.read(), fractos_pb2.Frames):
                self.got.append(frames)
        finally:
            self.ended += 1
