"""The emulated network at one node: makes what it receives arrive as late as the links say. Made by `node.py`.

All that comes in is held back here, at its receiver, whether it came as frames, Memory or calls, so that all of it shares the
bandwidth of the link that it came by. What goes to clients is held back before it is sent, since they are no nodes.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from google.protobuf.message import Message

from Services.fractos.errors import FractosError, ResourceExhaustedError, UnavailableError
from Services.fractos.network_rules import CLIENT, NetworkRules
from Services.fractos.transport.held_frames import HeldFrames
from Services.fractos.transport.link import Link, Network
from Services.fractos.transport.precise_timer import PreciseTimer

UNKNOWN = "unknown"  # the owner of a Memory that is no node of the datacenter
OPENING_PATIENCE_S = 5.0  # how long one may wait for a stream, on a link that is cut
MOST_OPENING = 1000  # streams that are being opened at once
OPENING_ROUND_TRIPS = 2  # until a stream stands: TCP's, and the request with its answer

MOST_WAITING = 1000  # calls of clients that are on their way here, or whose answers are on their way back
MOST_WAITING_BYTES = 256 << 20  # of both
CALL_PATIENCE_S = 60.0  # how much longer than it takes such a call waits for a link, if its own deadline is not earlier

Answer = TypeVar("Answer", bound=Message)


class NodeNetwork:
    """Lives on the event loop."""

    def __init__(self, name: str, rules: NetworkRules, name_at: Callable[[str], str]) -> None:
        """`name` is this node's; `name_at(address)` that of the node there, or empty if none is known."""
        self._name = name
        self._name_at = name_at
        self._network = Network(rules, random.random)
        self._timer = PreciseTimer()
        self.held: set[HeldFrames] = set()  # of the streams that are open
        self._opening = 0  # streams
        self._waiting = 0  # calls of clients
        self._waiting_bytes = 0
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def update(self, rules: NetworkRules) -> None:
        """From now on the links are like this. What a cut held back, and is no longer cut off, is sent once more."""
        self._network.update(rules)
        self._changed.set_result(None)
        self._changed = asyncio.get_running_loop().create_future()
        for held in list(self.held):
            held.changed(*self._links(held.source))

    def close(self) -> None:
        """Let nothing arrive any more."""
        self._changed.cancel()
        self._timer.close()

    def is_client(self, address: str) -> bool:
        """Whether no node is known at an address."""
        return not self._name_at(address)

    def patience_s(self, address: str, size_bytes: int) -> float:
        """How much longer than usual it may take until the node at `address` has acknowledged so many bytes."""
        return self._network.patience_s(self._name, self._name_at(address), size_bytes)

    def opening_patience_s(self, address: str) -> float:
        """The same until a stream to it stands."""
        return OPENING_ROUND_TRIPS * self.patience_s(address, 0)

    async def opening(self, source: str) -> None:
        """Wait until one who says that it is this node has opened a stream, and may get the first answer.

        It has proved nothing yet, so nothing is remembered of it, and only so many may wait. Raises UnavailableError if these
        do, or if the link has been cut for longer than a sender waits.
        """
        if self._opening >= MOST_OPENING:
            raise UnavailableError(f"{MOST_OPENING} streams are being opened over the emulated network, which is the limit")
        self._opening += 1
        try:
            patience_s = OPENING_ROUND_TRIPS * self._network.patience_s(self._name, source, 0) + OPENING_PATIENCE_S
            await asyncio.wait_for(self._open(source), patience_s)
        except asyncio.TimeoutError:
            raise UnavailableError(f"the emulated network between {source} and {self._name} is cut") from None
        finally:
            self._opening -= 1

    def opened(self, source: str, arrived: Callable[[list[bytes]], None], told: Callable[[int, int], None]) -> HeldFrames:
        """Take part in a stream of frames from a node that has proved who it is.

        `arrived` gets the frames; `told` gets how many they were, and of how many bytes, when the sender may know that.
        """
        held = HeldFrames(source, self._timer, arrived, told, self.held.discard)
        self.held.add(held)
        held.changed(*self._links(source))
        return held

    async def ask(self, owner: str) -> float:
        """Wait as long as a request to the owner at an address takes. Returns when it arrives."""
        await self._carry(self._name, self._name_at(owner) or UNKNOWN, 0, time.monotonic())
        return time.monotonic()

    async def receive(self, owner: str, size_bytes: int, since: float) -> None:
        """Wait as long as bytes take that were sent `since` then by the owner at an address."""
        await self._carry(self._name_at(owner) or UNKNOWN, self._name, size_bytes, since)

    async def from_client(self, size_bytes: int, since: float | None = None) -> float:
        """Wait as long as bytes take that a client has sent, `since` then or now. Returns when they have arrived."""
        await self._carry(CLIENT, self._name, size_bytes, time.monotonic() if since is None else since)
        return time.monotonic()

    async def to_client(self, size_bytes: int, since: float | None = None) -> None:
        """Wait as long as bytes take that are for a client."""
        await self._carry(self._name, CLIENT, size_bytes, time.monotonic() if since is None else since)

    async def admit(self, size_bytes: int) -> float:
        """Wait as long as a client's call takes that was sent now. Returns when it has arrived.

        Raises ResourceExhaustedError if too much waits already, and UnavailableError if the link stays cut. That the call's own
        deadline passes gRPC sees to: it cancels who waits here.
        """
        if not self.shapes_clients:
            return time.monotonic()
        if self._waiting >= MOST_WAITING or (self._waiting and self._waiting_bytes + size_bytes > MOST_WAITING_BYTES):
            raise ResourceExhaustedError(
                f"{self._waiting} calls of clients with {self._waiting_bytes} bytes are on their way over the emulated network;"
                f" the limits are {MOST_WAITING} and {MOST_WAITING_BYTES}",
                retry_after_s=0.1,
            )
        with self._counted(size_bytes):
            await self._patiently(self.from_client(size_bytes), definite=True)
        return time.monotonic()

    async def answer(self, request: Message, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Answer a client's call by another one. The request, and the answer or refusal, take as long as the links do.

        Raises what the call does, and what `admit` does.
        """
        if not self.shapes_clients:
            return await call()
        await self.admit(request.ByteSize())
        try:
            answer = await call()
        except FractosError:
            await self._return(0)
            raise
        await self._return(answer.ByteSize())
        return answer

    @property
    def shapes_clients(self) -> bool:
        """Whether anything is between clients and this node."""
        return bool(self._network.link(CLIENT, self._name) or self._network.link(self._name, CLIENT))

    async def _return(self, size_bytes: int) -> None:
        with self._counted(size_bytes):
            await self._patiently(self.to_client(size_bytes), definite=False)

    @contextmanager
    def _counted(self, size_bytes: int) -> Iterator[None]:
        self._waiting += 1
        self._waiting_bytes += size_bytes
        try:
            yield
        finally:
            self._waiting -= 1
            self._waiting_bytes -= size_bytes

    async def _patiently(self, crossing: Awaitable[object], *, definite: bool) -> None:
        """Wait for what crosses a client's link, behind all that waits for it, but not for ever."""
        ways = ((CLIENT, self._name), (self._name, CLIENT))
        patience_s = CALL_PATIENCE_S + sum(self._network.patience_s(*ends, self._waiting_bytes) for ends in ways)
        try:
            await asyncio.wait_for(crossing, patience_s)
        except asyncio.TimeoutError:
            text = f"the emulated network between clients and {self._name} is cut, or carries too much"
            raise UnavailableError(f"{text}: nothing came through in {patience_s:.0f} s", definite=definite) from None

    async def _open(self, source: str) -> None:
        for sender, receiver in OPENING_ROUND_TRIPS * ((source, self._name), (self._name, source)):
            crossed = False
            while not crossed:
                link = self._network.unremembered(sender, receiver)
                if link.is_cut:
                    await asyncio.shield(self._changed)
                else:
                    await self._timer.until(link.transmit(0, time.monotonic()))
                    crossed = not self._network.unremembered(sender, receiver).is_cut  # else it has to be sent once more

    async def _carry(self, source: str, target: str, size: float, since: float) -> None:
        link = self._network.link(source, target)
        if link is None:
            return
        ready, arrival = since, 0.0
        while size > 0 or not arrival:
            ready = await self._healed(link, ready)
            part = min(size, link.quantum_bytes)
            arrival = link.transmit(part, ready)
            ready, size = link.free_at, size - part
            if size > 0:
                await self._timer.until(ready)
        await self._timer.until(arrival)
        while link.is_cut:  # since then: what was under way is sent once more
            await self._timer.until(link.transmit(part, await self._healed(link, arrival)))

    async def _healed(self, link: Link, ready: float) -> float:
        """Wait until a link is not cut. Returns `ready`, or when that was if it is later."""
        while link.is_cut:
            await asyncio.shield(self._changed)
            ready = time.monotonic()
        return ready

    def _links(self, source: str) -> tuple[Link | None, Link | None]:
        """The link from a node and the one back."""
        return self._network.link(source, self._name), self._network.link(self._name, source)
