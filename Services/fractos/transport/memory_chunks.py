"""The messages of `MemoryStore.Read`, written and read without protobuf, which would copy every chunk once more.

A ReadMemoryResponse is a length-delimited field 1 (data) or 2 (digest): https://protobuf.dev/programming-guides/encoding/. What
other implementations make of it is parsed as well.
"""

from __future__ import annotations

from protos import fractos_pb2

READ = "/mockdc.fractos.v1.MemoryStore/Read"
READER = "mockdc-memory-reader"  # metadata: the address of the node that reads
CHUNK_BYTES = 256 << 10

_DATA = 0x0A  # field 1, length-delimited


def chunk(data: memoryview) -> bytes:
    """A serialized ReadMemoryResponse with data: one copy."""
    return b"".join((bytes([_DATA]), _varint(len(data)), data))


def last(digest: bytes) -> bytes:
    """The last one, with the digest."""
    return fractos_pb2.ReadMemoryResponse(digest=digest).SerializeToString()


def parsed(message: bytes) -> tuple[memoryview, bytes]:
    """The data and the digest in a serialized ReadMemoryResponse. Raises DecodeError."""
    if message[:1] == bytes([_DATA]):
        length, start = _read_varint(message, 1)
        if start + length == len(message):
            return memoryview(message)[start:], b""
    response = fractos_pb2.ReadMemoryResponse.FromString(message)
    return memoryview(response.data), response.digest


def as_it_is(message: bytes) -> bytes:
    """Stands for a serializer."""
    return message


def _varint(number: int) -> bytes:
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _read_varint(message: bytes, start: int) -> tuple[int, int]:
    """The number and where it ends; whatever, if there is none."""
    number = 0
    for index, byte in enumerate(message[start : start + 10]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, start + index + 1
    return 0, start
