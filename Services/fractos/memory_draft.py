"""A Memory object while a device fills it in. Made by `memory.py`."""

from __future__ import annotations

import mmap
from collections.abc import Callable

from protos import fractos_pb2
from Services.fractos.errors import FailedPreconditionError
from Services.fractos.memory_block import HELD, Block


class Draft:
    """An object that a device fills in place, without a copy. `publish` or `discard` ends it."""

    def __init__(self, block: Block, publish: Callable[[], fractos_pb2.Memory], free: Callable[[], None]) -> None:
        """`publish` seals the block, `free` forgets it."""
        self._block = block
        self._mapping: mmap.mmap | None = block.map()
        self._publish = publish
        self._free = free
        self.buffer = memoryview(self._mapping)[: block.size]  # to write into

    def publish(self) -> fractos_pb2.Memory:
        """Seal what was written. Returns a Memory with the right to read.

        Raises FailedPreconditionError while arrays refer to `buffer`: drop them, then try again. NotFoundError or
        ResourceExhaustedError if the object has gone meanwhile.
        """
        try:
            self._unmap()
        except BufferError:
            raise FailedPreconditionError(HELD) from None
        return self._publish()

    def discard(self) -> None:
        """Free the object. Arrays that refer to `buffer` keep its bytes, for themselves. May be repeated."""
        self._free()
        try:
            self._unmap()
        except BufferError:  # the block is never told that it has its mapping back, so it is not used again
            self.buffer, self._mapping = memoryview(b""), None

    def _unmap(self) -> None:
        if self._mapping is not None:
            self.buffer.release()
            self._block.unmap(self._mapping)
            self._mapping = None
