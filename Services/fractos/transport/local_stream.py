"""Streams between two processes of one host: the messages of a gRPC method, over a Unix socket.

For `Channel.Connect` and `Application.Session`, which carry every run: a message over gRPC costs each process 141 microseconds
of processor time, like this 55 (`benchmarks/floor.py`). All that makes them safe (proofs, capabilities, acknowledgements,
heartbeats) lies above and is the same over both: a LocalStream offers what a gRPC call, and a servicer's context, do there.

The socket's name is abstract and follows from the node's address: it goes with its process, however that ends, and there is
none on another host. Both ends have to be of the same user. Where there is no such socket, gRPC is used.

On the wire: a header (length, kind), then as many bytes. The opener's first message says in JSON which method is meant, and
the metadata; then come the method's messages both ways. WELCOME says that the process lives which the socket belongs to: a
connection alone does not. DONE says that the sender writes no more, REFUSED ends the stream.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError, Message

from Services.fractos.transport import memory_packets

log = logging.getLogger(__name__)

Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]

HEADER = struct.Struct("<IB")
MESSAGE, WELCOME, DONE, REFUSED = range(4)
BINARY = "-bin"  # metadata keys that end so have bytes for values, as in gRPC
OPENING_TIMEOUT_S = 5.0  # how long who connects may say nothing
UNREAD_BYTES = 4 << 20  # so much may wait to be read; then the sender has to
BACKLOG = 128
STREAMS = 10_000  # that are served at a time
OPENING_BYTES = 64 << 10  # the longest that is taken of who has not said yet what the stream is for
CLOSE_TIMEOUT_S = 15.0  # how long the other end may take to read the last of a stream that is over


class Method(NamedTuple):
    """What a node offers over streams, by its full name: "/package.Service/Method"."""

    serve: Callable[[Any, Any], Awaitable[None]]  # the servicer's method
    reads: type[Message]


def socket_name(address: str) -> str:
    """The abstract name that the node with this address listens under."""
    return f"\0mockdc-streams-{address}"


class LocalStream(asyncio.Protocol):
    """One end of a stream. One coroutine at a time may read, and one may write."""

    def __init__(
        self,
        reads: type[Message],
        max_bytes: int,
        *,
        connected: Callable[[LocalStream], None] = lambda stream: None,
        lost: Callable[[LocalStream], None] = lambda stream: None,
    ) -> None:
        """`reads` is the class of the messages that come, `max_bytes` the length of the longest.

        `connected` and `lost` are told when the connection begins and ends.
        """
        self._reads = reads
        self._max_bytes = max_bytes
        self._connected = connected
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._buffer = bytearray()
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self.is_welcome = False  # the other end has said that it is there
        self._has_ended = False
        self._is_cancelled = False
        self._is_done = False  # nothing more comes
        self._refusal: grpc.aio.AioRpcError | None = None
        self._arrival: asyncio.Future[None] | None = None  # what `read` waits for
        self._room: asyncio.Future[None] | None = None  # what `write` waits for
        self._metadata: Metadata = ()
        self._closing: asyncio.TimerHandle | None = None

    # -- what a call and a servicer's context offer -----------------------------------------------------------------------

    async def read(self) -> Message | object:
        """Return the messages that are there as one, or `grpc.aio.EOF` after the last. Raises AioRpcError if it was refused.

        Serialized messages merge when they are joined, and those of our methods are lists or counters: one that is behind
        takes in all at once, and what follows from it travels together again.
        """
        if not await self._arrived():
            if self._refusal is not None:
                raise self._refusal
            return grpc.aio.EOF
        try:
            return self._reads.FromString(self._taken(len(self._unread)))
        except DecodeError as error:
            log.warning("closed a stream: what came is no %s: %s", self._reads.__name__, error)
            self._break_off()
            return grpc.aio.EOF

    async def write(self, message: Message) -> None:
        """Send a message. Waits while the other end does not read. Raises InvalidStateError if the stream has ended."""
        if self._has_ended or self._transport.is_closing():
            raise asyncio.InvalidStateError("the stream has ended")
        self._send(MESSAGE, message.SerializeToString())
        if self._room is not None:
            await self._room

    async def done_writing(self) -> None:
        """Write no more; what comes can still be read. Raises InvalidStateError if the stream has ended."""
        if self._has_ended:
            raise asyncio.InvalidStateError("the stream has ended")
        self._send(DONE, b"")

    def cancel(self) -> None:
        """End the stream at once; whoever reads gets a CancelledError, as from gRPC."""
        self._is_cancelled = True
        self._break_off()

    def invocation_metadata(self) -> Metadata:
        """What the opener said of itself."""
        return self._metadata

    def peer(self) -> str:
        """Where the stream comes from."""
        return "this host"

    async def abort(self, code: grpc.StatusCode, details: str) -> None:
        """Refuse the stream. Raises AbortError, which ends the servicer's method."""
        self.refuse(code, details)
        raise grpc.aio.AbortError("the stream was refused")

    def refuse(self, code: grpc.StatusCode, details: str) -> None:
        """Say why the stream is not served."""
        if not self._has_ended:
            self._send(REFUSED, json.dumps([code.name, details]).encode())

    async def abort_with_status(self, status: grpc.Status) -> None:
        """The same, with code and details of a status."""
        await self.abort(status.code, status.details)

    # -- how it begins and ends -------------------------------------------------------------------------------------------

    def introduce(self, method: str, metadata: Metadata) -> None:
        """Say what the stream is opened for."""
        texts = [(key, value.hex() if isinstance(value, bytes) else value) for key, value in metadata]
        self._send(MESSAGE, json.dumps([method, texts]).encode())

    def welcome(self) -> None:
        """Say that this end is there."""
        self._send(WELCOME, b"")

    async def introduced(self, methods: Mapping[str, Method], max_bytes: int) -> Method:
        """Wait for what the opener says, and return what it wants; its messages may have up to `max_bytes`.

        Raises ValueError if it makes no sense.
        """
        said = self._taken(1) if await asyncio.wait_for(self._arrived(), OPENING_TIMEOUT_S) else b"null"
        opening = json.loads(said)
        name, texts = opening if isinstance(opening, list) and len(opening) == 2 else ("", ())
        if not isinstance(name, str) or name not in methods:
            raise ValueError(f"it asks for {str(name)[:100]!r}, of which nothing is known here")
        try:
            self._metadata = [(key, bytes.fromhex(value) if key.endswith(BINARY) else value) for key, value in texts]
        except (TypeError, AttributeError) as error:
            raise ValueError(f"its metadata make no sense: {error}") from error
        self._reads, self._max_bytes = methods[name].reads, max_bytes
        return methods[name]

    def is_own_user(self) -> bool:
        """Whether the process at the other end belongs to the user of this one."""
        return memory_packets.is_own_user(self._transport.get_extra_info("socket"))

    def close(self) -> None:
        """End the stream after what was written, which the other end has to read soon."""
        self._transport.close()
        self._closing = self._loop.call_later(CLOSE_TIMEOUT_S, self._transport.abort)

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
                log.warning("closed a stream: a message of %d bytes; the limit is %d", length, self._max_bytes)
                self._break_off()
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
        if self._closing is not None:
            self._closing.cancel()
        self._end()
        self._lost(self)

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
        self._transport.writelines((HEADER.pack(len(content), kind), content))  # which copies neither

    def _take(self, kind: int, content: bytes) -> None:
        if kind == MESSAGE:
            self._unread.append(content)
            self._unread_bytes += HEADER.size + len(content)
            self._wake()
        elif kind == WELCOME:
            self.is_welcome = True
        elif kind == DONE:
            self._is_done = True
            self._wake()
        else:
            code, details = json.loads(content)
            nothing = grpc.aio.Metadata()
            self._refusal = grpc.aio.AioRpcError(grpc.StatusCode[code], nothing, nothing, details)
            self._end()

    async def _arrived(self) -> bool:
        """Wait for a message. Returns False if there are no more."""
        while not self._unread:
            if self._is_cancelled:
                raise asyncio.CancelledError
            if self._has_ended or self._is_done:
                return False
            self._arrival = self._loop.create_future()
            await self._arrival
        return True

    def _taken(self, count: int) -> bytes:
        """Remove so many messages, joined."""
        taken = b"".join([self._unread.popleft() for _ in range(count)])
        before, self._unread_bytes = self._unread_bytes, self._unread_bytes - len(taken) - count * HEADER.size
        if before > UNREAD_BYTES >= self._unread_bytes and not self._has_ended:
            self._transport.resume_reading()
        return taken

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _break_off(self) -> None:
        self._end()
        self._transport.abort()

    def _end(self) -> None:
        self._has_ended = True
        self._wake()
        self.resume_writing()


