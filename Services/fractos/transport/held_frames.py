"""The frames of one stream that were received and have not arrived yet, since the emulated link takes its time."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from Services.fractos.transport.link import Link
from Services.fractos.transport.precise_timer import PreciseTimer

log = logging.getLogger(__name__)

HELD_BYTES = 64 << 20  # with more than that the stream is not read on, as if the window of TCP were full
FRAME_BYTES = 100  # what a frame counts for besides its own bytes


class HeldFrames:
    """Lives on the event loop. Made by `NodeNetwork.opened`."""

    def __init__(
        self,
        source: str,
        timer: PreciseTimer,
        arrived: Callable[[list[bytes]], None],
        told: Callable[[int, int], None],
        closed: Callable[[HeldFrames], None],
    ) -> None:
        """`arrived` and `told` as in `NodeNetwork.opened`. `closed` is told when no frame arrives any more."""
        self.source = source
        self.link: Link | None = None  # None: frames arrive at once, and need not be given to this
        self._back: Link | None = None
        self._timer = timer
        self._arrived = arrived
        self._told = told
        self._closed = closed
        self._held: deque[tuple[float, bytes]] = deque()  # when each arrives
        self._held_bytes = 0
        self._answers: deque[tuple[float, int, int]] = deque()  # when the sender may know of how many, of how many bytes
        self._due = math.inf  # when this is looked at again
        self._room: asyncio.Future[None] | None = None

    def changed(self, link: Link | None, back: Link | None) -> None:
        """The link from the sender and the one back are these, or have changed."""
        self.link, self._back = link, back
        if link is not None and not link.is_cut:
            now = time.monotonic()
            self._held = deque((link.transmit(len(frame), now) if at == math.inf else at, frame) for at, frame in self._held)
            self._look()

    def hold(self, frames: Sequence[bytes]) -> None:
        """Have frames arrive in their time."""
        assert self.link is not None  # else they need not be held
        now = time.monotonic()
        for frame in frames:
            self._held.append((self.link.transmit(len(frame), now), frame))
            self._held_bytes += len(frame) + FRAME_BYTES
        self._look()

    @property
    def holds(self) -> int:
        """How many frames have not arrived yet."""
        return len(self._held)

    async def room(self) -> None:
        """Wait until less is held than is admitted."""
        await self._until_held(HELD_BYTES)

    async def all(self) -> None:
        """Wait until all frames have arrived and the sender knows it."""
        await self._until_held(0)

    def close(self) -> None:
        """Drop what has not arrived: the stream has ended, so the sender knows that it may not have."""
        self._held.clear()
        self._answers.clear()
        self._closed(self)

    async def _until_held(self, most_bytes: int) -> None:
        while self._held_bytes > most_bytes or (self._answers and not most_bytes):
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def _look(self) -> None:
        """Let arrive what is due, and look again when something is."""
        if self.link is None or self.link.is_cut:
            return  # `changed` looks again
        now = time.monotonic()
        self._let_arrive(now)
        while self._answers and self._answers[0][0] <= now:
            _, count, size_bytes = self._answers.popleft()
            self._try("be acknowledged", self._told, count, size_bytes)
        due = min(waiting[0][0] if waiting else math.inf for waiting in (self._held, self._answers))
        if due < self._due:
            self._due = due
            self._timer.at(due, self._ring)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _ring(self) -> None:
        if time.monotonic() >= self._due:  # else another ring came first
            self._due = math.inf
            self._look()

    def _let_arrive(self, now: float) -> None:
        frames = []
        while self._held and self._held[0][0] <= now:
            frames.append(self._held.popleft()[1])
        if not frames:
            return
        size_bytes = sum(map(len, frames))
        self._held_bytes -= size_bytes + FRAME_BYTES * len(frames)
        assert self._back is not None  # there are both links or none
        self._answers.append((now + self._back.latency_s(), len(frames), size_bytes))
        self._try("be delivered", self._arrived, frames)

    def _try(self, what: str, action: Callable[..., None], *arguments: object) -> None:
        """One defect must not stop the link: what comes later has to arrive."""
        try:
            action(*arguments)
        except Exception:
            log.exception("frames from %s could not %s", self.source, what)
