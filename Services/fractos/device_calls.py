"""How a Controller has its Adaptor carry out operations: on the event loop, or in the device's threads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial

from google.protobuf.message import Message

from Services.fractos.adaptor import Adaptor
from Services.fractos.device_threads import DeviceThreads, Outcome
from Services.fractos.errors import FractosError, ResourceExhaustedError
from Services.fractos.events import CallDevice, DeviceDone, WorkKey
from Services.fractos.interruption import current
from Services.fractos.operations import Operation
from Services.fractos.step import Step

log = logging.getLogger(__name__)

DIRECT_CALLS = 1000  # unary calls that may wait for the device's threads
NO_RUN = b""  # direct calls take their turn among the runs like one of them


class DeviceCalls:
    """The calls of one device. Lives on the Controller's event loop."""

    def __init__(
        self, adaptor: Adaptor, feed: Callable[[DeviceDone], None], clock: Callable[[], float], delay_s: float = 0.0
    ) -> None:
        """`feed` gets how calls of runs ended. `delay_s`: how much longer each call takes; then none is made on the loop."""
        self._adaptor = adaptor
        self._feed = feed
        self._clock = clock
        self._delay_s = delay_s
        self._loop = asyncio.get_running_loop()
        self._threads = DeviceThreads(adaptor.threads, clock)
        self._direct_calls = 0

    def begin(self, effect: CallDevice) -> DeviceDone | None:
        """Make a call of a run. Returns how it ended if that is known at once; else `feed` is told."""
        key, operation, request, deadline = effect
        step = _step(key, deadline) if operation.remembered else None
        if self._is_inline(operation):
            return self._call_inline(key, operation, request, step)
        work, done = partial(self._use_device, operation, request, step), partial(self._called, key, operation)
        try:
            self._threads.submit(key.run_id, operation.path, deadline, work, done)
        except FractosError as error:
            now = self._clock()
            return DeviceDone(key, None, error, now, now)
        return None

    async def call(self, operation: Operation, request: Message, deadline: float) -> Message:
        """Make a call outside any run. Raises what the Adaptor raises, and ResourceExhaustedError if too many wait."""
        if self._is_inline(operation):
            return self._adaptor.call(operation, request)
        if self._direct_calls >= DIRECT_CALLS:
            raise ResourceExhaustedError(f"{DIRECT_CALLS} direct calls are waiting, which is the limit", retry_after_s=0.1)
        self._direct_calls += 1
        try:
            return await self._call_in_thread(operation, request, deadline)
        finally:
            self._direct_calls -= 1

    def drop(self, run_ids: Collection[bytes]) -> None:
        """Forget the calls of these runs: those that wait do not begin, those that run are interrupted if they can be."""
        self._threads.drop(run_ids)

    async def close(self) -> bool:
        """Interrupt the calls that have begun, give them some seconds to end, and make no more.

        Returns whether all have ended.
        """
        return await asyncio.to_thread(self._threads.close)

    def _is_inline(self, operation: Operation) -> bool:
        return not self._delay_s and self._adaptor.is_inline(operation)

    def _call_inline(self, key: WorkKey, operation: Operation, request: Message, step: Step | None) -> DeviceDone:
        started_at = self._clock()
        try:
            response = self._adaptor.call(operation, request, step)
        except Exception as error:  # the edge between trusted and untrusted code
            return _ended(key, operation, Outcome(None, error, started_at, self._clock()))
        return DeviceDone(key, response, None, started_at, self._clock())

    def _use_device(self, operation: Operation, request: Message, step: Step | None = None) -> Message:
        """Runs in a device thread."""
        if self._delay_s:
            current().wait(self._delay_s)
        return self._adaptor.call(operation, request, step)

    def _called(self, key: WorkKey, operation: Operation, outcome: Outcome) -> None:
        """Runs in a device thread."""
        self._loop.call_soon_threadsafe(lambda: self._feed(_ended(key, operation, outcome)))

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


def _step(key: WorkKey, deadline: float) -> Step:
    """The same in whichever attempt."""
    return Step(f"{key.run_id.hex()}/{key.step}", deadline)


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
