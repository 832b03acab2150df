"""Blocks whose pages are used again, where the system can tell that nobody sees them any more. For `memory_pool.py`.

A memfd that stays mapped: for 8 MiB the pages of a new one take 3 ms of a core, and writing into one that is there 0.4 ms.

That what was published never changes for anybody who sees it rests on two things that the kernel keeps. From the beginning the
file has the seal F_SEAL_FUTURE_WRITE: only the mapping that was made before can write, neither a reader nor anybody else who
gets hold of the file. And whoever reads, in this process too, gets the file opened once more, for reading: the kernel counts
these openings, each until its last descriptor and its last mapping are gone, in whichever process, also one that is paused,
was forked or is killed. A write lease is granted only when there are none: see "Leases" in fcntl(2). Asking for one and giving
it back therefore tells whether anybody can see the block.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
from contextlib import suppress

from Services.fractos.errors import FailedPreconditionError
from Services.fractos.memory_block import HAS_MEMFD, HELD, OWN_SEALS, SEALED, Block, Buffer, MemoryPart, MemoryView

if sys.platform == "linux":
    import fcntl

SET_SIGNAL = 10  # F_SETSIG, which Python does not name
POPULATE_WRITE = 23  # MADV_POPULATE_WRITE, from Linux 5.14 on
STRETCH_BYTES = 1 << 20  # is written before other threads have their turn


class ReusableFile(Block):
    """A block in a memfd that can be written again when it was let go by everybody."""

    def __init__(self, size: int) -> None:
        """Raises OSError if the system gives none, or does not know what this takes."""
        self.size = size
        self._sealed = False
        self._new = True
        made = os.memfd_create("mockdc-memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(made, max(size, 1))
            # The first opening of a memfd is not counted among those for writing, and then no lease would ever be granted.
            self._descriptor = _opened(made, os.O_RDWR)
        finally:
            os.close(made)
        try:
            # Whoever opens the file while a lease is out makes the kernel send a signal, by default one that ends the process.
            fcntl.fcntl(self._descriptor, SET_SIGNAL, signal.SIGURG)
            self._mapping = _mapped(self._descriptor, max(size, 1))
            self._mapping.madvise(mmap.MADV_DONTFORK)
            fcntl.fcntl(self._descriptor, fcntl.F_ADD_SEALS, OWN_SEALS)
        except BaseException:
            os.close(self._descriptor)
            raise

    def prepare(self) -> None:
        """Have the pages of a new file allocated and mapped at once: half the price of a fault for each."""
        if not self._new:
            return
        self._new = False
        os.posix_fallocate(self._descriptor, 0, max(self.size, 1))
        with suppress(OSError):  # an older system: they are mapped when they are touched
            for start in range(0, self.size, STRETCH_BYTES):
                self._mapping.madvise(POPULATE_WRITE, start, min(STRETCH_BYTES, self.size - start))

    def write(self, offset: int, data: Buffer) -> None:
        """Copy bytes, a stretch at a time, since other threads wait meanwhile."""
        if self._sealed:
            raise FailedPreconditionError(SEALED)
        rest = memoryview(data).cast("B")
        while rest:
            stretch, rest = rest[:STRETCH_BYTES], rest[STRETCH_BYTES:]
            self._mapping[offset : offset + len(stretch)] = stretch
            offset += len(stretch)

    def map(self) -> mmap.mmap:
        """It is the mapping itself."""
        return self._mapping

    def unmap(self, mapping: mmap.mmap) -> None:
        """See that nothing refers to it: it stays where it is."""
        if self._is_held():
            raise BufferError(HELD)

    def seal(self) -> None:
        """Only a flag for this process: others cannot write anyway."""
        if self._is_held():
            raise FailedPreconditionError(HELD)
        self._sealed = True

    def view(self) -> MemoryView:
        """The mapping, which must not be let go meanwhile."""
        return MemoryView(memoryview(self._mapping).toreadonly()[: self.size])

    def part(self, offset: int, size: int) -> MemoryPart:
        """Open the file once more, for reading: that is what is counted."""
        return MemoryPart(offset, size, descriptor=_opened(self._descriptor, os.O_RDONLY))

    def renew(self) -> bool:
        """Writable again, with the bytes that were there, if nobody can see the block any more."""
        if self._is_held():
            return False
        try:
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(self._descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:  # EAGAIN: somebody can
            return False
        self._sealed = False
        return True

    def close(self) -> None:
        """Close the descriptor and the mapping. Arrays that a device made of it keep its bytes, for themselves."""
        os.close(self._descriptor)
        with suppress(BufferError):
            self._mapping.close()

    def _is_held(self) -> bool:
        """Whether a buffer or an array in this process refers to the mapping, directly or not."""
        try:
            self._mapping.resize(-1)  # impossible; but before it says so, it says whether there are any
        except BufferError:
            return True
        except ValueError:
            return False
        raise SystemError("a mapping has let itself be resized to -1 bytes")


def can_reuse() -> bool:
    """Whether this system knows all that a ReusableFile takes: Linux from 5.1 on, with /proc, not every sandbox."""
    if not HAS_MEMFD:
        return False
    try:
        block = ReusableFile(1)
    except OSError:
        return False
    try:
        with block.part(0, 1):
            is_seen = not block.renew()
        with block.view():
            is_held = not block.renew()
        return is_seen and is_held and block.renew()
    except (OSError, SystemError):  # SystemError: no mapping can be resized
        return False
    finally:
        block.close()


def _opened(descriptor: int, flags: int) -> int:
    return os.open(f"/proc/self/fd/{descriptor}", flags | os.O_CLOEXEC)


def _mapped(descriptor: int, size: int) -> mmap.mmap:
    if sys.version_info >= (3, 13):
        return mmap.mmap(descriptor, size, trackfd=False)  # without a descriptor of its own
    return mmap.mmap(descriptor, size)
