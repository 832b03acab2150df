"""The stream between a Python client and an application node. Opened by `candidates.py` for `connection.py`, on whose event
loop it lives.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeAlias

import grpc

from protos import application_pb2, application_pb2_grpc
from Services.fractos.errors import PermissionDeniedError, UnavailableError
from Services.fractos.transport.grpc_channel import MAX_FRAMES_BYTES, OPTIONS, SLOWEST_BYTES_PER_S
from Services.fractos.transport.local_stream import LocalStream, open_stream
from Services.fractos.transport.streams import Outbox

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 2.0  # how long a node may be out of reach
ANSWER_TIMEOUT_S = 8.0  # how long one that is reached may take to say that it serves: a standby first sees whether it has to
CLOSE_TIMEOUT_S = 1.0
CLOSE_POLL_S = 0.005
WATCH_S = 0.5  # how often a session is looked after
SESSION = "/mockdc.application.v1.Application/Session"
SILENCE_S = 2.5  # how long the node may send nothing although something is unanswered

Metadata: TypeAlias = "Sequence[tuple[str, str | bytes]]"
Call: TypeAlias = "grpc.aio.StreamStreamCall[application_pb2.SessionRequests, application_pb2.SessionResponses] | LocalStream"


class Client(Protocol):
    """Who uses a session."""

    def is_waiting(self) -> bool:
        """Whether something is unanswered."""

    def take(self, results: Sequence[application_pb2.RunResult]) -> None:
        """Take results that arrived together."""

    def lost(self, session: Session, reason: str) -> None:
        """The session, which had been open, has ended."""


class Session:
    """One Session stream, open until it breaks or is closed."""

    def __init__(self, address: str, client: Client, silence_s: float, metadata: Metadata) -> None:
        self.address = address
        self._metadata = metadata
        self._client = client
        self.silence_s = silence_s
        self._outbox: Outbox[application_pb2.SessionRequest] = Outbox(application_pb2.SessionRequest.ByteSize)
        self._on_the_way: list[list[application_pb2.SessionRequest]] = []  # written since something arrived
        self._received = 0
        self._reason = ""
        self._refusal: str | None = None
        self._call: Call
        self._task: asyncio.Task[None]
        self.is_open = False
        self.was_silent = False  # whether that is what ended it

    @classmethod
    async def open(cls, address: str, client: Client, silence_s: float = SILENCE_S, metadata: Metadata = ()) -> Session:
        """Connect. The node counts as dead when it has sent nothing for `silence_s` although something is unanswered.

        `metadata` says what allows it. Raises UnavailableError if the application node cannot be reached within 2 s or has not
        said within 8 s that it serves, PermissionDeniedError if it refuses the client.
        """
        session = cls(address, client, silence_s, metadata)
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        session._task = asyncio.create_task(session._live(opened), name=f"session with {address}")
        try:
            await opened
        except asyncio.CancelledError:
            await session.abandon()
            raise
        return session

    def put(self, request: application_pb2.SessionRequest) -> None:
        """Add a request; it leaves at the next `flush`."""
        self._outbox.put(request)

    def flush(self) -> None:
        """Begin to write what was put."""
        self._outbox.flush()

    async def close(self) -> None:
        """Write what was put, then end the stream. Runs that have not ended after a second go on without this client."""
        closing = asyncio.create_task(self._half_close())
        await asyncio.wait([self._task], timeout=CLOSE_TIMEOUT_S)
        closing.cancel()
        await self.abandon()
        await asyncio.wait([closing])

    async def abandon(self) -> None:
        """End the stream at once."""
        self._reason = self._reason or "this client closed the session"
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _live(self, opened: asyncio.Future[None]) -> None:
        reason = "the application node closed the session"
        try:
            local = await open_stream(
                self.address, SESSION, self._metadata, application_pb2.SessionResponses, max_bytes=MAX_FRAMES_BYTES
            )
            if local is not None:
                try:
                    await self._exchange(local, lambda: local.is_welcome, opened)
                finally:
                    local.cancel()
                return
            async with grpc.aio.insecure_channel(self.address, OPTIONS) as channel:
                call = application_pb2_grpc.ApplicationStub(channel).Session(metadata=self._metadata)
                await self._exchange(call, lambda: channel.get_state() is grpc.ChannelConnectivity.READY, opened)
        except asyncio.TimeoutError as error:
            reason = str(error)
        except grpc.aio.AioRpcError as error:
            reason = f"{error.code().name}: {error.details()}"
            self._refusal = error.details() if error.code() is grpc.StatusCode.PERMISSION_DENIED else None
        except asyncio.CancelledError:
            reason = self._reason
        except Exception:
            log.exception("the session with %s failed", self.address)
            reason = "of a defect"
        finally:
            self._end(reason, opened)

    def _end(self, reason: str, opened: asyncio.Future[None]) -> None:
        """Tell whoever opened this, or uses it."""
        if self.is_open:
            self.is_open = False
            self._client.lost(self, reason)
        elif not opened.done():
            refusal = PermissionDeniedError(self._refusal) if self._refusal else None
            opened.set_exception(refusal or UnavailableError(f"{self.address} does not serve: {reason}"))

    async def _exchange(self, call: Call, is_connected: Callable[[], bool], opened: asyncio.Future[None]) -> None:
        """Write and read until the stream breaks. The first message says that the node serves; nothing is sent before."""
        self._call = call
        if await _first_message(call, is_connected) is grpc.aio.EOF or opened.cancelled():
            return
        self.is_open = True
        opened.set_result(None)
        self._outbox.open(self._write)
        watcher = asyncio.create_task(self._watch(call))
        try:
            await self._read(call)
        finally:
            watcher.cancel()
            self._outbox.cancel()

    async def _read(self, call: Call) -> None:
        while isinstance(responses := await call.read(), application_pb2.SessionResponses):
            self._received += 1
            self._on_the_way.clear()
            self._client.take(responses.results)

    async def _write(self, requests: list[application_pb2.SessionRequest]) -> None:
        self._on_the_way.append(requests)
        await self._call.write(application_pb2.SessionRequests(requests=requests))

    async def _watch(self, call: Call) -> None:
        """End the stream when the node has been silent for too long; give it something to answer.

        Counts its own turns instead of looking at a clock: when the whole machine has been paused, nobody was silent.
        """
        received, silent_s, was_waiting = 0, 0.0, False
        while silent_s < self.silence_s + self._bytes_on_the_way() / SLOWEST_BYTES_PER_S:
            await asyncio.sleep(WATCH_S)
            is_waiting = self._client.is_waiting()
            is_silent = was_waiting and is_waiting and self._received == received
            received, silent_s, was_waiting = self._received, silent_s + WATCH_S if is_silent else 0.0, is_waiting
            if is_silent:
                self._outbox.beat()
        self._reason, self.was_silent = f"it has sent nothing for {silent_s:g} s", True
        call.cancel()

    def _bytes_on_the_way(self) -> int:
        return sum(request.ByteSize() for batch in self._on_the_way for request in batch)

    async def _half_close(self) -> None:
        """End this half of the stream after all that was put; the other half then ends by itself."""
        while self._outbox:
            await asyncio.sleep(CLOSE_POLL_S)
        await self._outbox.close()
        with suppress(asyncio.InvalidStateError):  # it broke meanwhile
            await self._call.done_writing()


async def _first_message(call: Call, is_connected: Callable[[], bool]) -> object:
    """Read a call's first message. Raises TimeoutError if the node is out of reach, or silent."""
    reading = asyncio.ensure_future(call.read())
    try:
        await asyncio.wait([reading], timeout=CONNECT_TIMEOUT_S)
        if not reading.done() and not is_connected():
            raise asyncio.TimeoutError(f"no connection within {CONNECT_TIMEOUT_S:g} s")
        await asyncio.wait([reading], timeout=ANSWER_TIMEOUT_S - CONNECT_TIMEOUT_S)
        if not reading.done():
            raise asyncio.TimeoutError(f"no answer within {ANSWER_TIMEOUT_S:g} s")
        return reading.result()
    finally:
        reading.cancel()
