"""The stream of a channel between two nodes of one host: the messages of `Channel.Connect` over a Unix socket.

A message over gRPC takes its two processes some 130 microseconds each of processor time, and 16 over a socket; see
`benchmarks/floor.py`. All that makes a channel safe (proofs, acknowledgements, heartbeats) lies above, in `grpc_channel.py`,
and is the same over both. A LocalStream offers what a gRPC call and its servicer's context do there.

The socket's name is abstract and follows from the node's address: it goes with its process, however that ends, and there is
none on another host. Both ends have to be of the same user. Where there is no such socket the channel goes over gRPC.

On the wire: a header (length, kind), then as many bytes. The opener's first message is its metadata as JSON; then come Frames
one way and Acknowledgements the other. A REFUSED of the receiver ends the stream.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError, Message

from protos import fractos_pb2
from Services.fractos.transport import memory_packets

log = logging.getLogger(__name__)

Metadata: TypeAlias = Sequence[tuple[str, str]]
Serve: TypeAlias = "Callable[[object, LocalStream], Awaitable[None]]"

HEADER = struct.Struct("<IB")
MESSAGE, REFUSED = 0, 1
OPENING_BYTES = 16 << 10  # of metadata
OPENING_TIMEOUT_S = 5.0  # how long who connects may say nothing
UNREAD_BYTES = 4 << 20  # so much may wait to be read; then the sender has to
BACKLOG = 128
STREAMS = 1000


def socket_name(address: str) -> str:
    """The abstract name that the node with this address listens under."""
    return f"\0mockdc-channel-{address}"


class LocalStream(asyncio.Protocol):
    """One end of a stream. One coroutine at a time may read, and one may write."""

    def __init__(
        self, reads: type[Message], max_bytes: int, *, connected: Callable[[LocalStream], None] = lambda stream: None
    ) -> None:
        """`reads` is the class of the messages that come, `max_bytes` the length of the longest."""
        self._reads = reads
        self._max_bytes = max_bytes
        self._connected = connected
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._has_ended = False
        self._refusal: grpc.aio.AioRpcError | None = None
        self._arrival: asyncio.Future[None] | None = None  # what `read` waits for
        self._room: asyncio.Future[None] | None = None  # what `write` waits for
        self._metadata: Metadata = ()

    # -- what a call and a servicer's context offer -----------------------------------------------------------------------

    async def read(self) -> Message | object:
        """Return the next message, or `grpc.aio.EOF` after the last. Raises AioRpcError if the receiver refused."""
        serialized = await self._next()
        if serialized is None:
            if self._refusal is not None:
                raise self._refusal
            return grpc.aio.EOF
        try:
            return self._reads.FromString(serialized)
        except DecodeError as error:
            log.warning("closed a channel: what came is no %s: %s", self._reads.__name__, error)
            self.cancel()
            return grpc.aio.EOF

    async def write(self, message: Message) -> None:
        """Send a message. Waits while the other end does not read. Raises InvalidStateError if the stream has ended."""
        if self._has_ended or self._transport.is_closing():
            raise asyncio.InvalidStateError("the stream has ended")
        self._send(MESSAGE, message.SerializeToString())
        if self._room is not None:
            await self._room

    def cancel(self) -> None:
        """End the stream at once."""
        self._end()
        self._transport.abort()

    def invocation_metadata(self) -> Metadata:
        """What the opener said of itself."""
        return self._metadata

    def peer(self) -> str:
        """Where the stream comes from."""
        return "this host"

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        """Refuse the stream."""
        if not self._has_ended:
            self._send(REFUSED, json.dumps([code.name, details]).encode())

    # -- how it begins and ends -------------------------------------------------------------------------------------------

    def introduce(self, metadata: Metadata) -> None:
        """Say who opens the stream."""
        self._send(MESSAGE, json.dumps(metadata).encode())

    async def introduced(self) -> bool:
        """Wait for the opener's metadata. Returns whether there was any."""
        said = await asyncio.wait_for(self._next(), OPENING_TIMEOUT_S)
        if said is None or len(said) > OPENING_BYTES:
            return False
        self._metadata = [(str(key), str(value)) for key, value in json.loads(said)]
        return True

    def close(self) -> None:
        """End the stream after what was written."""
        self._transport.close()

    # -- called by the event loop -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # that of uvloop is one in all but its base class
        self._connected(self)

    def data_received(self, data: bytes) -> None:
        """Take the messages out of what came."""
        buffer = self._buffer
        buffer += data
        begin = 0
        while len(buffer) - begin >= HEADER.size:
            length, kind = HEADER.unpack_from(buffer, begin)
            if length > self._max_bytes:
                log.warning("closed a channel: a message of %d bytes; the limit is %d", length, self._max_bytes)
                self.cancel()
                return
            end = begin + HEADER.size + length
            if len(buffer) < end:
                break
            self._take(kind, bytes(memoryview(buffer)[begin + HEADER.size : end]))
            begin = end
        del buffer[:begin]
        if self._unread_bytes > UNREAD_BYTES:
            self._transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """The other end has closed it, or is dead."""
        self._end()

    def pause_writing(self) -> None:
        """The other end does not read."""
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """It does again."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # -- inside -----------------------------------------------------------------------------------------------------------

    def _send(self, kind: int, content: bytes) -> None:
        self._transport.write(HEADER.pack(len(content), kind) + content)

    def _take(self, kind: int, content: bytes) -> None:
        if kind == REFUSED:
            code, details = json.loads(content)
            nothing = grpc.aio.Metadata()
            self._refusal = grpc.aio.AioRpcError(grpc.StatusCode[code], nothing, nothing, details)
            self._end()
            return
        self._unread.append(content)
        self._unread_bytes += len(content)
        self._wake()

    async def _next(self) -> bytes | None:
        """The next message; None: there are no more."""
        while not self._unread:
            if self._has_ended:
                return None
            self._arrival = self._loop.create_future()
            await self._arrival
        content = self._unread.popleft()
        before, self._unread_bytes = self._unread_bytes, self._unread_bytes - len(content)
        if before > UNREAD_BYTES >= self._unread_bytes and not self._has_ended:
            self._transport.resume_reading()
        return content

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _end(self) -> None:
        self._has_ended = True
        self._wake()
        self.resume_writing()


class LocalListener:
    """Where a node takes channels of this host. Bound when it is made; what connects waits until `serve`."""

    def __init__(self, address: str, max_bytes: int) -> None:
        """`address` is the node's. Where there can be no such socket, nobody connects."""
        self._max_bytes = max_bytes
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        if not memory_packets.AVAILABLE:
            return
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(socket_name(address))
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            log.warning("channels of this host to %s go over gRPC as well: %s", address, error)
            return
        self._socket = listening

    async def serve(self, serve: Serve) -> None:
        """Have each stream that is opened served by `serve`, as gRPC has its servicer's method do."""
        loop = asyncio.get_running_loop()

        def connected(stream: LocalStream) -> None:
            if len(self._serving) >= STREAMS or not _is_own_user(stream):
                log.warning("refused a channel: it is of another user, or there are %d", len(self._serving))
                stream.cancel()
                return
            task = loop.create_task(_served(stream, serve))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

        def made() -> LocalStream:
            return LocalStream(fractos_pb2.Frames, self._max_bytes, connected=connected)

        if self._socket is not None:
            self._server = await loop.create_unix_server(made, sock=self._socket)

    async def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            self._socket.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)


async def open_stream(address: str, metadata: Metadata, max_bytes: int) -> LocalStream | None:
    """Open a stream to the node with this address. None: it is on another host, or not to be reached so."""
    if not memory_packets.AVAILABLE:
        return None
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(socket_name(address))  # at once, or not at all
        if not memory_packets.is_own_user(connection):
            raise PermissionError("another user listens there")
    except OSError:
        connection.close()
        return None
    _, stream = await asyncio.get_running_loop().create_unix_connection(
        lambda: LocalStream(fractos_pb2.Acknowledgement, max_bytes), sock=connection
    )
    stream.introduce(metadata)
    return stream


async def _served(stream: LocalStream, serve: Serve) -> None:
    try:
        if await stream.introduced():
            await serve(None, stream)
    except asyncio.TimeoutError:
        log.warning("closed a channel that said nothing for %g s", OPENING_TIMEOUT_S)
    except Exception:
        log.exception("a channel of this host failed")
    finally:
        stream.close()


def _is_own_user(stream: LocalStream) -> bool:
    accepted = stream._transport.get_extra_info("socket")
    return memory_packets.is_own_user(accepted)
