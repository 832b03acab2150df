"""What an application uses: `connect()` to a datacenter, `run()` or `submit()` a task graph.

with connect() as datacenter:
    result = datacenter.run(graph, timeout_s=30)
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from protos import application_pb2, fractos_pb2
from Services.fractos.authority import Authority
from Services.fractos.candidates import DIRECTORY_TIMEOUT_S, Candidates
from Services.fractos.client_memory import ClientMemory
from Services.fractos.config import CODE_ROOT, Configuration, find_root, load, read_directory_record
from Services.fractos.connection import ANSWER_GRACE_S, Connection, Outcome, background_loop
from Services.fractos.credentials import APPLICATION, load_credentials
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import (
    ConfigurationError,
    Context,
    DeadlineExceededError,
    NotFoundError,
    UnavailableError,
    error_of,
)
from Services.fractos.graph import TaskGraph
from Services.fractos.plan import check_size, check_timeout
from Services.fractos.remote_memory import Memory
from Services.fractos.result import Hop, Result, make_trail
from Services.fractos.run_id import new_run_id
from Services.fractos.topology import RING, check_topology
from Services.fractos.trace_context import TraceContext
from Services.fractos.transport.unary import CAPABILITY
from Services.fractos.values import as_bytes

if TYPE_CHECKING:
    import numpy

DEFAULT_TIMEOUT_S = 30.0
RESULT_GRACE_S = ANSWER_GRACE_S + 1.0  # the connection itself ends what it cannot send, and knows why

T = TypeVar("T")


def connect(path: str | Path | None = None, *, client_id: str = "") -> Datacenter:
    """Connect to a running datacenter: the one in folder `path`; by default the one that the environment variable MOCKDC_PATH
    names, else that of the running script, else of the working directory, else the one that this package belongs to.

    `client_id` says as whom: by default as the one that MOCKDC_CLIENT names, else as "admin". Raises ConfigurationError if
    there is no datacenter there, PermissionDeniedError if it does not know the client, UnavailableError if it does not answer,
    FailedPreconditionError in a process of a program that is being drawn.
    """
    configuration = load(find_root(Path(path)) if path is not None else _default_root())
    record = read_directory_record(configuration)
    if record is None:
        raise UnavailableError(f"the datacenter in {configuration.root} was never started; type: python3 run_datacenter.py")
    return Datacenter(configuration, record, client_id or os.environ.get("MOCKDC_CLIENT") or "admin")


class Run:
    """A run that was submitted."""

    def __init__(self, graph: TaskGraph, run_id: bytes, timeout_s: float, connection: Connection, outcome: Outcome) -> None:
        self._graph = graph
        self._id = run_id
        self._timeout_s = timeout_s
        self._connection = connection
        self._outcome = outcome

    @property
    def run_id(self) -> str:
        """The run's id, 32 hexadecimal digits."""
        return self._id.hex()

    @property
    def trail(self) -> tuple[Hop, ...]:
        """The steps done, in the order in which they finished; known once the run has ended, also if it failed."""
        known = self._outcome.done() and self._outcome.exception() is None
        return make_trail(self._graph, self._outcome.result().trail) if known else ()

    def done(self) -> bool:
        """Whether the run has ended."""
        return self._outcome.done()

    def cancel(self) -> None:
        """Ask for the run to be ended; `result()` then raises RunCancelledError, unless it had ended before."""
        self._connection.cancel(self._id)

    def result(self) -> Result:
        """Wait for the run's end. Raises the one error of `errors.py` that says why it failed."""
        try:
            message = self._outcome.result(self._timeout_s + RESULT_GRACE_S)
        except FutureTimeoutError:
            raise DeadlineExceededError(
                f"the application node at {self._connection.address} did not answer in time; see its log",
                definite=False,
                context=Context(run_id=self.run_id, attempt=1),
            ) from None
        if message.HasField("failure"):
            raise error_of(message.failure, self._id)
        return Result(self._graph, message)


