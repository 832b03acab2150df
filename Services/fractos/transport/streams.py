"""Both ends of a gRPC stream: messages that wait to be written, and the messages that arrive."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from google.protobuf.message import Message

Item = TypeVar("Item", bound=Message)

BATCH_MESSAGES = 128
BATCH_BYTES = 1 << 20  # a batch ends with the message that passes this


async def incoming(read: Callable[[], Awaitable[object]], kind: type[Item]) -> AsyncIterator[Item]:
    """Yield the messages that `read` brings, until the other side closes its half of the stream."""
    while isinstance(message := await read(), kind):
        yield message


class Outbox(Generic[Item]):
    """A queue with one reader, on one event loop. What queues up while something is being written travels together."""

    def __init__(self) -> None:
        self._waiting: deque[Item] = deque()
        self._idle: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Item) -> None:
        """Add a message and wake the reader."""
        self._waiting.append(message)
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def take(self) -> list[Item]:
        """Wait for a message; remove it and those that can travel with it."""
        if not self._waiting:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle
        if len(self._waiting) == 1:
            return [self._waiting.popleft()]
        batch: list[Item] = []
        size = 0
        while self._waiting and len(batch) < BATCH_MESSAGES and size < BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += batch[-1].ByteSize()
        return batch

    def clear(self) -> list[Item]:
        """Remove and return all messages."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting
