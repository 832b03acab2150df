"""The bytes of one Memory object: a sealed memfd, or an anonymous mapping where the system has no memfd. Owned by `memory.py`.

A memfd can be passed to another process of this host, which maps it: a mapping only travels as a stream. Either way the bytes
are gone when the last process that holds them is.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from abc import ABC, abstractmethod
from typing import TypeAlias

from Services.fractos.errors import DataLossError, FailedPreconditionError, InvalidArgumentError

if sys.platform == "linux":
    import fcntl

    LASTING_SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    SEALS = LASTING_SEALS | fcntl.F_SEAL_WRITE
    FUTURE_WRITE = 0x10  # F_SEAL_FUTURE_WRITE, which Python names from 3.14 on
    OWN_SEALS = LASTING_SEALS | FUTURE_WRITE  # only the mapping that its owner made before can write

Buffer: TypeAlias = "bytes | bytearray | memoryview | mmap.mmap"

HAS_MEMFD = hasattr(os, "memfd_create")


class MemoryView:
    """Bytes that can be read. A context manager: they are let go at its end, or when nobody refers to them any more."""

    def __init__(self, buffer: memoryview, mapping: mmap.mmap | None = None) -> None:
        """`mapping` is what `buffer` is a part of, if it is one that this view alone refers to."""
        self._buffer = buffer
        self._mapping = mapping

    @property
    def buffer(self) -> memoryview:
        """The bytes, read-only. Arrays made of it keep the bytes alive."""
        return self._buffer

    def close(self) -> None:
        """Let the bytes go. Where arrays still refer to them, that is left to these."""
        try:
            self._buffer.release()
            if self._mapping is not None:
                self._mapping.close()
        except BufferError:
            self._mapping = None

    def __enter__(self) -> MemoryView:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Block(ABC):
    """The bytes of an object: written, sealed, then read. Not thread-safe: `memory.py` sees to that."""

    size: int

    @abstractmethod
    def write(self, offset: int, data: Buffer) -> None:
        """Write bytes, which must lie within the block. Raises FailedPreconditionError if it is sealed."""

    @abstractmethod
    def map(self) -> mmap.mmap:
        """A mapping to write into, at least a byte long. It must be closed before the block is sealed."""

    @abstractmethod
    def unmap(self, mapping: mmap.mmap) -> None:
        """Give a mapping back. Raises BufferError if something refers to it."""

    @abstractmethod
    def seal(self) -> None:
        """From now on nobody can write. Raises FailedPreconditionError if a writable mapping is left."""

    @abstractmethod
    def part(self, offset: int, size: int) -> MemoryPart:
        """Bytes to read, which must lie within the block. They outlive it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the bytes."""

    def prepare(self) -> None:
        """Have the system provide the bytes now rather than as they are written. Raises OSError if it has none left."""
        return

    def view(self) -> MemoryView:
        """All bytes, for the owner itself and only as long as it keeps the block. It must be closed before it is sealed."""
        return self.part(0, self.size).view()

    def renew(self) -> bool:
        """Make the block writable again and return True, if it is certain that nobody sees its bytes any more."""
        return False


class MemoryPart:
    """A part of an object, to be passed on or mapped. Holds a descriptor of its own, until it is closed."""

    def __init__(self, offset: int, size: int, descriptor: int = -1, buffer: memoryview | None = None) -> None:
        """Either of `descriptor`, of the whole object and owned by the part, and `buffer`, of the part alone, is given."""
        self.offset = offset
        self.size = size
        self.descriptor = descriptor  # -1: there is none
        self._buffer = buffer

    def view(self) -> MemoryView:
        """Map the bytes and close the part."""
        with self:
            return map_part(self.descriptor, self.offset, self.size) if self._buffer is None else MemoryView(self._buffer)

    def close(self) -> None:
        """Close the descriptor. May be repeated."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> MemoryPart:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def map_part(descriptor: int, offset: int, size: int) -> MemoryView:
    """Map a part of a memfd read-only. The descriptor is still the caller's, and no longer needed."""
    if not size:
        return MemoryView(memoryview(b""))
    skipped = offset % mmap.ALLOCATIONGRANULARITY
    # Private, since kernels before 6.7 refuse a shared mapping of what is sealed. Without a write the pages are the same.
    mapping = mmap.mmap(descriptor, skipped + size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ, offset=offset - skipped)
    return MemoryView(memoryview(mapping)[skipped:], mapping)


