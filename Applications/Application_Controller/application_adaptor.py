"""The Adaptor of an application node: the calls of `protos/application.proto` on one side, the engine's runs on the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc

from protos import application_pb2, application_pb2_grpc
from Services.fractos.controller import Controller
from Services.fractos.errors import Context, FractosError, failure_of
from Services.fractos.events import Accepted, CancelAsked, Refused, RunEnded, Submitted
from Services.fractos.runs import Run, Runs
from Services.fractos.transport.streams import Outbox
from Services.fractos.transport.unary import translated_errors

DEFAULT_LIST_LIMIT = 100
DRAIN_POLL_S = 0.01

Reply = Callable[[application_pb2.RunResult], None]


class ApplicationAdaptor(application_pb2_grpc.ApplicationServicer):
    """Hands submissions to the engine, and its answers to whoever waits for them. Lives on the Controller's event loop."""

    def __init__(self) -> None:
        self._controller: Controller
        self._runs: Runs
        self._waiting: dict[bytes, list[Reply]] = {}
        self._refusal: FractosError | None = None
        self._to_flush: set[_Session] = set()

    def attach(self, controller: Controller, server: grpc.aio.Server) -> None:
        """Offer the service on `server` through this Controller, whose engine has runs."""
        assert controller.engine.runs is not None
        application_pb2_grpc.add_ApplicationServicer_to_server(self, server)
        self._controller = controller
        self._runs = controller.engine.runs

    def answer(self, effect: Accepted | Refused | RunEnded) -> None:
        """Take an answer of the engine; it leaves at the next `flush`."""
        if isinstance(effect, RunEnded):
            for reply in self._waiting.pop(effect.result.run_id, ()):
                reply(effect.result)
        elif isinstance(effect, Refused):
            self._refusal = effect.error

    def flush(self) -> None:
        """Begin to send the answers that were taken."""
        while self._to_flush:
            self._to_flush.pop().flush()

    async def Submit(
        self,
        request: application_pb2.SubmitRequest,
        context: grpc.aio.ServicerContext[application_pb2.SubmitRequest, application_pb2.SubmitResponse],
    ) -> application_pb2.SubmitResponse:
        """Start a run."""
        async with translated_errors(context, self._controller):
            self._submit(request)
        return application_pb2.SubmitResponse()

    async def Watch(
        self,
        request: application_pb2.WatchRequest,
        context: grpc.aio.ServicerContext[application_pb2.WatchRequest, application_pb2.WatchResponse],
    ) -> AsyncIterator[application_pb2.WatchResponse]:
        """Stream a run's state until it has ended."""
        async with translated_errors(context, self._controller):
            run = self._runs.find(request.run_id)
            if run.result is None:
                # Whoever waits has to be known before the first await: the run may end during it.
                async with self._end_of(run) as ended:
                    yield application_pb2.WatchResponse(state=run.state)
                    await ended.wait()
            yield application_pb2.WatchResponse(state=run.state, result=run.result)

    async def Cancel(
        self,
        request: application_pb2.CancelRequest,
        context: grpc.aio.ServicerContext[application_pb2.CancelRequest, application_pb2.CancelResponse],
    ) -> application_pb2.CancelResponse:
        """End a run."""
        async with translated_errors(context, self._controller):
            run = self._runs.find(request.run_id)
            running = run.result is None
            self._controller.feed(CancelAsked(request.run_id))
        return application_pb2.CancelResponse(cancelled=running)

    async def ListRuns(
        self,
        request: application_pb2.ListRunsRequest,
        context: grpc.aio.ServicerContext[application_pb2.ListRunsRequest, application_pb2.ListRunsResponse],
    ) -> application_pb2.ListRunsResponse:
        """Describe the runs in flight and those that ended lately."""
        runs = self._runs.newest(request.limit or DEFAULT_LIST_LIMIT)
        return application_pb2.ListRunsResponse(runs=[_info(run) for run in runs])

    async def Session(
        self,
        request_iterator: object,
        context: grpc.aio.ServicerContext[application_pb2.SessionRequests, application_pb2.SessionResponses],
    ) -> None:
        """Serve one client's submissions. Ends when the client has closed its half and all of its runs are answered.

        The runs of a client that disappears go on without it.
        """
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
                            self._submit_in_session(request.submit, session)
                        else:
                            self._controller.feed(CancelAsked(request.cancel.run_id))
            await session.drain()
        finally:
            session.cancel()

    def _submit(self, request: application_pb2.SubmitRequest) -> None:
        """Have the engine take a run, at once. Raises its refusal."""
        self._refusal = None
        self._controller.feed(Submitted(request))
        if self._refusal is not None:
            raise self._refusal

    def _submit_in_session(self, request: application_pb2.SubmitRequest, session: _Session) -> None:
        session.unanswered += 1
        try:
            self._submit(request)
        except FractosError as error:
            identity = self._controller.engine.identity
            failure = failure_of(error, Context(node=identity.name, log_file=identity.log))
            session.reply(application_pb2.RunResult(run_id=request.run_id, failure=failure))
        else:
            # No answer can have come yet: that takes at least a Completion, which is an event of its own.
            self._waiting.setdefault(request.run_id, []).append(session.reply)

    @asynccontextmanager
    async def _end_of(self, run: Run) -> AsyncIterator[asyncio.Event]:
        """An event that is set when the run, which has not ended yet, ends."""
        ended = asyncio.Event()

        def reply(result: application_pb2.RunResult) -> None:
            ended.set()

        replies = self._waiting.setdefault(run.run_id, [])
        replies.append(reply)
        try:
            yield ended
        finally:
            replies.remove(reply)


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


def _info(run: Run) -> application_pb2.RunInfo:
    return application_pb2.RunInfo(
        run_id=run.run_id,
        name=run.plan.name,
        state=run.state,
        submitted_at=run.submitted_at,
        deadline=run.deadline,
        ended_at=run.ended_at,
        steps=len(run.plan.steps),
    )
