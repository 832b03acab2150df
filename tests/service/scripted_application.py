"""An application node that does what a test says: a real gRPC server, listed in a directory."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc

from protos import application_pb2, application_pb2_grpc, fractos_pb2
from Services.fractos.connection import background_loop
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import Directory, DirectoryRecord
from Services.fractos.graph import TaskGraph
from tests.nodes import Nodes

Answer = Callable[[application_pb2.SubmitRequest], application_pb2.RunResult | None]


class BrokenSessionError(Exception):
    """Raised by an answer: the stream ends with UNAVAILABLE."""


def succeed(request: application_pb2.SubmitRequest) -> application_pb2.RunResult:
    """What a run without outputs is answered."""
    return application_pb2.RunResult(run_id=request.run_id)


def refuse(request: application_pb2.SubmitRequest, retry_after_s: float = 0.02, attempt: int = 0) -> application_pb2.RunResult:
    """No room."""
    failure = fractos_pb2.Failure(
        status="RESOURCE_EXHAUSTED", message="no room", definite=True, retry_after_s=retry_after_s, attempt=attempt
    )
    return application_pb2.RunResult(run_id=request.run_id, failure=failure)


class ScriptedApplication(application_pb2_grpc.ApplicationServicer):
    """Serves sessions; `answer` is called for each submission and may be exchanged at any time."""

    def __init__(self, answer: Answer = succeed) -> None:
        self.answer = answer
        self.serves = threading.Event()  # else a session waits for its first message
        self.serves.set()
        self.refuses = False  # sessions, with UNAVAILABLE
        self.answers_beats = True
        self.beats = 0
        self.sessions = 0  # that were asked for
        self.submissions: list[application_pb2.SubmitRequest] = []
        self.requests: list[str] = []  # "submit" or "cancel", in the order of arrival
        self.messages: list[int] = []  # how many requests came in each
        self.late: list[application_pb2.RunResult] = []  # goes out with the next beat

    def Session(
        self, request_iterator: Iterator[application_pb2.SessionRequests], context: grpc.ServicerContext
    ) -> Iterator[application_pb2.SessionResponses]:
        """One client's session."""
        self.sessions += 1
        if self.refuses:
            context.abort(grpc.StatusCode.UNAVAILABLE, "a standby")
        while not self.serves.wait(0.05):
            if not context.is_active():
                return
        yield application_pb2.SessionResponses()
        for batch in request_iterator:
            self.beats += not batch.requests
            self.messages.append(len(batch.requests))
            try:
                results = [result for request in batch.requests if (result := self._take(request))]
            except BrokenSessionError:
                context.abort(grpc.StatusCode.UNAVAILABLE, "as the test says")
            if results or (not batch.requests and self.answers_beats):
                late, self.late = self.late, []
                yield application_pb2.SessionResponses(results=results + late)

    def _take(self, request: application_pb2.SessionRequest) -> application_pb2.RunResult | None:
        if request.HasField("cancel"):
            self.requests.append("cancel")
            return None
        self.requests.append("submit")
        self.submissions.append(request.submit)
        return self.answer(request.submit)


def quick() -> TaskGraph:
    """A graph to submit; nobody looks into it."""
    graph = TaskGraph("quick")
    graph.math.factorial(n=5)
    return graph


def never(request: application_pb2.SubmitRequest) -> None:
    """No answer."""


def break_session(request: application_pb2.SubmitRequest) -> application_pb2.RunResult:
    """An answer that ends the session."""
    raise BrokenSessionError


@contextmanager
def scripted(root: Path, *applications: ScriptedApplication, record: DirectoryRecord | None = None) -> Iterator[Path]:
    """A datacenter of these application nodes, of which the first one leads: its folder."""
    nodes = Nodes(root, record)
    servers: list[grpc.Server] = []
    directories: list[Directory] = []
    try:
        for application in applications:
            server = grpc.server(ThreadPoolExecutor(4))
            application_pb2_grpc.add_ApplicationServicer_to_server(application, server)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            servers.append(server)
            directories.append(open_directory(nodes.record))
            asyncio.run_coroutine_threadsafe(_list(directories[-1], f"127.0.0.1:{port}"), background_loop()).result()
        yield root
    finally:
        for directory in directories:
            asyncio.run_coroutine_threadsafe(directory.close(), background_loop()).result()
        for server in servers:
            server.stop(0).wait()


async def _list(directory: Directory, address: str) -> None:
    await directory.start()
    await directory.prepare()
    await directory.register("application", None, id=str(uuid.uuid4()), address=address, pid=os.getpid(), log="")
