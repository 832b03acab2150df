"""The Adaptor of an application node: the calls of `protos/application.proto` on one side, the engine's runs on the other."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import grpc
from google.protobuf.message import Message

from Applications.Application_Controller.descriptions import (
    DEFAULT_LIST_LIMIT,
    MOST_LISTED,
    description_of,
    newest_runs,
    recalled,
)
from protos import application_pb2, application_pb2_grpc, fractos_pb2
from Services.fractos.controller import Controller
from Services.fractos.errors import Context, FractosError, NotFoundError, PermissionDeniedError, failure_of
from Services.fractos.events import Accepted, CancelAsked, Refused, RunEnded, Submitted
from Services.fractos.run import is_for, state_of
from Services.fractos.runs import Runs
from Services.fractos.session import SESSION
from Services.fractos.trace_context import valid
from Services.fractos.transport.call_proof import DESCRIBE_RUN, LIST_RUNS, PROOF, CallVerifier
from Services.fractos.transport.local_stream import Method
from Services.fractos.transport.status import translated_errors
from Services.fractos.transport.streams import Outbox
from Services.fractos.transport.unary import Metadata, capability_of, traceparent_of

DRAIN_POLL_S = 0.01

Reply = Callable[[application_pb2.RunResult], None]


class ApplicationAdaptor(application_pb2_grpc.ApplicationServicer):
    """Hands submissions to the engine, and its answers to whoever waits for them. Lives on the Controller's event loop."""

    def __init__(self) -> None:
        self._controller: Controller
        self._verifier: CallVerifier
        self._runs: Runs
        self._tickets = itertools.count(1)
        self._submitting: dict[int, _Submission] = {}  # by ticket, until they are accepted or refused
        self._waiting: dict[bytes, list[Reply]] = {}
        self._to_flush: set[_Session] = set()

    def attach(self, controller: Controller, server: grpc.aio.Server, verifier: CallVerifier) -> dict[str, Method]:
        """Offer the service on `server` through this Controller, whose engine has runs.

        `verifier` knows who has the datacenter's key. Returns what of it is offered over local streams, too.
        """
        assert controller.engine.runs is not None
        application_pb2_grpc.add_ApplicationServicer_to_server(self, server)
        self._controller = controller
        self._verifier = verifier
        self._runs = controller.engine.runs
        return {SESSION: Method(self.Session, application_pb2.SessionRequests)}

    def answer(self, effect: Accepted | Refused | RunEnded) -> None:
        """Take an answer of the engine; it leaves at the next `flush`."""
        if isinstance(effect, RunEnded):
            for waiting in self._waiting.pop(effect.result.run_id, ()):
                waiting(effect.result)
        elif isinstance(effect, Accepted):
            reply = self._submitting.pop(effect.ticket).accepted()
            if reply is not None:
                self._waiting.setdefault(effect.run_id, []).append(reply)
        else:
            self._submitting.pop(effect.ticket).refused(effect.error)

    def flush(self) -> None:
        """Begin to send the answers that were taken."""
        while self._to_flush:
            self._to_flush.pop().flush()

    async def Submit(
        self,
        request: application_pb2.SubmitRequest,
        context: grpc.aio.ServicerContext[application_pb2.SubmitRequest, application_pb2.SubmitResponse],
    ) -> application_pb2.SubmitResponse:
        """Start a run; it is in the journal when this returns."""
        async with translated_errors(context, self._controller.engine.identity):
            client = self._client(capability_of(context.invocation_metadata()))
            await self._controller.own()
            submission = _UnarySubmission()
            self._submit(request, submission, client, traceparent_of(context.invocation_metadata()))
            await submission.settled
        return application_pb2.SubmitResponse()

    async def Watch(
        self,
        request: application_pb2.WatchRequest,
        context: grpc.aio.ServicerContext[application_pb2.WatchRequest, application_pb2.WatchResponse],
    ) -> AsyncIterator[application_pb2.WatchResponse]:
        """Stream a run's state until it has ended."""
        async with translated_errors(context, self._controller.engine.identity):
            client = self._client(capability_of(context.invocation_metadata()))
            await self._controller.own()
            result = await self._result_of(request.run_id, client)
            if result is None:
                # Whoever waits has to be known before the first await: the run may end during it.
                async with self._end_of(request.run_id) as end:
                    yield application_pb2.WatchResponse(state=application_pb2.RUNNING)
                    result = await end
            yield application_pb2.WatchResponse(state=state_of(result), result=result)

    async def Cancel(
        self,
        request: application_pb2.CancelRequest,
        context: grpc.aio.ServicerContext[application_pb2.CancelRequest, application_pb2.CancelResponse],
    ) -> application_pb2.CancelResponse:
        """End a run."""
        async with translated_errors(context, self._controller.engine.identity):
            client = self._client(capability_of(context.invocation_metadata()))
            await self._controller.own()
            running = await self._result_of(request.run_id, client) is None
            self._controller.feed(CancelAsked(request.run_id, client))
        return application_pb2.CancelResponse(cancelled=running)

    async def ListRuns(
        self,
        request: application_pb2.ListRunsRequest,
        context: grpc.aio.ServicerContext[application_pb2.ListRunsRequest, application_pb2.ListRunsResponse],
    ) -> application_pb2.ListRunsResponse:
        """Describe the runs in flight and those that ended, also before this node became the owner of the journal."""
        async with translated_errors(context, self._controller.engine.identity):
            client = self._looker(context.invocation_metadata(), LIST_RUNS, request)
            await self._controller.own()
            limit = min(request.limit or DEFAULT_LIST_LIMIT, MOST_LISTED)
            runs = await newest_runs(self._runs, self._controller.look_through, client, request.state, limit)
        return application_pb2.ListRunsResponse(runs=runs)

    async def DescribeRun(
        self,
        request: application_pb2.DescribeRunRequest,
        context: grpc.aio.ServicerContext[application_pb2.DescribeRunRequest, application_pb2.RunDescription],
    ) -> application_pb2.RunDescription:
        """Tell all that is known of a run."""
        async with translated_errors(context, self._controller.engine.identity):
            client = self._looker(context.invocation_metadata(), DESCRIBE_RUN, request)
            await self._controller.own()
            try:
                return description_of(self._runs.find(request.run_id, client))
            except NotFoundError:
                record = await self._controller.recall(request.run_id)
                if record is None or record.result is None or not is_for(record.client, client):
                    raise
                return recalled(record)
        raise AssertionError("translated_errors ends the call")

    async def Session(
        self,
        request_iterator: object,
        context: grpc.aio.ServicerContext[application_pb2.SessionRequests, application_pb2.SessionResponses],
    ) -> None:
        """Serve one client's submissions. Ends when the client has closed its half and all of its runs are answered.

        The runs of a client that disappears go on without it. A standby takes over first, or refuses.
        """
        async with translated_errors(context, self._controller.engine.identity):
            capability = capability_of(context.invocation_metadata())
            client = self._client(capability)
            await self._controller.own()
        await context.write(application_pb2.SessionResponses())  # tells the client that it is served
        session = _Session(context, self._to_flush.add)
        try:
            while isinstance(batch := await context.read(), application_pb2.SessionRequests):
                if not batch.requests:
                    session.beat()
                    continue
                with self._controller.together():
                    for request in batch.requests:
                        if request.HasField("submit"):
                            self._submit_in(session, request.submit, capability)
                        else:
                            self._controller.feed(CancelAsked(request.cancel.run_id, client))
            await session.drain()
        finally:
            session.cancel()

    def _client(self, capability: fractos_pb2.Capability) -> str:
        """Who calls, by the capability that came along; empty: whoever that is may do everything.

        Raises PermissionDeniedError.
        """
        guard = self._controller.engine.guard
        return guard.client_of(capability, time.time()) if guard is not None else ""

    def _looker(self, metadata: Metadata | None, method: str, request: Message) -> str:
        """Whose runs a call may see, as in `_client`: everybody's with a proof of the datacenter's key."""
        if any(key == PROOF for key, _ in metadata or ()):
            self._verifier.check(metadata or (), method, request)
            return ""
        return self._client(capability_of(metadata))

    def _submit_in(self, session: _Session, request: application_pb2.SubmitRequest, capability: fractos_pb2.Capability) -> None:
        """Hand a run of a session to the engine. What allows the session may have been revoked since it began."""
        submission = _SessionSubmission(request.run_id, session, self._here())
        try:
            self._submit(request, submission, self._client(capability))
        except PermissionDeniedError as error:
            submission.refused(error)
            session.flush()

    def _submit(
        self, request: application_pb2.SubmitRequest, submission: _Submission, client: str, traceparent: str = ""
    ) -> None:
        """Hand a run to the engine. The submission is told whether it is accepted. `traceparent`: if it has none itself."""
        if request.traceparent or traceparent:
            request.traceparent = valid(request.traceparent, traceparent)
        ticket = next(self._tickets)
        self._submitting[ticket] = submission
        self._controller.feed(Submitted(request, ticket, client))

    async def _result_of(self, run_id: bytes, client: str) -> application_pb2.RunResult | None:
        """How a client's run ended, even if only the journal knows; None: it has not. Raises NotFoundError."""
        try:
            run = self._runs.find(run_id, client)
        except NotFoundError:
            record = await self._controller.recall(run_id)
            if record is None or record.result is None or not is_for(record.client, client):
                raise
            return application_pb2.RunResult.FromString(record.result)
        return run.result if run.ended_at else None

    def _here(self) -> Context:
        identity = self._controller.engine.identity
        return Context(node=identity.name, log_file=identity.log)

    @asynccontextmanager
    async def _end_of(self, run_id: bytes) -> AsyncIterator[asyncio.Future[application_pb2.RunResult]]:
        """The future result of a run that has not ended yet."""
        end: asyncio.Future[application_pb2.RunResult] = asyncio.get_running_loop().create_future()

        def reply(result: application_pb2.RunResult) -> None:
            if not end.done():  # whoever waited may have hung up
                end.set_result(result)

        replies = self._waiting.setdefault(run_id, [])
        replies.append(reply)
        try:
            yield end
        finally:
            replies.remove(reply)


