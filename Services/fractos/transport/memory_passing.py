"""The owner's end of the Unix socket: passes the memfd of an object to whoever is on this host and has the right to read it.

Takes over what clients of this host leave, too, for as long as they are connected.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import closing
from typing import Any, NamedTuple, TypeAlias

from google.protobuf.message import DecodeError

from protos import fractos_pb2
from Services.fractos.errors import Context, FractosError, InvalidArgumentError, ResourceExhaustedError, failure_of
from Services.fractos.memory import MemoryStore
from Services.fractos.memory_block import MemoryPart
from Services.fractos.transport import memory_packets
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.memory_packets import Answer, Question
from Services.fractos.transport.memory_traffic import UNIX, MemoryTraffic

log = logging.getLogger(__name__)

CONNECTIONS = 1000
BACKLOG = 128
CROSSING = 1000  # answers that are on their way to one reader
RETRY_S = 0.5  # after the system gave no descriptor for a connection

Crossing: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class MemoryPassing:
    """Listens for readers on this host. Lives on the event loop."""

    def __init__(
        self,
        store: MemoryStore,
        clock: Callable[[], float],
        traffic: MemoryTraffic,
        may_leave: Callable[[fractos_pb2.Capability], float],
        network: NodeNetwork | None = None,
    ) -> None:
        """`may_leave(capability)`: until when what its holder hands over may stay. Raises PermissionDeniedError.

        `network`: how long the emulated links have clients wait.
        """
        self._network = network
        self._may_leave = may_leave
        self._store = store
        self._clock = clock
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._connections: set[_Connection] = set()

    def start(self) -> None:
        """Listen under the name that follows from the node's address. Where that is not possible, streams are left."""
        if not memory_packets.AVAILABLE:
            return
        listener = memory_packets.new_socket()
        try:
            listener.bind(memory_packets.socket_name(self._store.address))
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            log.warning("Memory of %s goes to this host as a stream as well: %s", self._store.address, error)
            return
        self._listener = listener
        self._loop.add_reader(listener.fileno(), self._accept)

    def close(self) -> None:
        """Hang up."""
        if self._retry is not None:
            self._retry.cancel()
        if self._listener is not None:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for connection in list(self._connections):
            connection.close()

    @property
    def connections(self) -> int:
        """How many readers are connected."""
        return len(self._connections)

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            accepted, _ = self._listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOMEM}:  # it stays readable: do not ask again and again
                self._loop.remove_reader(self._listener.fileno())
                self._retry = self._loop.call_later(RETRY_S, self._listen_again)
            return
        accepted.setblocking(False)
        if len(self._connections) >= CONNECTIONS or not memory_packets.is_own_user(accepted):
            log.warning("refused a reader of Memory: it is of another user, or there are %d", len(self._connections))
            accepted.close()
            return
        self._connections.add(_Connection(accepted, self._answer, self._ended))

    def _ended(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        for number in connection.left:
            self._store.free(number)

    def _listen_again(self) -> None:
        if self._listener is not None:
            self._loop.add_reader(self._listener.fileno(), self._accept)

    def _answer(self, connection: _Connection, question: Question, descriptors: list[int]) -> _Reply:
        try:
            memory = _parsed(question)
            if descriptors:
                left = self._take_over(memory, descriptors)
                connection.left.append(left.object)
                answer = Answer(question.number, memory=left.SerializeToString())
                return _Reply(answer, None, self._crossing(question, left.size, 0))
            part = self._open(memory)
        except FractosError as error:
            answer = Answer(question.number, failure_of(error, Context()).SerializeToString())
            return _Reply(answer, None, self._crossing(question, 0, 0))
        if part is None:  # the stream takes the time
            return _Reply(Answer(question.number), None, None)
        self._traffic.sent(question.reader, UNIX, part.size)
        return _Reply(Answer(question.number), part, self._crossing(question, 0, part.size))

    def _crossing(self, question: Question, given_bytes: int, returned_bytes: int) -> Crossing | None:
        """What takes as long as the emulated links do for a client's question and its answer; None if they take no time."""
        network = self._network
        if network is None or not network.shapes_clients or not network.is_client(question.reader):
            return None

        async def cross() -> None:
            await network.from_client(given_bytes)
            await network.to_client(returned_bytes)

        return cross

    def _take_over(self, memory: fractos_pb2.Memory, descriptors: list[int]) -> fractos_pb2.Memory:
        """Keep what a client hands over. Returns the Memory that it is now."""
        expires_at = self._may_leave(memory.capability)
        if len(descriptors) > 1 or memory.object:
            raise InvalidArgumentError(
                f"a Memory is handed over with one descriptor, not {len(descriptors)}, and without an object"
            )
        return self._store.adopt(descriptors[0], memory.size, expires_at)

    def _open(self, memory: fractos_pb2.Memory) -> MemoryPart | None:
        """What to pass on; None for a part whose reader may not see the rest, and so gets it as a stream."""
        try:
            part = self._store.open(memory, self._clock())
        except OSError as error:
            why = f"{self._store.address} gets no descriptor to pass on: {error.strerror}"
            raise ResourceExhaustedError(why, retry_after_s=RETRY_S) from error
        if self._store.may_read_all(memory, self._clock()):
            return part
        part.close()
        return None


class _Reply(NamedTuple):
    """What a reader gets."""

    answer: Answer
    part: MemoryPart | None  # it is closed when it has been sent
    crossing: Crossing | None  # what has to end before

    def close(self) -> None:
        """It is not needed any more."""
        if self.part is not None:
            self.part.close()


class _Connection:
    """One reader."""

    def __init__(
        self,
        connection: socket.socket,
        answer: Callable[[_Connection, Question, list[int]], _Reply],
        closed: Callable[[_Connection], None],
    ) -> None:
        self.left: list[bytes] = []  # the objects that were handed over on it
        self._connection = connection
        self._answer = answer
        self._closed = closed
        self._waiting: deque[_Reply] = deque()  # which the reader has no room for
        self._crossing: set[asyncio.Task[None]] = set()  # each with a reply that is still on its way
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection.fileno(), self._read)

    def close(self) -> None:
        """Hang up."""
        self._loop.remove_reader(self._connection.fileno())
        self._loop.remove_writer(self._connection.fileno())
        self._connection.close()
        for crossing in self._crossing:
            crossing.cancel()
        for reply in self._waiting:
            reply.close()
        self._closed(self)

    def _read(self) -> None:
        try:
            with closing(memory_packets.arrived(self._connection)) as packets:
                for packet, descriptors in packets:
                    if not packet:
                        self.close()
                        return
                    reply = self._answer(self, Question.unpacked(packet), descriptors)
                    if reply.crossing is not None:
                        self._send_late(reply, reply.crossing)
                    elif not self._send(reply):
                        return
        except (OSError, ValueError) as error:
            log.info("hung up on a reader of Memory: %s", error)
            self.close()

    def _send_late(self, reply: _Reply, crossing: Crossing) -> None:
        if len(self._crossing) >= CROSSING:
            reply.close()
            raise ValueError(f"{CROSSING} answers are on their way to it")
        task = self._loop.create_task(crossing())
        self._crossing.add(task)

        def arrived(task: asyncio.Task[None]) -> None:
            self._crossing.discard(task)
            if task.cancelled() or task.exception() is not None or self._connection.fileno() < 0:
                reply.close()
                return
            try:
                self._send(reply)
            except OSError:
                self.close()

        task.add_done_callback(arrived)

    def _send(self, reply: _Reply) -> bool:
        """Answer, and return whether that was possible. Else nothing is read until the reader has room."""
        if self._waiting:
            self._waiting.append(reply)
            return False
        try:
            memory_packets.send(
                self._connection, reply.answer.packed(), reply.part.descriptor if reply.part is not None else -1
            )
        except BlockingIOError:
            self._waiting.append(reply)
            self._loop.remove_reader(self._connection.fileno())
            self._loop.add_writer(self._connection.fileno(), self._send_again)
            return False
        except OSError:
            reply.close()
            raise
        reply.close()
        return True

    def _send_again(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        try:
            while waiting and self._send(waiting.popleft()):
                pass
            self._waiting.extend(waiting)
            if not self._waiting:
                self._loop.remove_writer(self._connection.fileno())
                self._loop.add_reader(self._connection.fileno(), self._read)
        except OSError:
            self._waiting.extend(waiting)
            self.close()


def _parsed(question: Question) -> fractos_pb2.Memory:
    try:
        return fractos_pb2.Memory.FromString(question.memory)
    except DecodeError:
        raise InvalidArgumentError("what was asked for is no Memory: it does not parse") from None
