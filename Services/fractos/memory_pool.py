"""Blocks that were freed, kept for a minute so that objects of the same size need no new pages.

Used by `memory.py`, under its lock. Only what this node's own device calls left is kept, and only they get it: they may find
in a block what calls at this node left there before, as they may in memory that their process allocates. Clients get new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from Services.fractos.memory_block import Block
from Services.fractos.memory_reuse import ReusableFile

KEPT_S = 60.0
KEPT_BLOCKS = 64
KEPT_BYTES = 256 << 20


class _Kept(NamedTuple):
    block: Block
    since: float


class BlockPool:
    """Freed blocks, some of which somebody may still see: those are not given out."""

    def __init__(self, clock: Callable[[], float], make_block: Callable[[int], Block] = ReusableFile) -> None:
        """`clock` gives seconds, since whenever."""
        self._clock = clock
        self._make_block = make_block
        self._kept: list[_Kept] = []  # in the order they were freed
        self.used_bytes = 0

    def take(self, size: int) -> Block:
        """A block of just this size, with whatever is in it, or a new one. Raises OSError if the system gives none."""
        for index in range(len(self._kept) - 1, -1, -1):
            if self._kept[index].block.size == size and self._kept[index].block.renew():
                return self._removed(index)
        return self._make_block(size)

    def put(self, block: Block) -> list[Block]:
        """Keep a block. Returns those that there is no room for, to be closed."""
        self._kept.append(_Kept(block, self._clock()))
        self.used_bytes += block.size
        return self.shrink(KEPT_BYTES, KEPT_BLOCKS)

    def shrink(self, most_bytes: int, most_blocks: int = KEPT_BLOCKS) -> list[Block]:
        """Keep no more than so much. Returns the others, the oldest, to be closed."""
        dropped = []
        while self._kept and (self.used_bytes > most_bytes or len(self._kept) > most_blocks):
            dropped.append(self._removed(0))
        return dropped

    def trim(self) -> list[Block]:
        """Returns the blocks that were kept for KEPT_S seconds, to be closed."""
        now = self._clock()
        dropped = []
        while self._kept and not self._kept[0].since <= now < self._kept[0].since + KEPT_S:
            dropped.append(self._removed(0))
        return dropped

    def _removed(self, index: int) -> Block:
        block = self._kept.pop(index).block
        self.used_bytes -= block.size
        return block
