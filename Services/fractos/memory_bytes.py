"""What is to become Memory as plain bytes, and what tells it from other bytes. Used by `memory.py`."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence

import xxhash

from Services.fractos.errors import OutOfRangeError
from Services.fractos.memory_block import Buffer


def buffers(data: Buffer | Sequence[Buffer]) -> Sequence[Buffer]:
    """One buffer, or several that belong together, as a sequence of them."""
    return [data] if isinstance(data, bytes | bytearray | memoryview | mmap.mmap) else data


def flat(data: Buffer) -> memoryview:
    """The bytes of a buffer, whatever its elements and shape."""
    view = memoryview(data)
    if not view.c_contiguous:
        return memoryview(view.tobytes())
    return view.cast("B") if view.nbytes else memoryview(b"")


def digest_of(parts: Iterable[memoryview]) -> bytes:
    """The XXH3-128 of bytes, which tells equal values from others."""
    digest = xxhash.xxh3_128()
    for part in parts:
        digest.update(part)
    return digest.digest()


def check_range(offset: int, size: int, whole: int) -> None:
    """Raise OutOfRangeError unless a part lies within an object of `whole` bytes."""
    if offset + size > whole:  # Python's integers do not overflow
        raise OutOfRangeError(f"bytes {offset} to {offset + size} of a Memory of {whole} bytes")
