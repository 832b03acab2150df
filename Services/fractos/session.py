"""The stream between a Python client and an application node. It runs on an event loop in a thread of its own; the client's
own threads hand it submissions and wait for their results.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from typing import TypeAlias

import grpc
import uvloop

from protos import application_pb2, application_pb2_grpc
from Services.fractos.errors import Context, FractosError, UnavailableError
from Services.fractos.transport.grpc_channel import OPTIONS
from Services.fractos.transport.streams import Outbox

CONNECT_TIMEOUT_S = 2.0
CLOSE_TIMEOUT_S = 1.0
CLOSE_POLL_S = 0.005

Outcome: TypeAlias = Future[application_pb2.RunResult]
Call: TypeAlias = "grpc.aio.StreamStreamCall[application_pb2.SessionRequests, application_pb2.SessionResponses]"


@cache
def background_loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process's clients, in a thread of its own.

    One for all and never closed: gRPC's poller serves all loops of a process and goes on calling one that was closed.
    """
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, name="mock datacenter client", daemon=True).start()
    return loop


class Session:
    """One Session stream. Open until it breaks or is closed; then every outcome that was awaited is an UnavailableError."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._loop = asyncio.get_running_loop()
        self._outbox: Outbox[application_pb2.SessionRequest] = Outbox(application_pb2.SessionRequest.ByteSize)
        self._handed: list[application_pb2.SessionRequest] = []  # by other threads, not yet in the outbox
        self._outcomes: dict[bytes, Outcome] = {}
        self._lock = threading.Lock()
        self._broken: FractosError | None = None
        self._call: Call
        self._task: asyncio.Task[None]

    @classmethod
    async def open(cls, address: str) -> Session:
        """Connect. Raises UnavailableError if the application node does not answer within 2 s."""
        session = cls(address)
        opened = session._loop.create_future()
        session._task = asyncio.create_task(session._live(opened))
        await opened
        return session

    def submit(self, request: application_pb2.SubmitRequest) -> Outcome:
        """Send a submission, from any thread. Returns the future result of the run."""
        outcome: Outcome = Future()
        with self._lock:
            if self._broken is not None:
                raise self._broken
            self._outcomes[request.run_id] = outcome
        self._hand(application_pb2.SessionRequest(submit=request))
        return outcome

    def cancel(self, run_id: bytes) -> None:
        """Ask for a run to be ended, from any thread."""
        self._hand(application_pb2.SessionRequest(cancel=application_pb2.CancelRequest(run_id=run_id)))

    def is_broken(self) -> bool:
        """Whether nothing can be submitted any more."""
        return self._broken is not None

    async def close(self) -> None:
        """Send what was handed over, then end the stream. Runs that have not ended after a second go on without this client."""
        self._collect()
        closing = asyncio.create_task(self._half_close())
        await asyncio.wait([self._task], timeout=CLOSE_TIMEOUT_S)
        closing.cancel()
        self._task.cancel()
        await asyncio.wait([self._task, closing])

    def _hand(self, request: application_pb2.SessionRequest) -> None:
        with self._lock:
            self._handed.append(request)
            first = len(self._handed) == 1  # else the loop has been woken already
        if first:
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        with self._lock:
            handed, self._handed = self._handed, []
        for request in handed:
            self._outbox.put(request)
        self._outbox.flush()

    async def _live(self, opened: asyncio.Future[None]) -> None:
        reason = "the application node closed the session"
        try:
            async with grpc.aio.insecure_channel(self.address, OPTIONS) as channel:
                await self._exchange(application_pb2_grpc.ApplicationStub(channel).Session(), opened)
        except asyncio.TimeoutError:
            reason = f"no answer within {CONNECT_TIMEOUT_S:g} s"
        except grpc.aio.AioRpcError as error:
            reason = f"{error.code().name}: {error.details()}"
        except asyncio.CancelledError:
            reason = "this client closed the session"
        finally:
            self._break(reason, opened)

    async def _exchange(self, call: Call, opened: asyncio.Future[None]) -> None:
        if await asyncio.wait_for(call.read(), CONNECT_TIMEOUT_S) is grpc.aio.EOF:  # the first message is empty
            return
        self._call = call
        self._outbox.open(self._write)
        opened.set_result(None)
        try:
            while isinstance(responses := await call.read(), application_pb2.SessionResponses):
                for result in responses.results:
                    outcome = self._outcomes.pop(result.run_id, None)
                    if outcome is not None:
                        outcome.set_result(result)
        finally:
            self._outbox.cancel()

    async def _write(self, requests: list[application_pb2.SessionRequest]) -> None:
        await self._call.write(application_pb2.SessionRequests(requests=requests))

    async def _half_close(self) -> None:
        """End this half of the stream after all that was handed over; the other half then ends by itself."""
        while self._outbox:
            await asyncio.sleep(CLOSE_POLL_S)
        await self._outbox.close()
        with suppress(asyncio.InvalidStateError):  # it broke meanwhile
            await self._call.done_writing()

    def _break(self, reason: str, opened: asyncio.Future[None]) -> None:
        """Tell everyone who waits."""
        with self._lock:
            self._broken = UnavailableError(f"lost the application node at {self.address}: {reason}", definite=False)
            outcomes, self._outcomes = self._outcomes, {}
        if not opened.done():
            opened.set_exception(self._broken)
        for run_id, outcome in outcomes.items():
            outcome.set_exception(self._broken.within(Context(run_id=run_id.hex(), attempt=1)))
