"""How a Controller has its Adaptor carry out operations: on the event loop, or in the device's threads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from functools import partial

from google.protobuf.message import Message

from Services.fractos.adaptor import Adaptor
from Services.fractos.call_memory import Answer, CallMemory, NodeMemory
from Services.fractos.device_model import DeviceModel
from Services.fractos.device_threads import DeviceThreads, Outcome
from Services.fractos.errors import FractosError, ResourceExhaustedError
from Services.fractos.events import CallDevice, DeviceDone
from Services.fractos.guard import Guard
from Services.fractos.interruption import current
from Services.fractos.large_values import references, refers
from Services.fractos.log_lines import about
from Services.fractos.operations import Operation
from Services.fractos.step import Step

log = logging.getLogger(__name__)

DIRECT_CALLS = 1000  # unary calls that may wait for the device's threads
NO_RUN = b""  # direct calls take their turn among the runs like one of them


class DeviceCalls:
    """The calls of one device. Lives on the Controller's event loop."""

    def __init__(
        self,
        adaptor: Adaptor,
        feed: Callable[[DeviceDone], None],
        clock: Callable[[], float],
        model: DeviceModel | None = None,
        memory: NodeMemory | None = None,
        guard: Guard | None = None,
    ) -> None:
        """`feed` gets how calls of runs ended. `model`: what the device is to look like; then no call is made on the loop.

        `memory` is where large values of runs are left; without it they stay in the messages. `guard` says whether a call that
        had to wait may still begin.
        """
        self._adaptor = adaptor
        self._feed = feed
        self._clock = clock
        self._model = model
        self._memory = memory
        self._guard = guard
        self._fetching: dict[asyncio.Task[None], bytes] = {}  # the run that each is for
        self._loop = asyncio.get_running_loop()
        self._threads = DeviceThreads((model.parallelism if model else 0) or adaptor.threads, clock)
        self._direct_calls = 0

    def begin(self, effect: CallDevice) -> DeviceDone | None:
        """Make a call of a run. Returns how it ended if that is known at once; else `feed` is told."""
        memory = CallMemory(self._memory, effect) if self._memory is not None else None
        if memory is not None and references(effect.operation, effect.request, effect.beside):
            task = self._loop.create_task(self._fetch_and_begin(effect, memory))
            self._fetching[task] = effect.key.run_id
            task.add_done_callback(self._fetching.pop)
            return None
        if self._is_inline(effect.operation):
            return self._call_inline(effect, memory)
        return self._begin_in_thread(effect, memory)

    async def call(self, operation: Operation, request: Message, deadline: float, links: tuple[bytes, ...] = ()) -> Message:
        """Make a call outside any run, which `links` allow.

        Raises what the Adaptor raises, PermissionDeniedError if it is not allowed any more when its turn comes, and
        ResourceExhaustedError if too many wait.
        """
        if self._is_inline(operation):
            self._check_revoked(links)
            return self._adaptor.call(operation, request)
        if self._direct_calls >= DIRECT_CALLS:
            raise ResourceExhaustedError(f"{DIRECT_CALLS} direct calls are waiting, which is the limit", retry_after_s=0.1)
        self._direct_calls += 1
        try:
            return await self._call_in_thread(operation, request, deadline, links)
        finally:
            self._direct_calls -= 1

    @property
    def load(self) -> tuple[int, int]:
        """How many calls wait for a thread, and how many are being carried out."""
        return self._threads.load

    def drop(self, run_ids: Collection[bytes]) -> None:
        """Forget the calls of these runs: those that wait do not begin, those that run are interrupted if they can be."""
        for task, run_id in self._fetching.items():
            if run_id in run_ids:
                task.cancel()
        self._threads.drop(run_ids)

    async def close(self) -> bool:
        """Interrupt the calls that have begun, give them some seconds to end, and make no more.

        Returns whether all have ended.
        """
        for task in self._fetching:
            task.cancel()
        return await asyncio.to_thread(self._threads.close)

    def _is_inline(self, operation: Operation) -> bool:
        return self._model is None and self._adaptor.is_inline(operation)

    async def _fetch_and_begin(self, effect: CallDevice, memory: CallMemory) -> None:
        """Get what the arguments refer to, then make the call in a thread, even a quick one: its arguments are large."""
        try:
            await memory.fetch()
            done = self._begin_in_thread(effect, memory)
        except Exception as error:
            done = self._ended_at_once(effect, error)
        if done is not None:
            self._feed(done)

    def _call_inline(self, effect: CallDevice, memory: CallMemory | None) -> DeviceDone:
        started_at = self._clock()
        try:
            response = self._adaptor.call(effect.operation, effect.request, _step(effect))
            if memory is not None and (response.ByteSize() > memory.inline_limit or refers(effect.operation, response)):
                return _ended(effect, Outcome(memory.answer(response), None, started_at, self._clock()))
        except Exception as error:  # the edge between trusted and untrusted code
            return _ended(effect, Outcome(None, error, started_at, self._clock()))
        return DeviceDone(effect.key, response, None, started_at, self._clock())

    def _begin_in_thread(self, effect: CallDevice, memory: CallMemory | None) -> DeviceDone | None:
        work, done = partial(self._carry_out, effect, memory), partial(self._called, effect, memory)
        try:
            self._threads.submit(effect.key.run_id, effect.operation.path, effect.deadline, work, done)
        except FractosError as error:
            return self._ended_at_once(effect, error)
        return None

    def _ended_at_once(self, effect: CallDevice, error: BaseException) -> DeviceDone:
        now = self._clock()
        return _ended(effect, Outcome(None, error, now, now))

    def _carry_out(self, effect: CallDevice, memory: CallMemory | None) -> Answer:
        """Runs in a device thread."""
        if self._model is not None:
            beside_bytes = sum(argument.memory.size for argument in effect.beside)  # they are in the request by now
            self._model.begin(effect.request.ByteSize() + (memory.fetched_bytes - beside_bytes if memory is not None else 0))
        work = partial(self._use_device, effect.operation, effect.request, effect.links, _step(effect))
        if memory is None:
            answer = Answer(work())
        else:
            try:
                answer = memory.carry_out(work)
            finally:
                if current().is_cancelled:
                    memory.discard()
        if self._model is not None:
            self._model.end(answer.response.ByteSize() + answer.memory_bytes)
        return answer

    def _carry_out_direct(self, operation: Operation, request: Message, links: tuple[bytes, ...]) -> Message:
        """Runs in a device thread: the same for a call outside any run."""
        if self._model is not None:
            self._model.begin(request.ByteSize())
        response = self._use_device(operation, request, links)
        if self._model is not None:
            self._model.end(response.ByteSize())
        return response

    def _use_device(
        self, operation: Operation, request: Message, links: tuple[bytes, ...], step: Step | None = None
    ) -> Message:
        """Runs in a device thread: perhaps long after the call was checked."""
        self._check_revoked(links)
        return self._adaptor.call(operation, request, step)

    def _check_revoked(self, links: tuple[bytes, ...]) -> None:
        if self._guard is not None:
            self._guard.check_revoked(links)

    def _called(self, effect: CallDevice, memory: CallMemory | None, outcome: Outcome) -> None:
        """Runs in a device thread."""
        fetched_bytes = memory.fetched_bytes if memory is not None else 0
        self._loop.call_soon_threadsafe(lambda: self._feed(_ended(effect, outcome, fetched_bytes)))

    async def _call_in_thread(
        self, operation: Operation, request: Message, deadline: float, links: tuple[bytes, ...]
    ) -> Message:
        ended: asyncio.Future[Outcome] = self._loop.create_future()

        def tell(outcome: Outcome) -> None:
            if not ended.done():
                ended.set_result(outcome)

        def done(outcome: Outcome) -> None:
            self._loop.call_soon_threadsafe(tell, outcome)

        work = partial(self._carry_out_direct, operation, request, links)
        call = self._threads.submit(NO_RUN, operation.path, deadline, work, done)
        try:
            outcome = await ended
        except asyncio.CancelledError:  # whoever called has hung up
            self._threads.cancel(call)
            raise
        if outcome.error is not None:
            raise outcome.error
        assert isinstance(outcome.answer, Message)
        return outcome.answer


def _step(call: CallDevice) -> Step | None:
    """What a device is told that remembers for which step it did something: the same in whichever attempt."""
    key = call.key
    return Step(f"{key.run_id.hex()}/{key.step}", call.deadline) if call.operation.remembered else None


def _ended(call: CallDevice, outcome: Outcome, fetched_bytes: int = 0) -> DeviceDone:
    answer, error, started_at, finished_at = outcome
    if error is not None and not isinstance(error, FractosError):
        log.error("the device failed", exc_info=error, extra=about(*call.key, call.operation.path))
    # The engine remembers a failure for as long as its run may be repeated; the frames would keep the arguments with it.
    link = error
    while link is not None and link.__traceback__ is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    if not isinstance(answer, Answer):
        return DeviceDone(call.key, None, error, started_at, finished_at)
    made = (answer.beside, answer.whole, answer.memory_bytes)
    return DeviceDone(call.key, answer.response, None, started_at, finished_at, *made, fetched_bytes)