def check_sealed(descriptor: int, end: int) -> None:
    """See that a descriptor from another process is a memfd that nobody can change, of at least `end` bytes.

    Nobody, or its owner alone, if it is one that is used again when no reader is left: see `memory_reuse.py`. Raises
    DataLossError: else others could change the bytes, or cut them off, while they are read.
    """
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:  # no memfd at all
        seals = 0
    if seals & SEALS != SEALS and seals & OWN_SEALS != OWN_SEALS:
        raise DataLossError("what the owner of a Memory passed is not sealed: it could change while it is read")
    size = os.fstat(descriptor).st_size
    if size < end:
        raise DataLossError(f"what the owner of a Memory passed has {size} bytes, but the part ends at {end}")


def check_handed_over(descriptor: int, size: int) -> None:
    """See that a descriptor from a client is a memfd of `size` bytes that nobody, the client included, can change.

    Raises InvalidArgumentError.
    """
    try:
        sealed = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS == SEALS
    except OSError:  # no memfd at all
        sealed = False
    if not sealed or os.fstat(descriptor).st_size != max(size, 1):
        raise InvalidArgumentError(f"what was handed over is no sealed memfd of {size} bytes")


def new_block(size: int) -> Block:
    """A block of zeroes. Raises OSError if the system gives none."""
    return SealedFile(size) if HAS_MEMFD else Mapping(size)


class SealedFile(Block):
    """A block in a memfd."""

    def __init__(self, size: int, descriptor: int = -1) -> None:
        """`descriptor` is that of a memfd that is sealed already; it is this block's from now on."""
        self.size = size
        self._descriptor = descriptor
        if descriptor >= 0:
            return
        self._descriptor = os.memfd_create("mockdc-memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(self._descriptor, max(size, 1))
        except OSError:
            self.close()
            raise

    def write(self, offset: int, data: Buffer) -> None:
        """Write bytes. For 8 MiB it takes half the time of a write through a mapping, whose every page is a fault."""
        rest = memoryview(data).cast("B")
        try:
            while rest:
                written = os.pwrite(self._descriptor, rest, offset)
                rest, offset = rest[written:], offset + written
        except PermissionError:
            raise FailedPreconditionError(SEALED) from None

    def map(self) -> mmap.mmap:
        """Map all of it."""
        return mmap.mmap(self._descriptor, max(self.size, 1))

    def unmap(self, mapping: mmap.mmap) -> None:
        """Close the mapping."""
        mapping.close()

    def descriptor(self) -> int:
        """Still the block's own."""
        return self._descriptor

    def seal(self) -> None:
        """Seal the file, also against later seals."""
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, SEALS)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            raise FailedPreconditionError(HELD) from None

    def part(self, offset: int, size: int) -> MemoryPart:
        """Duplicate the descriptor."""
        return MemoryPart(offset, size, descriptor=os.dup(self._descriptor))

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class Mapping(Block):
    """A block in an anonymous mapping of this process."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._mapping = mmap.mmap(-1, max(size, 1))
        self._sealed = False

    def write(self, offset: int, data: Buffer) -> None:
        """Copy bytes into the mapping."""
        if self._sealed:
            raise FailedPreconditionError(SEALED)
        given = memoryview(data).cast("B")
        self._mapping[offset : offset + len(given)] = given

    def map(self) -> mmap.mmap:
        """A mapping of its own: that something refers to it only shows when it is closed."""
        return mmap.mmap(-1, max(self.size, 1))

    def unmap(self, mapping: mmap.mmap) -> None:
        """Copy the bytes here, and close the mapping."""
        with memoryview(mapping) as written:
            self._mapping[:] = written
        mapping.close()

    def seal(self) -> None:
        """Only a flag: all that is given out from now on is read-only."""
        self._sealed = True

    def part(self, offset: int, size: int) -> MemoryPart:
        """Refer to the bytes, which lasts longer than the block."""
        return MemoryPart(offset, size, buffer=memoryview(self._mapping).toreadonly()[offset : offset + size])

    def close(self) -> None:
        """Nothing: the mapping goes when nobody refers to it."""


SEALED = "the Memory is published: nobody can write into it any more; create another one"
HELD = "the Memory cannot be published while something refers to its writable bytes: drop the arrays made of them first"
