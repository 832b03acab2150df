"""The Controller: runs the engine on an event loop. It executes the engine's effects and feeds what follows from them back.

Knows no device: the Adaptor it was given does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from google.protobuf.message import Message

from protos import application_pb2, fractos_pb2
from Services.fractos.adaptor import Adaptor
from Services.fractos.bringing import Bringing
from Services.fractos.call_memory import NodeMemory
from Services.fractos.custody import Custody
from Services.fractos.device_calls import DeviceCalls
from Services.fractos.device_model import DeviceModel
from Services.fractos.engine import Engine
from Services.fractos.errors import InternalError, UnavailableError, UnimplementedError
from Services.fractos.events import (
    Accepted,
    BringMemory,
    CallDevice,
    DeviceDone,
    DropCalls,
    Effect,
    Event,
    FreeMemory,
    KeepLink,
    Log,
    NotOwned,
    Owned,
    OwnedElsewhere,
    Record,
    Refused,
    ReleaseLink,
    RunEnded,
    SendFrame,
    Submitted,
    TakeOwnership,
    TimerDue,
    Wake,
)
from Services.fractos.journal import Journal
from Services.fractos.log_lines import about
from Services.fractos.operations import Operation
from Services.fractos.recorder import Recorder
from Services.fractos.records import Lot, RunRecord
from Services.fractos.transport.interface import Transport

log = logging.getLogger(__name__)


class Clients(Protocol):
    """Those who wait for runs of an application node."""

    def answer(self, effect: Accepted | Refused | RunEnded) -> None:
        """Take an answer of the engine; it leaves at the next `flush`."""

    def flush(self) -> None:
        """Begin to send the answers. Never waits."""


class Observer(Protocol):
    """Who is told what the engine is told and asks for. Most nodes have none."""

    def saw(self, event: Event, effects: Sequence[Effect], now: float) -> None:
        """Look at an event and what it led to, before that is done. Must not wait, nor change anything."""


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
        custody: Custody | None = None,
        journal: Journal | None = None,
        model: DeviceModel | None = None,
        memory: NodeMemory | None = None,
    ) -> None:
        """`clients` gets the effects that are for clients, and `journal` the records: only an application node has them.

        `custody` is how the node becomes the owner of its durable state, if it has any. `model` is the slower device
        that its own is to look like. `memory` is where its runs leave large values.
        """
        self.engine = engine
        self._transport = transport
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._device = DeviceCalls(adaptor, self.feed, clock, model, memory, engine.guard) if adaptor is not None else None
        self._events: deque[Event] = deque()
        self._clients = clients
        self._custody = custody
        self._taking: asyncio.Task[Owned | OwnedElsewhere | NotOwned] | None = None
        self._recorder = Recorder(journal, self.feed, clock) if journal is not None else None
        self._clearing: asyncio.Task[None] | None = None
        self.observers: list[Observer] = []
        self.steps_done = self.steps_failed = 0  # since the start
        self._feeding = False
        self._together = False
        self._timer: asyncio.TimerHandle | None = None
        self._perform: dict[type, Callable[[Any], None]] = {
            SendFrame: lambda effect: transport.send(effect.address, effect.frame),
            CallDevice: self._call_device,
            DropCalls: self._drop_calls,
            FreeMemory: lambda effect: memory.store.free_runs(effect.run_ids) if memory is not None else None,
            KeepLink: lambda effect: transport.keep(effect.address),
            ReleaseLink: lambda effect: transport.release(effect.address),
            TakeOwnership: self._begin_to_take_over,
            Wake: self._wake,
            Log: lambda effect: log.log(effect.level, "%s", effect.text, extra=about(*effect[2:])),
        }
        if self._recorder is not None:
            self._perform[Record] = self._recorder.take
        self._bringing = Bringing(memory, self.feed) if memory is not None else None
        if self._bringing is not None:
            self._perform[BringMemory] = self._bringing.begin
        if clients is not None:
            self._perform |= dict.fromkeys((Accepted, Refused, RunEnded), clients.answer)

    def feed(self, *events: Event) -> None:
        """Give the engine events and do what it asks for. What they lead to travels together."""
        self._events.extend(events)
        if self._feeding:  # an effect of an earlier event caused this one: it has its turn after that
            return
        self._handle_all()
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

    async def call(
        self, operation: Operation, request: Message, deadline: float, capability: fractos_pb2.Capability
    ) -> Message:
        """Run one operation outside any run: the node's own unary service.

        Raises PermissionDeniedError unless the capability allows it, and what the Adaptor raises.
        """
        if self._device is None:
            raise UnimplementedError(f"{self.engine.identity.name} has no device")
        guard = self.engine.guard
        links: tuple[bytes, ...] = ()
        if guard is not None:
            links = guard.check_call(capability, operation, request, self.engine.identity.name, self._clock())
        await self.own()
        return await self._device.call(operation, request, deadline, links)

    async def recall(self, run_id: bytes) -> RunRecord | None:
        """What the journal knows of a run; None if it does not."""
        return await self._recorder.find(run_id) if self._recorder is not None else None

    async def look_through(self, before: int, client: str, state: application_pb2.RunState) -> Lot:
        """Look for runs that have ended in a part of the journal: see there. It is empty if there is none."""
        return await self._recorder.look_through(before, client, state) if self._recorder is not None else Lot([], None)

    @property
    def device_load(self) -> tuple[int, int]:
        """How many calls wait for the device, and how many it carries out."""
        return self._device.load if self._device is not None else (0, 0)

    async def own(self) -> None:
        """Become the owner of the durable state, if the node has any. Raises UnavailableError if another node is the owner."""
        if self._custody is None or self.engine.tenure.epoch:
            return
        outcome = await asyncio.shield(self._take_ownership())
        if isinstance(outcome, NotOwned):
            raise outcome.error
        if isinstance(outcome, OwnedElsewhere):
            raise UnavailableError(f"{self.engine.identity.name} is a standby: ask {outcome.node} at {outcome.address}")

    def _handle_all(self) -> None:
        self._feeding = True
        try:
            while self._events:
                self._handle(self._events.popleft())
        finally:
            self._feeding = False

    def _flush(self) -> None:
        """Record first, since what is sent may rely on it."""
        while self._recorder is not None and (recorded := self._recorder.commit()) is not None:
            self._events.append(recorded)
            self._handle_all()
        self._transport.flush()
        if self._clients is not None:
            self._clients.flush()

    async def close(self) -> None:
        """End the device's calls, let go of the journal and of what the node owns."""
        for pending in (self._timer, self._clearing, self._taking):
            if pending is not None:
                pending.cancel()
        if self._bringing is not None:
            self._bringing.close()
        quiet = self._taking is None  # else a thread may be at work on what was just taken over
        if self._device is not None:
            quiet &= await self._device.close()
        if self._recorder is not None:
            self._recorder.close()
        if self._custody is not None and quiet:  # else the lock is let go when this process ends, and they with it
            self._custody.close()

    def _handle(self, event: Event) -> None:
        # One bad event or effect must not take the node down; the run it belonged to ends by its deadline.
        now = self._clock()
        try:
            effects = self.engine.handle(event, now)
        except Exception as error:
            log.exception("could not handle %s", type(event).__name__)
            effects = self.engine.settle()
            if isinstance(event, Submitted):
                effects.append(Refused(event.request.run_id, event.ticket, InternalError(f"the submission failed: {error}")))
        if type(event) is DeviceDone:
            self.steps_done += event.error is None
            self.steps_failed += event.error is not None
        for observer in self.observers:
            try:
                observer.saw(event, effects, now)
            except Exception:
                log.exception("could not observe %s", type(event).__name__)
        for effect in effects:
            try:
                self._perform[type(effect)](effect)
            except Exception:
                log.exception("could not perform %s", type(effect).__name__)

    def _begin_to_take_over(self, effect: TakeOwnership) -> None:
        self._take_ownership()

    def _take_ownership(self) -> asyncio.Task[Owned | OwnedElsewhere | NotOwned]:
        """Begin to take over; all who ask meanwhile share one attempt."""
        if self._taking is None:
            self._taking = self._loop.create_task(self._take_over())
        return self._taking

    async def _take_over(self) -> Owned | OwnedElsewhere | NotOwned:
        assert self._custody is not None  # the engine of a node without durable state does not ask
        outcome = await self._custody.take()
        self._taking = None
        if isinstance(outcome, Owned) and self._recorder is not None:
            self._clearing = self._loop.create_task(self._recorder.clear())
        self.feed(outcome)
        return outcome

    def _call_device(self, effect: CallDevice) -> None:
        assert self._device is not None  # the engine of a node without a device refuses every step
        done = self._device.begin(effect)
        if done is not None:
            self._events.append(done)

    def _drop_calls(self, effect: DropCalls) -> None:
        if self._device is not None:
            self._device.drop(effect.run_ids)

    def _wake(self, effect: Wake) -> None:
        # Loops count in milliseconds: without one more this would be due a moment too early, again and again.
        from_now = max(0.0, effect.at - self._clock()) + 0.001
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(from_now, self._timer_due)

    def _timer_due(self) -> None:
        self.feed(TimerDue())