class LocalListener:
    """Where a node is reached from this host. Bound when it is made; what connects waits until `serve`."""

    def __init__(self, address: str, max_bytes: int) -> None:
        """`address` is the node's. Where there can be no such socket, nobody connects."""
        self._max_bytes = max_bytes
        self._methods: Mapping[str, Method] = {}
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._serving: dict[LocalStream, asyncio.Task[None]] = {}
        if not memory_packets.AVAILABLE:
            return
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(socket_name(address))
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            log.warning("this host reaches %s over gRPC as well: %s", address, error)
            return
        self._socket = listening

    async def serve(self, methods: Mapping[str, Method]) -> None:
        """Have each stream served by the method that it asks for; cancelled, as by gRPC, when the other end is gone."""
        self._methods = methods

        def made() -> LocalStream:
            # The class of its messages is known once it has said which method it is for.
            return LocalStream(Message, OPENING_BYTES, connected=self._begin, lost=self._end)

        if self._socket is not None:
            self._server = await asyncio.get_running_loop().create_unix_server(made, sock=self._socket)

    async def close(self) -> None:
        """Hang up."""
        if self._server is not None:
            self._server.close()
        elif self._socket is not None:
            self._socket.close()
        serving = list(self._serving.values())
        for task in serving:
            task.cancel()
        if serving:
            await asyncio.wait(serving)

    def _begin(self, stream: LocalStream) -> None:
        if not stream.is_own_user():
            log.warning("refused a stream of another user")
            stream.cancel()
            return
        stream.welcome()
        if len(self._serving) >= STREAMS:
            log.warning("refused a stream: %d are served, which is the limit", STREAMS)
            stream.refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{STREAMS} streams of this host are served, which is the limit")
            stream.close()
            return
        self._serving[stream] = asyncio.create_task(_served(stream, self._methods, self._max_bytes))

    def _end(self, stream: LocalStream) -> None:
        if (task := self._serving.pop(stream, None)) is not None:
            task.cancel()


async def open_stream(
    address: str, method: str, metadata: Metadata, reads: type[Message], max_bytes: int
) -> LocalStream | None:
    """Open a stream to the node with this address, over which come messages of class `reads`.

    None: it is on another host, or not to be reached so.
    """
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
    _, stream = await asyncio.get_running_loop().create_unix_connection(lambda: LocalStream(reads, max_bytes), sock=connection)
    stream.introduce(method, metadata)
    return stream


async def _served(stream: LocalStream, methods: Mapping[str, Method], max_bytes: int) -> None:
    try:
        method = await _introduced(stream, methods, max_bytes)
        if method is not None:
            with suppress(grpc.aio.AbortError):  # whoever opened it was told why
                await method.serve(None, stream)
    except Exception:
        log.exception("a stream failed")
    finally:
        stream.close()


async def _introduced(stream: LocalStream, methods: Mapping[str, Method], max_bytes: int) -> Method | None:
    try:
        return await stream.introduced(methods, max_bytes)
    except asyncio.TimeoutError:
        log.warning("closed a stream that said nothing for %g s", OPENING_TIMEOUT_S)
    except ValueError as error:
        log.warning("closed a stream: %s", error)
    return None
