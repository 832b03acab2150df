"""What an application uses: `connect()` to a datacenter, `run()` or `submit()` a task graph.

with connect() as datacenter:
    result = datacenter.run(graph, timeout_s=30)
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from protos import application_pb2
from Services.fractos.config import CODE_ROOT, Configuration, find_root, load, read_directory_record
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import DirectoryRecord, Member
from Services.fractos.errors import ConfigurationError, Context, DeadlineExceededError, UnavailableError, error_of
from Services.fractos.graph import TaskGraph
from Services.fractos.plan import check_size, check_timeout
from Services.fractos.result import Hop, Result, make_trail
from Services.fractos.session import Outcome, Session, background_loop

DEFAULT_TIMEOUT_S = 30.0
DIRECTORY_TIMEOUT_S = 5.0
ANSWER_GRACE_S = 5.0  # the application node answers by the run's deadline; this much later it has to be gone

T = TypeVar("T")


def connect(path: str | Path | None = None) -> Datacenter:
    """Connect to a running datacenter: the one in folder `path`; by default the one that the environment variable MOCKDC_PATH
    names, else that of the running script, else of the working directory, else the one that this package belongs to.

    Raises ConfigurationError if there is no datacenter there, UnavailableError if it does not answer.
    """
    configuration = load(find_root(Path(path)) if path is not None else _default_root())
    record = read_directory_record(configuration)
    if record is None:
        raise UnavailableError(f"the datacenter in {configuration.root} was never started; type: python3 run_datacenter.py")
    return Datacenter(configuration, record)


class Run:
    """A run that was submitted."""

    def __init__(self, graph: TaskGraph, run_id: bytes, timeout_s: float, session: Session, outcome: Outcome) -> None:
        self._graph = graph
        self._id = run_id
        self._timeout_s = timeout_s
        self._session = session
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
        self._session.cancel(self._id)

    def result(self) -> Result:
        """Wait for the run's end. Raises the one error of `errors.py` that says why it failed."""
        try:
            message = self._outcome.result(self._timeout_s + ANSWER_GRACE_S)
        except FutureTimeoutError:
            raise DeadlineExceededError(
                f"the application node at {self._session.address} did not answer in time; see its log",
                definite=False,
                context=Context(run_id=self.run_id, attempt=1),
            ) from None
        if message.HasField("failure"):
            raise error_of(message.failure, self._id)
        return Result(self._graph, message)


class Datacenter:
    """A connection to a datacenter. May be used from several threads. Close it, or use it in a `with` statement."""

    def __init__(self, configuration: Configuration, record: DirectoryRecord) -> None:
        """Connect. Raises UnavailableError if no application node answers."""
        self.root = configuration.root
        self._record = record
        self._closed = False
        self._lock = threading.Lock()
        self._session = self._do(self._open())

    def run(self, graph: TaskGraph, *, topology: str = "ring", timeout_s: float = DEFAULT_TIMEOUT_S) -> Result:
        """Run a graph and wait for its end. Interrupted with Ctrl-C, it cancels the run.

        Raises the one error of `errors.py` that says why the run failed.
        """
        run = self.submit(graph, topology=topology, timeout_s=timeout_s)
        try:
            return run.result()
        except KeyboardInterrupt:
            run.cancel()
            raise

    def submit(self, graph: TaskGraph, *, topology: str = "ring", timeout_s: float = DEFAULT_TIMEOUT_S) -> Run:
        """Start a graph, to end within `timeout_s` seconds, and return at once.

        Raises InvalidArgumentError for an impossible timeout, ResourceExhaustedError for a graph that is too large to travel.
        """
        check_timeout(timeout_s)
        serialized = graph.serialized()
        check_size(serialized)
        run_id = os.urandom(16)
        request = application_pb2.SubmitRequest(run_id=run_id, timeout_s=timeout_s, graph=serialized, topology=topology)
        session = self._live_session()
        return Run(graph, run_id, timeout_s, session, session.submit(request))

    def close(self) -> None:
        """Disconnect. Runs that have not ended go on; cancellations that were asked for are sent first."""
        with self._lock:
            self._closed = True
        self._do(self._session.close())

    def __enter__(self) -> Datacenter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _live_session(self) -> Session:
        """The session, or a new one if it broke: with whichever application node answers now."""
        with self._lock:
            if self._closed:
                raise UnavailableError("this connection was closed; connect() again")
            if self._session.is_broken():
                self._session = self._do(self._open())
            return self._session

    async def _open(self) -> Session:
        """Connect to the first application node that answers, in the order in which they lead."""
        directory = open_directory(self._record)
        try:
            await directory.start(DIRECTORY_TIMEOUT_S)
            nodes = [member for member in directory.members() if member.node_type == "application"]
        finally:
            await directory.close()
        return await _first_that_answers(nodes, self._record)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the background loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, background_loop()).result()


async def _first_that_answers(nodes: list[Member], record: DirectoryRecord) -> Session:
    reasons = []
    for node in nodes:
        try:
            return await Session.open(node.address)
        except UnavailableError as error:
            reasons.append(f"{node.name}: {error.message}")
    raise UnavailableError(
        f"no application node of datacenter {record.datacenter!r} answers ({'; '.join(reasons) or 'none is listed'});"
        " is it running? Start it: python3 run_datacenter.py"
    )


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
