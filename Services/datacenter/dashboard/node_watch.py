"""One node as long as it is listed: asked every second what it does, and listened to all the time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from protos import fractos_pb2
from Services.datacenter.dashboard.picture import OLDEST_S, Said
from Services.fractos.directory.interface import Member
from Services.fractos.errors import FractosError
from Services.fractos.oversight import Oversight

ASK_EVERY_S = 1.0
AGAIN_S = 0.5  # after a node did not answer

Saw = Callable[[str, Iterable[fractos_pb2.NodeEvent]], None]


class NodeWatch:
    """Watches one process of a node. Lives on an event loop."""

    def __init__(self, oversight: Oversight, member: Member, saw: Saw, known: Callable[[], None]) -> None:
        """Begin. `saw` is told what happens there; `known` is called once it has answered, or has not, for the first time."""
        self.member = member
        self._oversight = oversight
        self._saw = saw
        self._known = known
        self.is_known = False
        self._said: Said | None = None
        self._heard_at = float("-inf")
        self._one_of = 1
        self._asking = asyncio.create_task(self._ask())
        self._listening = asyncio.create_task(self._listen())

    @property
    def said(self) -> Said | None:
        """What it has said of itself last, unless that is too long ago: it is dead or silent."""
        return self._said if time.monotonic() - self._heard_at < OLDEST_S else None

    def listen_to(self, one_of: int) -> None:
        """Be told of one of so many runs, from now on."""
        if one_of != self._one_of:
            self._one_of = one_of
            self._listening.cancel()
            self._listening = asyncio.create_task(self._listen())

    @property
    def is_silent(self) -> bool:
        """Whether it has answered before, and does not now."""
        return self._said is not None and self.said is None

    async def close(self) -> None:
        """Watch no more."""
        tasks = [self._asking, self._listening]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tasks.clear()
        del self._asking, self._listening  # what ended them refers to the calls, and these to the connection
        await self._oversight.hang_up(self.member)

    async def _ask(self) -> None:
        while True:
            try:
                last = await self._oversight.describe(self.member)
            except FractosError:
                self._is_known()
                await asyncio.sleep(AGAIN_S)
                continue
            self._said = Said(last, self._said.last if self._said else None)
            self._heard_at = time.monotonic()
            self._is_known()
            await asyncio.sleep(ASK_EVERY_S)

    def _is_known(self) -> None:
        if not self.is_known:
            self.is_known = True
            self._known()

    async def _listen(self) -> None:
        while True:
            with suppress(FractosError):
                async for told in self._oversight.watch(self.member, self._one_of):
                    self._saw(self.member.name, told.events)
            await asyncio.sleep(AGAIN_S)
