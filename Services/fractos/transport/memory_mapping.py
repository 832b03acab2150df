"""The reader's end of the Unix socket: one connection to an owner on this host, whose memfds are mapped. For the fetcher."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

from google.protobuf.message import DecodeError

from protos import fractos_pb2
from Services.fractos.errors import (
    FractosError,
    InvalidArgumentError,
    MemoryLostError,
    ResourceExhaustedError,
    UnavailableError,
    error_of,
)
from Services.fractos.memory_block import MemoryView, check_sealed, map_part
from Services.fractos.transport import memory_packets
from Services.fractos.transport.memory_packets import Answer, Question

log = logging.getLogger(__name__)

WAITING = 1000  # questions at the same time


class MemoryMapping:
    """A connection to one owner. Lives on the event loop."""

    def __init__(self, connection: socket.socket, owner: str, reader: str, closed: Callable[[MemoryMapping], None]) -> None:
        """`reader` is this node's address. `closed` is told when the connection has ended."""
        self.owner = owner
        self._connection = connection
        self._reader = reader
        self._closed = closed
        self._number = 0
        self._waiting: dict[int, tuple[fractos_pb2.Memory, asyncio.Future[MemoryView | None]]] = {}
        self._handing_over: dict[int, asyncio.Future[fractos_pb2.Memory]] = {}
        self._keeps = False  # something alive at the owner
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(connection.fileno(), self._read)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer."""
        return not self._waiting and not self._handing_over and not self._keeps

    async def fetch(self, memory: fractos_pb2.Memory) -> MemoryView | None:
        """Map a part. None: the owner has it, but cannot pass it on like this.

        Raises MemoryLostError if the connection ends, DataLossError if what comes is not sealed, and what the owner raises.
        """
        if len(self._waiting) >= WAITING:
            raise ResourceExhaustedError(f"{WAITING} fetches from {self.owner} wait, which is the limit", retry_after_s=0.1)
        self._number += 1
        number = self._number
        answer: asyncio.Future[MemoryView | None] = self._loop.create_future()
        self._waiting[number] = memory, answer
        try:
            self._ask(number, memory)
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def hand_over(self, descriptor: int, size: int, capability: fractos_pb2.Capability) -> fractos_pb2.Memory:
        """Leave a sealed memfd at the owner, for as long as this connection lasts. The descriptor stays the caller's.

        Raises MemoryLostError if the connection ends, and what the owner raises.
        """
        self._number += 1
        number = self._number
        answer: asyncio.Future[fractos_pb2.Memory] = self._loop.create_future()
        self._handing_over[number] = answer
        try:
            self._ask(number, fractos_pb2.Memory(size=size, capability=capability), descriptor)
            memory = await answer
        finally:
            del self._handing_over[number]
        self._keeps = True
        return memory

    def close(self) -> None:
        """Hang up. Whoever waits gets a MemoryLostError. May be repeated."""
        if self._connection.fileno() < 0:
            return
        self._loop.remove_reader(self._connection.fileno())
        self._connection.close()
        awaited: list[asyncio.Future[Any]] = [answer for _, answer in self._waiting.values()]
        for answer in (*awaited, *self._handing_over.values()):
            if not answer.done():
                answer.set_exception(lost(self.owner, "its connection ended"))
        self._closed(self)

    def _ask(self, number: int, memory: fractos_pb2.Memory, descriptor: int = -1) -> None:
        packet = Question(number, self._reader, memory.SerializeToString()).packed()
        if len(packet) > memory_packets.PACKET_BYTES:
            raise InvalidArgumentError(
                f"a Memory reference of {len(packet)} bytes, and at most {memory_packets.PACKET_BYTES} are passed on: its"
                " capability has too many links, so derive it anew from an earlier one"
            )
        try:
            memory_packets.send(self._connection, packet, descriptor)
        except BlockingIOError:
            raise ResourceExhaustedError(f"{self.owner} does not keep up with the fetches from it", retry_after_s=0.1) from None
        except OSError as error:
            self.close()
            raise lost(self.owner, str(error)) from error

    def _read(self) -> None:
        try:
            with closing(memory_packets.arrived(self._connection)) as packets:
                for packet, descriptors in packets:
                    if not packet:
                        self.close()
                        return
                    self._answered(Answer.unpacked(packet), descriptors)
        except (OSError, ValueError, DecodeError) as error:
            log.warning("hung up on %s, which should pass Memory: %s", self.owner, error)
            self.close()

    def _answered(self, answer: Answer, descriptors: list[int]) -> None:
        if len(descriptors) > 1 or (descriptors and answer.failure):
            raise ValueError(f"{len(descriptors)} descriptors in an answer")
        handing_over = self._handing_over.get(answer.number)
        if handing_over is not None:
            self._handed_over(handing_over, answer)
            return
        memory, waiting = self._waiting.get(answer.number, (None, None))
        if memory is None or waiting is None or waiting.done():  # it was given up
            return
        try:
            if answer.failure:
                raise _refusal(self.owner, fractos_pb2.Failure.FromString(answer.failure))
            waiting.set_result(_mapped(memory, descriptors[0]) if descriptors else None)
        except FractosError as error:
            waiting.set_exception(error)

    def _handed_over(self, handing_over: asyncio.Future[fractos_pb2.Memory], answer: Answer) -> None:
        if handing_over.done():  # it was given up
            return
        if answer.failure:
            handing_over.set_exception(_refusal(self.owner, fractos_pb2.Failure.FromString(answer.failure)))
        else:
            handing_over.set_result(fractos_pb2.Memory.FromString(answer.memory))


def connect(owner: str, reader: str, closed: Callable[[MemoryMapping], None]) -> MemoryMapping | None:
    """A connection to an owner on this host; None if there is none, or none that can be trusted."""
    if not memory_packets.AVAILABLE:
        return None
    connection = memory_packets.new_socket()
    try:
        connection.connect(memory_packets.socket_name(owner))
        if memory_packets.is_own_user(connection):
            return MemoryMapping(connection, owner, reader, closed)
        log.warning("another user's process listens in the place of %s: its Memory comes as a stream", owner)
    except OSError:  # it is on another host, is gone or has its hands full
        pass
    connection.close()
    return None


def lost(owner: str, why: str) -> MemoryLostError:
    """The error for Memory whose owner is gone."""
    return MemoryLostError(f"the Memory at {owner} cannot be had: {why}; run the graph again", definite=False)


def _mapped(memory: fractos_pb2.Memory, descriptor: int) -> MemoryView:
    try:
        check_sealed(descriptor, memory.offset + memory.size)
        return map_part(descriptor, memory.offset, memory.size)
    except OSError as error:
        raise ResourceExhaustedError(f"cannot map a Memory of {memory.size} bytes: {error}", retry_after_s=0.1) from error


def _refusal(owner: str, failure: fractos_pb2.Failure) -> FractosError:
    error = error_of(failure, b"")
    return lost(owner, error.message) if isinstance(error, UnavailableError) else error
