"""Has a program say which graphs it would submit, without a datacenter.

A process of its own, started by `programs.py`, since a program may do anything: exit, hang, print. It writes a line of JSON for
each graph as it is submitted, and one for how the program ended. `connect()` gives a connection to nothing: every step of a run
has been done at once, and answers with next to nothing. The processes that the program starts find no datacenter.
"""

from __future__ import annotations

import ast
import base64
import json
import runpy
import sys
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import Services.fractos
from protos import application_pb2, fractos_pb2
from Services.fractos import client
from Services.fractos.config import CODE_ROOT
from Services.fractos.graph import TaskGraph
from Services.fractos.operations import Operation
from Services.fractos.plan import check_timeout, make_plan
from Services.fractos.remote_memory import Memory
from Services.fractos.run_id import new_run_id
from Services.fractos.topology import RING, check_topology
from Services.fractos.values import as_bytes

FUNCTION = "graphs"  # a program may have one, which returns its graph or graphs
MOST_GRAPHS = 1000

Record = Callable[[dict[str, str]], None]


class EnoughError(BaseException):
    """The program has submitted as many graphs as are looked at. No `except Exception` of the program keeps it."""


class RecordingDatacenter(client.Datacenter):
    """What `connect()` returns here."""

    def __init__(self, record: Record) -> None:
        self.root = CODE_ROOT
        self._submitted = record
        self._count = 0

    def submit(
        self,
        graph: TaskGraph,
        *,
        topology: str = RING,
        timeout_s: float = 30.0,
        wait: bool = False,
        traceparent: str | None = None,
    ) -> client.Run:
        """Check a graph as an application node does, record it, and have it done."""
        check_timeout(timeout_s)
        make_plan(graph.serialized(), graph.catalogue, check_topology(topology))
        if self._count == MOST_GRAPHS:
            raise EnoughError
        self._count += 1
        self._submitted({"graph": base64.b64encode(graph.serialized()).decode()})
        outcome: Future[application_pb2.RunResult] = Future()
        run_id = new_run_id()
        outcome.set_result(_done(graph, run_id))
        return client.Run(graph, run_id, timeout_s, _Nowhere(), outcome)  # type: ignore[arg-type]

    def memory(self, value: Any, *, node: str = "") -> Memory:
        """A reference to a value that is not kept."""
        dtype, shape, data = as_bytes(value)
        return _RecordedMemory(_somewhere(data.nbytes, node), dtype, shape, client=None, do=None)  # type: ignore[arg-type]

    def create_memory(self, size_bytes: int, *, node: str = "") -> Memory:
        """A reference to nothing."""
        return _RecordedMemory(_somewhere(size_bytes, node), client=None, do=None)  # type: ignore[arg-type]

    def close(self) -> None:
        """Nothing is open."""


class _RecordedMemory(Memory):
    """Memory that is nowhere."""

    def read(self) -> Any:
        if not self.dtype:
            return bytes(self.memory.size)
        import numpy  # noqa: PLC0415 - only who handles arrays pays for it

        return numpy.zeros(self.shape, self.dtype)

    def publish(self) -> Memory:
        return self

    def copy_from(self, source: Any) -> None:
        """Nothing is copied."""

    def release(self) -> None:
        """Nothing is held."""

    def _with(self, memory: fractos_pb2.Memory, dtype: str, shape: tuple[int, ...]) -> Memory:
        return _RecordedMemory(memory, dtype, shape, client=self.client, do=self.do)


class _Nowhere:
    """The connection of a run that has ended."""

    address = "nowhere"

    def cancel(self, run_id: bytes) -> None:
        """It has ended."""


def _somewhere(size: int, node: str) -> fractos_pb2.Memory:
    capability = fractos_pb2.Capability(links=[b""])  # it can be narrowed, and allows nothing
    return fractos_pb2.Memory(owner=node or "application", object=bytes(16), size=size, capability=capability)


def _done(graph: TaskGraph, run_id: bytes) -> application_pb2.RunResult:
    result = application_pb2.RunResult(run_id=run_id, home="application-0", attempt=1)
    for step in fractos_pb2.Graph.FromString(graph.serialized()).steps:
        operation = graph.catalogue.get(step.operation)
        assert operation is not None  # the plan was checked
        node = step.node or f"{operation.node_type}-0"
        result.trail.add(step=step.id, node=node, attempt=1, output=_answer(operation).SerializeToString())
    return result


def _answer(operation: Operation) -> Any:
    """A response that programs can go on with: integers are 1, so that they can be divided by."""
    response = operation.response_class()
    for name in operation.value_outputs:
        value = getattr(response, name)
        if isinstance(value, fractos_pb2.BigInteger):
            value.magnitude = b"\1"
        else:
            value.MergeFrom(fractos_pb2.Tensor(dtype="float32", shape=[1], data=bytes(4)))
    return response


def run(program: Path, arguments: list[str], record: Record) -> str:
    """Run a program; or import it and ask its function `graphs`, if it has one and no arguments are given: what it submits
    itself is left out then. Returns what went wrong, or "".

    Ends with the program if that says no more than a number: what it has printed, which `programs.py` has, says why.
    """
    connected = RecordingDatacenter(record)

    def connect(path: str | Path | None = None, *, client_id: str = "") -> client.Datacenter:
        return connected

    Services.fractos.connect = client.connect = connect
    sys.argv = [str(program), *arguments]
    sys.path.insert(0, str(program.parent))  # as Python itself does
    try:
        if arguments or not _has_function(program):
            runpy.run_path(str(program), run_name="__main__")
        else:
            connected = RecordingDatacenter(lambda _: None)  # as a rule what it submits are the same graphs
            _record_all(RecordingDatacenter(record), runpy.run_path(str(program), run_name=program.stem)[FUNCTION]())
    except EnoughError:
        return f"it has submitted {MOST_GRAPHS} graphs, and was stopped"
    except SystemExit as ended:
        if isinstance(ended.code, int) and ended.code:
            raise
        return f"it ended with: {ended.code}" if ended.code else ""
    except BaseException as error:  # whatever a program may raise
        return _said(error, program)
    return ""


def _has_function(program: Path) -> bool:
    """Whether it has the function, and that can be called without arguments."""
    tree = ast.parse(program.read_bytes(), str(program))
    return any(isinstance(node, ast.FunctionDef) and node.name == FUNCTION and not _required(node.args) for node in tree.body)


def _required(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    return positional > len(arguments.defaults) or None in arguments.kw_defaults


def _record_all(datacenter: RecordingDatacenter, made: TaskGraph | Iterable[TaskGraph]) -> None:
    for graph in [made] if isinstance(made, TaskGraph) else made:
        if not isinstance(graph, TaskGraph):
            raise TypeError(f"{FUNCTION}() returned {graph!r}; it has to return a TaskGraph, or several")
        datacenter.submit(graph)


def _said(error: BaseException, program: Path) -> str:
    """The error in a line, with the last line of the program that led to it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(program)]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    where = f"line {line}: " if line is not None else ""
    return f"{where}{type(error).__name__}: {error}"


def main() -> None:
    """Run the program that the command line names, after the file for the lines of JSON."""
    record, program, *arguments = sys.argv[1:]
    with Path(record).open("w", buffering=1) as file:  # a line at a time, for what comes before a kill
        said = run(Path(program), arguments, lambda entry: print(json.dumps(entry), file=file))
        print(json.dumps({"end": said}), file=file)