class _Submission(Protocol):
    """Whoever handed a run to the engine."""

    def accepted(self) -> Reply | None:
        """The run is in the journal. Returns who is to be told how it ends, if anybody is."""

    def refused(self, error: FractosError) -> None:
        """The run is not accepted."""


class _UnarySubmission:
    """A call of Submit."""

    def __init__(self) -> None:
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def accepted(self) -> None:
        if not self.settled.done():
            self.settled.set_result(None)

    def refused(self, error: FractosError) -> None:
        if not self.settled.done():
            self.settled.set_exception(error)


class _SessionSubmission:
    """A submission in a session, which answers it once: when the run has ended, or is refused."""

    __slots__ = ("_here", "_run_id", "_session")

    def __init__(self, run_id: bytes, session: _Session, here: Context) -> None:
        session.unanswered += 1
        self._run_id = run_id
        self._session = session
        self._here = here

    def accepted(self) -> Reply:
        return self._session.reply

    def refused(self, error: FractosError) -> None:
        failure = failure_of(error, self._here)
        self._session.reply(application_pb2.RunResult(run_id=self._run_id, failure=failure))


class _Session:
    """The sending half of one client's session."""

    def __init__(
        self,
        context: grpc.aio.ServicerContext[application_pb2.SessionRequests, application_pb2.SessionResponses],
        flush_later: Callable[[_Session], None],
    ) -> None:
        self.unanswered = 0
        self._context = context
        self._flush_later = flush_later
        self._results: Outbox[application_pb2.RunResult] = Outbox(application_pb2.RunResult.ByteSize)
        self._results.open(self._write)

    def reply(self, result: application_pb2.RunResult) -> None:
        """Send a result at the next `flush`."""
        self.unanswered -= 1
        self._results.put(result)
        self._flush_later(self)

    def flush(self) -> None:
        """Begin to send the results."""
        self._results.flush()

    def beat(self) -> None:
        """Show the client that it is served still."""
        self._results.beat()

    async def drain(self) -> None:
        """Wait until every submission is answered and every answer written."""
        while self.unanswered or self._results:
            await asyncio.sleep(DRAIN_POLL_S)
        await self._results.close()

    def cancel(self) -> None:
        """Send nothing more."""
        self._results.cancel()

    async def _write(self, results: list[application_pb2.RunResult]) -> None:
        await self._context.write(application_pb2.SessionResponses(results=results))
