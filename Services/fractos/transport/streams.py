"""The sending end of a gRPC stream: messages that wait to be written."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeAlias, TypeVar

import grpc

Item = TypeVar("Item")
Write: TypeAlias = Callable[[list[Item]], Awaitable[object]]

BATCH_MESSAGES = 128
BATCH_BYTES = 1 << 20  # a batch ends with the message that passes this
BROKEN = (grpc.RpcError, grpc.aio.BaseError, asyncio.InvalidStateError, asyncio.CancelledError)  # what writing then raises


class Work:
    """A coroutine that runs up to its first wait at once, and on from each wait as soon as that is over.

    What a task does, but for the turn of the event loop that each task begins with, and the one that it ends with: a tenth of
    a hop. (`eager_task_factory` saves the first of them, from Python 3.12 on.) The coroutine may wait for futures only, as
    gRPC's do; what it raises goes to whoever made it go on.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._over: asyncio.Future[None] | None = None  # made when somebody waits
        self.done = False
        self._go_on()

    def cancel(self) -> None:
        """End it where it waits."""
        if not self.done:
            self._coroutine.close()
            self._end()

    async def wait(self) -> None:
        """Wait until it has ended, on its own or cancelled."""
        if not self.done:
            if self._over is None:
                self._over = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._over)

    def _go_on(self, waited_for: object = None) -> None:
        if self.done:
            return  # it was cancelled while it waited
        try:
            waits_for = self._coroutine.send(None)
        except StopIteration:
            self._end()
        except BaseException:
            self._end()
            raise
        else:
            waits_for._asyncio_future_blocking = False  # as a task does, to say that it saw to the wait
            waits_for.add_done_callback(self._go_on)

    def _end(self) -> None:
        self.done = True
        if self._over is not None and not self._over.done():
            self._over.set_result(None)


class Outbox(Generic[Item]):
    """The messages that wait for a stream, on one event loop. What queues up while something is being written travels together.

    Nothing is written before `open`. The first write begins in `flush` itself, without waiting for the loop's next turn.
    """

    def __init__(self, size_of: Callable[[Item], int]) -> None:
        """`size_of` tells the bytes of a message."""
        self._size_of = size_of
        self._waiting: deque[Item] = deque()
        self._write: Write[Item] | None = None
        self._writer: Work | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def open(self, write: Write[Item]) -> None:
        """Use a stream from now on, until a `write` fails."""
        self._write = write
        self.flush()

    def put(self, message: Item) -> None:
        """Add a message; it leaves at the next `flush`."""
        self._waiting.append(message)

    def flush(self) -> None:
        """Write what waits, or have it follow the write that is under way. Never waits."""
        if self._waiting and self._write is not None and (self._writer is None or self._writer.done):
            self._writer = Work(self._write_all(self._write))

    def beat(self) -> None:
        """Write a batch of nothing, to be heard of, unless something is being written anyway."""
        if self._write is not None and (self._writer is None or self._writer.done):
            self._writer = Work(self._write_all(self._write, []))

    async def close(self) -> None:
        """Write nothing more once the write under way has ended."""
        self._write = None
        if self._writer is not None:
            await self._writer.wait()

    def cancel(self) -> None:
        """Write nothing more, at once."""
        self._write = None
        if self._writer is not None:
            self._writer.cancel()

    def clear(self) -> list[Item]:
        """Remove and return all messages."""
        waiting = list(self._waiting)
        self._waiting.clear()
        return waiting

    async def _write_all(self, write: Write[Item], first: list[Item] | None = None) -> None:
        try:
            if first is not None:
                await write(first)
            while self._waiting and self._write is not None:
                await write(self._take())
        except BROKEN:
            self._write = None  # the stream broke; whoever reads it learns why

    def _take(self) -> list[Item]:
        """Remove the first message and those that can travel with it."""
        if len(self._waiting) == 1:
            return [self._waiting.popleft()]
        batch: list[Item] = []
        size = 0
        while self._waiting and len(batch) < BATCH_MESSAGES and size < BATCH_BYTES:
            batch.append(self._waiting.popleft())
            size += self._size_of(batch[-1])
        return batch