class Datacenter:
    """A connection to a datacenter. May be used from several threads. Close it, or use it in a `with` statement.

    It outlives the application node that it uses: what is unanswered then is submitted again to the next one that answers.
    """

    def __init__(self, configuration: Configuration, record: DirectoryRecord, client_id: str = "admin") -> None:
        """Connect. Raises UnavailableError if no application node answers, PermissionDeniedError if it refuses the client."""
        self.root = configuration.root
        self._authority = _authority(configuration, client_id)
        self._record = record
        self._connection = self._do(_connected(record, self._authority))
        self._memory: ClientMemory = self._do(_client_memory())

    def run(
        self,
        graph: TaskGraph,
        *,
        topology: str = RING,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        wait: bool = False,
        traceparent: str | None = None,
    ) -> Result:
        """Run a graph and wait for its end. Interrupted with Ctrl-C, it cancels the run.

        Raises the one error of `errors.py` that says why the run failed.
        """
        run = self.submit(graph, topology=topology, timeout_s=timeout_s, wait=wait, traceparent=traceparent)
        try:
            return run.result()
        except KeyboardInterrupt:
            run.cancel()
            raise

    def submit(
        self,
        graph: TaskGraph,
        *,
        topology: str = RING,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        wait: bool = False,
        traceparent: str | None = None,
    ) -> Run:
        """Start a graph, to end within `timeout_s` seconds, and return at once.

        If the datacenter has no room for the run, it fails with a ResourceExhaustedError; with `wait` it is submitted again, in
        its turn, until it is let in or half of `timeout_s` is over. Without an application node it waits for one in any case.

        `topology` is "ring", "fast-star" or "star": how the run travels, see topology.py. Its outputs are the same.

        `traceparent` (W3C Trace Context) names the span that the run is a part of, by default the current one of a program that
        uses OpenTelemetry. A malformed one is ignored.

        Raises InvalidArgumentError for an impossible timeout or topology, ResourceExhaustedError for a graph that is too large
        to travel, UnavailableError after `close()`.
        """
        check_timeout(timeout_s)
        topology = check_topology(topology)
        serialized = self._authority.graph(graph) if self._authority is not None else graph.serialized()
        check_size(serialized)
        run_id = new_run_id()
        request = application_pb2.SubmitRequest(run_id=run_id, timeout_s=timeout_s, graph=serialized, topology=topology)
        request.traceparent = _current_traceparent() if traceparent is None else traceparent
        return Run(graph, run_id, timeout_s, self._connection, self._connection.submit(request, wait=wait))

    def memory(self, value: numpy.ndarray | bytes | bytearray | memoryview, *, node: str = "") -> Memory:
        """Leave an array or bytes at a node, `node` or else the application node, to be an argument of any number of graphs.

        It stays there until it is released or this datacenter is closed. Raises ResourceExhaustedError if the node has no room,
        InvalidArgumentError for an array of objects, NotFoundError if there is no such node.
        """
        dtype, shape, data = as_bytes(value)
        memory = self._do(self._create(node, data.nbytes, data))
        return Memory(memory, dtype, shape, client=self._memory, do=self._do)

    def create_memory(self, size_bytes: int, *, node: str = "") -> Memory:
        """Make room for bytes at a node. Write it with `copy_from`, then `publish` it. Raises as `memory` does."""
        return Memory(self._do(self._create(node, size_bytes, None)), client=self._memory, do=self._do)

    def close(self) -> None:
        """Disconnect. Runs that have begun go on; cancellations that were asked for are sent first. Frees this one's Memory."""
        self._do(self._connection.close())
        self._do(self._memory.close())

    def __enter__(self) -> Datacenter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def _create(self, node: str, size: int, data: memoryview | None) -> fractos_pb2.Memory:
        service, address = node.rpartition("-")[0] or APPLICATION, self._connection.address
        if node:
            address = await _address_of(self._record, node)
        capability = self._authority.capability(service) if self._authority is not None else None
        return await self._memory.create(address, size, capability, data)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the background loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, background_loop()).result()


async def _client_memory() -> ClientMemory:
    return ClientMemory()  # on the loop that it lives on


async def _address_of(record: DirectoryRecord, name: str) -> str:
    """Where a node listens. Raises NotFoundError."""
    directory = open_directory(record)
    try:
        await directory.start(DIRECTORY_TIMEOUT_S)
        members = {member.name: member.address for member in directory.members()}
    finally:
        await directory.close()
    if name not in members:
        raise NotFoundError(f"there is no node {name!r}; there is {', '.join(sorted(members)) or 'none'}", field="node")
    return members[name]


def _authority(configuration: Configuration, client_id: str) -> Authority | None:
    """What the client may do; None where everybody may do everything."""
    if configuration.authorization == "open":
        return None
    credentials = load_credentials(configuration, client_id)
    return Authority(credentials.client_id, credentials.capabilities, time.time, secrets.token_bytes)


async def _connected(record: DirectoryRecord, authority: Authority | None) -> Connection:
    metadata = ((CAPABILITY, authority.capability(APPLICATION).SerializeToString()),) if authority is not None else ()
    connection = Connection(Candidates(record), metadata=metadata)
    await connection.open()
    return connection


def _current_traceparent() -> str:
    """The span that OpenTelemetry says this code runs in; empty without, and in a program that does not use it."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return ""
    span = api.get_current_span().get_span_context()
    return str(TraceContext(span.trace_id, span.span_id, span.trace_flags)) if span.is_valid else ""


def _default_root() -> Path:
    """The datacenter that MOCKDC_PATH names, else that of the running script, of the working directory, of this package."""
    if named := os.environ.get("MOCKDC_PATH"):
        return find_root(Path(named))
    for start in (Path(sys.argv[0] or "."), Path.cwd()):
        try:
            return find_root(start)
        except ConfigurationError:
            continue
    return CODE_ROOT
