"""The Controller: runs the engine on an event loop. It executes the engine's effects and feeds what follows from them back.

Knows no device: the Adaptor it was given does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from google.protobuf.message import Message

from Services.fractos.adaptor import Adaptor
from Services.fractos.device_threads import DeviceThreads, Outcome
from Services.fractos.engine import Engine
from Services.fractos.errors import FractosError, ResourceExhaustedError, UnimplementedError
from Services.fractos.events import (
    Accepted,
    CallDevice,
    DeviceDone,
    DropCalls,
    Effect,
    Event,
    KeepLink,
    Log,
    Refused,
    RunEnded,
    SendFrame,
    TimerDue,
    Wake,
    WorkKey,
)
from Services.fractos.interruption import current
from Services.fractos.operations import Operation
from Services.fractos.transport.interface import Transport

log = logging.getLogger(__name__)

DIRECT_CALLS = 1000  # unary calls that may wait for the device's threads
NO_RUN = b""  # the run of all of them together, when they take turns with runs


class Clients(Protocol):
    """Those who wait for runs of an application node."""

    def answer(self, effect: Accepted | Refused | RunEnded) -> None:
        """Take an answer of the engine; it leaves at the next `flush`."""

    def flush(self) -> None:
        """Begin to send the answers. Never waits."""


class Controller:
    """One node's engine at work. Lives on one event loop; `feed` is called there only."""

    def __init__(
        self,
        engine: Engine,
        adaptor: Adaptor | None,
        transport: Transport,
        *,
        clock: Callable[[], float] = time.time,
        clients: Clients | None = None,
        delay_s: float = 0.0,
    ) -> None:
        """`clients` gets the effects that are for clients; only an application node has any.

        `delay_s`: how much longer each device call takes, to emulate a slower device. None is then made on the event loop.
        """
        self.engine = engine
        self._adaptor = adaptor
        self._transport = transport
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._threads = DeviceThreads(adaptor.threads if adaptor else 1, clock)
        self._delay_s = delay_s
        self._events: deque[Event] = deque()
        self._clients = clients
        self._direct_calls = 0
        self._feeding = False
        self._together = False
        self._timer: asyncio.TimerHandle | None = None
        self._perform: dict[type, Callable[[Any], None]] = {
            SendFrame: lambda effect: transport.send(effect.address, effect.frame),
            CallDevice: self._call_device,
            DropCalls: lambda effect: self._threads.drop(effect.run_ids),
            KeepLink: lambda effect: transport.keep(effect.address),
            Wake: self._wake,
            Log: lambda effect: log.log(effect.level, "%s", effect.text),
        }
        if clients is not None:
            self._perform |= dict.fromkeys((Accepted, Refused, RunEnded), clients.answer)

    def feed(self, *events: Event) -> None:
        """Give the engine events and do what it asks for. What they lead to travels together."""
        self._events.extend(events)
        if self._feeding:  # an effect of an earlier event caused this one: it has its turn after that
            return
        self._feeding = True
        try:
            while self._events:
                self._handle(self._events.popleft())
        finally:
            self._feeding = False
        if not self._together:
            self._flush()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is fed within this block leads to frames that travel together. The block must not wait."""
        self._together = True
        try:
            yield
        finally:
            self._together = False
            self._flush()

    async def call(self, operation: Operation, request: Message, deadline: float) -> Message:
        """Run one operation outside any run: the node's own unary service. Raises what the Adaptor raises."""
        if self._adaptor is None:
            raise UnimplementedError(f"{self.engine.identity.name} has no device")
        if self._is_inline(operation):
            return self._adaptor.call(operation, request)
        if self._direct_calls >= DIRECT_CALLS:
            raise ResourceExhaustedError(f"{DIRECT_CALLS} direct calls are waiting, which is the limit", retry_after_s=0.1)
        self._direct_calls += 1
        try:
            return await self._call_in_thread(operation, request, deadline)
        finally:
            self._direct_calls -= 1

    def _flush(self) -> None:
        self._transport.flush()
        if self._clients is not None:
            self._clients.flush()

    async def close(self) -> None:
        """Stop the device's threads; calls that have begun are interrupted, and get some seconds to end."""
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.to_thread(self._threads.close)

    def _handle(self, event: Event) -> None:
        effects: list[Effect] = []
        # One bad event or effect must not take the node down; the run it belonged to ends by its deadline.
        try:
            effects = self.engine.handle(event, self._clock())
        except Exception:
            log.exception("could not handle %s", type(event).__name__)
        for effect in effects:
            try:
                self._perform[type(effect)](effect)
            except Exception:
                log.exception("could not perform %s", type(effect).__name__)

    def _is_inline(self, operation: Operation) -> bool:
        assert self._adaptor is not None
        return not self._delay_s and self._adaptor.is_inline(operation)

    def _call_device(self, effect: CallDevice) -> None:
        key, operation, request, deadline = effect
        if self._is_inline(operation):
            self._events.append(self._call_inline(key, operation, request))
            return
        work, done = partial(self._use_device, operation, request), partial(self._called, key, operation)
        try:
            self._threads.submit(key.run_id, operation.path, deadline, work, done)
        except FractosError as error:
            now = self._clock()
            self._events.append(DeviceDone(key, None, error, now, now))

    def _call_inline(self, key: WorkKey, operation: Operation, request: Message) -> DeviceDone:
        assert self._adaptor is not None  # the engine of a node without a device refuses every step
        started_at = self._clock()
        try:
            response = self._adaptor.call(operation, request)
        except Exception as error:  # the edge between trusted and untrusted code
            return _ended(key, operation, Outcome(None, error, started_at, self._clock()))
        return DeviceDone(key, response, None, started_at, self._clock())

    def _use_device(self, operation: Operation, request: Message) -> Message:
        """Runs in a device thread."""
        assert self._adaptor is not None
        if self._delay_s:
            current().wait(self._delay_s)
        return self._adaptor.call(operation, request)

    def _called(self, key: WorkKey, operation: Operation, outcome: Outcome) -> None:
        """Runs in a device thread."""
        self._loop.call_soon_threadsafe(lambda: self.feed(_ended(key, operation, outcome)))

    async def _call_in_thread(self, operation: Operation, request: Message, deadline: float) -> Message:
        ended: asyncio.Future[Outcome] = self._loop.create_future()

        def tell(outcome: Outcome) -> None:
            if not ended.done():
                ended.set_result(outcome)

        def done(outcome: Outcome) -> None:
            self._loop.call_soon_threadsafe(tell, outcome)

        work = partial(self._use_device, operation, request)
        call = self._threads.submit(NO_RUN, operation.path, deadline, work, done)
        try:
            outcome = await ended
        except asyncio.CancelledError:  # whoever called has hung up
            self._threads.cancel(call)
            raise
        if outcome.error is not None:
            raise outcome.error
        assert outcome.response is not None
        return outcome.response

    def _wake(self, effect: Wake) -> None:
        # Loops count in milliseconds: without one more this would be due a moment too early, again and again.
        from_now = max(0.0, effect.at - self._clock()) + 0.001
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(from_now, self._timer_due)

    def _timer_due(self) -> None:
        self.feed(TimerDue())


def _ended(key: WorkKey, operation: Operation, outcome: Outcome) -> DeviceDone:
    response, error, started_at, finished_at = outcome
    if error is not None and not isinstance(error, FractosError):
        log.error("%s failed", operation.path, exc_info=error)
    # The engine remembers a failure for as long as its run may be repeated; the frames would keep the arguments with it.
    link = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return DeviceDone(key, response, error, started_at, finished_at)
