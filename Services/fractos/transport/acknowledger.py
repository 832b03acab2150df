"""Tells the sender of a stream now and then how many of its frames were accepted. Used by `grpc_channel.py`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import grpc

from protos import fractos_pb2
from Services.fractos.transport.local_stream import LocalStream
from Services.fractos.transport.streams import BROKEN, Work

ACKNOWLEDGE_DELAY_S = 0.2  # an acknowledgement a frame would double the work of the event loops
ACKNOWLEDGE_BYTES = 1 << 20  # large values are acknowledged at once, since their sender keeps them until then

ServerContext: TypeAlias = "grpc.aio.ServicerContext[fractos_pb2.Frames, fractos_pb2.Acknowledgement] | LocalStream"


class Acknowledger:
    """Counts the frames of one stream."""

    def __init__(self, context: ServerContext, epoch: Callable[[], int]) -> None:
        self._context = context
        self._epoch = epoch
        self._loop = asyncio.get_running_loop()
        self._accepted = 0
        self._told = 0
        self._timer: asyncio.TimerHandle | None = None
        self._writer: Work | None = None

    def accepted(self, count: int, size_bytes: int) -> None:
        """Count frames. They are acknowledged after the delay, large ones at once."""
        self._accepted += count
        if size_bytes >= ACKNOWLEDGE_BYTES:
            self._begin()
        elif self._timer is None:
            self._timer = self._loop.call_later(ACKNOWLEDGE_DELAY_S, self._begin)

    async def finish(self) -> None:
        """Acknowledge what is left, at once."""
        self._begin()
        if self._writer is not None:
            await self._writer.wait()

    def cancel(self) -> None:
        """Acknowledge nothing more."""
        for pending in (self._timer, self._writer):
            if pending is not None:
                pending.cancel()

    async def write(self) -> None:
        """Acknowledge all that was accepted so far."""
        with suppress(*BROKEN):  # whoever reads the stream learns why
            while self._told < self._accepted:  # again for frames that came during the write
                self._told = self._accepted
                await self._context.write(fractos_pb2.Acknowledgement(accepted=self._told, epoch=self._epoch()))

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writer is None or self._writer.done:
            self._writer = Work(self.write())
