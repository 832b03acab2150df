"""What goes over the Unix socket between processes of one host: a packet for each Memory asked for, and one for each answer.

A client hands over bytes in the same way: it sends a sealed memfd with a Memory that has a size and a capability but no object,
and is answered with the Memory that was made of it. That lasts as long as the connection.

The socket is of type SOCK_SEQPACKET, so packets arrive whole or not at all. Its name is abstract: it goes with its process, and
no file is left. Used by `memory_passing.py`, which answers, and `memory_mapping.py`, which asks.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Generator
from dataclasses import dataclass

TURN_PACKETS = 32  # of one connection, before the event loop has its turn
PACKET_BYTES = 64 << 10  # the longest packet: a Memory with a long chain of links, or a failure
AVAILABLE = hasattr(socket, "SO_PEERCRED") and hasattr(os, "memfd_create")

_QUESTION = struct.Struct("<QB")  # its number; the length of the reader's address
_ANSWER = struct.Struct("<QB")  # the number of the question; whether a failure follows
_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid
_DESCRIPTORS = socket.CMSG_SPACE(struct.calcsize("i")) if AVAILABLE else 0


@dataclass(frozen=True)
class Question:
    """A reader asks for a Memory, or a client hands bytes over."""

    number: int  # chosen by the reader
    reader: str  # its host:port; empty if it is no node
    memory: bytes  # serialized

    def packed(self) -> bytes:
        """As a packet."""
        reader = self.reader.encode()[:255]
        return _QUESTION.pack(self.number, len(reader)) + reader + self.memory

    @classmethod
    def unpacked(cls, packet: bytes) -> Question:
        """From a packet. Raises ValueError if it is none."""
        if len(packet) < _QUESTION.size:
            raise ValueError(f"a question of {len(packet)} bytes")
        number, length = _QUESTION.unpack_from(packet)
        end = _QUESTION.size + length
        return cls(number, packet[_QUESTION.size : end].decode(), packet[end:])


@dataclass(frozen=True)
class Answer:
    """What the owner says. With a descriptor: the object is in it. Without one: ask for a stream, unless there is a failure."""

    number: int
    failure: bytes = b""  # a serialized Failure
    memory: bytes = b""  # of what was handed over: serialized

    def packed(self) -> bytes:
        """As a packet."""
        return _ANSWER.pack(self.number, bool(self.failure)) + (self.failure or self.memory)

    @classmethod
    def unpacked(cls, packet: bytes) -> Answer:
        """From a packet. Raises ValueError if it is none."""
        if len(packet) < _ANSWER.size:
            raise ValueError(f"an answer of {len(packet)} bytes")
        number, failed = _ANSWER.unpack_from(packet)
        said = packet[_ANSWER.size :]
        return cls(number, said, b"") if failed else cls(number, b"", said)


def socket_name(address: str) -> str:
    """The abstract name that the node with this address listens under."""
    return f"\0mockdc-memory-{address}"


def new_socket() -> socket.socket:
    """A socket for packets that never blocks."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.setblocking(False)
    return made


def is_own_user(connection: socket.socket) -> bool:
    """Whether the process at the other end belongs to the user of this one. Names of abstract sockets are anybody's."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(credentials)[1] == os.geteuid())


def send(connection: socket.socket, packet: bytes, descriptor: int) -> None:
    """Send a packet, with a descriptor unless that is -1. Raises BlockingIOError if the other end does not read, OSError."""
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))] if descriptor >= 0 else []
    connection.sendmsg([packet], beside)


def receive(connection: socket.socket) -> tuple[bytes, list[int]]:
    """Receive a packet with the descriptors that came with it, which are the caller's to close. Empty at the end.

    Raises BlockingIOError if there is none, ValueError if it is too long, OSError.
    """
    packet, beside, flags, _ = connection.recvmsg(PACKET_BYTES, _DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
    descriptors = [number for level, kind, data in beside for number in _descriptors(level, kind, data)]
    if flags & socket.MSG_TRUNC:
        close_all(descriptors)
        raise ValueError(f"a packet of more than {PACKET_BYTES} bytes")
    return packet, descriptors


def arrived(connection: socket.socket) -> Generator[tuple[bytes, list[int]], None, None]:
    """The packets that are there, up to a turn of them, with their descriptors: closed when the next one is asked for.

    An empty packet is the end. Raises what `receive` raises, but for BlockingIOError: then there are no more.
    """
    for _ in range(TURN_PACKETS):
        try:
            packet, descriptors = receive(connection)
        except BlockingIOError:
            return
        try:
            yield packet, descriptors
        finally:
            close_all(descriptors)


def close_all(descriptors: list[int]) -> None:
    """Close what came."""
    for descriptor in descriptors:
        os.close(descriptor)


def _descriptors(level: int, kind: int, data: bytes) -> list[int]:
    if (level, kind) != (socket.SOL_SOCKET, socket.SCM_RIGHTS):
        return []
    size = struct.calcsize("i")
    return list(struct.unpack(f"{len(data) // size}i", data[: len(data) // size * size]))
