"""The graphs of a file: of one that holds a serialized graph, or of a program, which is run without a datacenter."""

from __future__ import annotations

import base64
import difflib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from protos import fractos_pb2
from Services.fractos.config import CODE_ROOT, DRAWN_VARIABLE
from Services.fractos.errors import FailedPreconditionError, InvalidArgumentError
from Services.fractos.graph import default_catalogue
from Services.fractos.plan import make_plan

# The first entry of sys.path, the working directory, goes: a module in it may have the name of one that is needed here.
RECORD = "import sys; sys.path[:] = filter(None, sys.path); from Services.datacenter.drawing import recorder; recorder.main()"
APPLICATIONS = "Applications"
TIMEOUT_S = 30.0
ERROR_LINES = 5  # of what a program has printed as errors


@dataclass(frozen=True)
class Found:
    """The graphs of a file, and what keeps there from being more; empty: nothing."""

    graphs: tuple[fractos_pb2.Graph, ...]
    remark: str = ""


def find(name: str, root: Path) -> Path:
    """The file that is meant: a path, or the bare name of a program in `Applications`. Raises InvalidArgumentError."""
    folders = dict.fromkeys([root / APPLICATIONS, CODE_ROOT / APPLICATIONS])
    for path in (Path(name), *(folder / f"{name.removesuffix('.py')}.py" for folder in folders)):
        if path.is_file():
            return path.resolve()
    known = sorted({path.stem for folder in folders for path in folder.glob("[!_]*.py")})
    near = difflib.get_close_matches(Path(name).stem, known)
    raise InvalidArgumentError(
        f"there is no file {name!r}, and no such program in {APPLICATIONS}/;"
        + (f" did you mean {' or '.join(near)}?" if near else f" there is {', '.join(known) or 'none'}")
    )


def graphs_of(path: Path, arguments: Sequence[str], timeout_s: float = TIMEOUT_S) -> Found:
    """The graphs that a file holds, or that the program in it would submit when it is run with these arguments.

    Raises FailedPreconditionError if a program submits none, GraphError or InvalidArgumentError for a file that is no graph.
    """
    if path.suffix == ".py":
        return _of_program(path, arguments, timeout_s)
    if arguments:
        raise InvalidArgumentError(f"{path.name} is not a program (.py), so it takes no arguments: {' '.join(arguments)}")
    serialized = path.read_bytes()
    make_plan(serialized, default_catalogue())
    return Found((fractos_pb2.Graph.FromString(serialized),))


def _of_program(path: Path, arguments: Sequence[str], timeout_s: float) -> Found:
    entries, said = _record(path, arguments, timeout_s)
    graphs = [fractos_pb2.Graph.FromString(base64.b64decode(entry["graph"])) for entry in entries if "graph" in entry]
    ends = [entry["end"] for entry in entries if "end" in entry]
    end = ends[0] if ends else said
    if not graphs:
        raise FailedPreconditionError(
            f"{path.name}: {end}"
            if end
            else f"{path.name} submits no graph; it has to call run() or submit() of what connect() returns, or to have a"
            " function graphs() that returns its graphs"
        )
    return Found(tuple(graphs), end)


def _record(path: Path, arguments: Sequence[str], timeout_s: float) -> tuple[list[dict[str, str]], str]:
    """What the recorder wrote, and how it ended if it could not say so itself."""
    with tempfile.TemporaryDirectory(prefix="mockdc-graph-") as folder:
        record, errors = Path(folder) / "record", Path(folder) / "errors"
        record.touch()
        with errors.open("wb") as printed:
            recorder = subprocess.Popen(
                [sys.executable, "-c", RECORD, str(record), str(path), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=printed,
                env={**os.environ, "PYTHONPATH": _search_path(), DRAWN_VARIABLE: "1"},
                start_new_session=True,  # a group of its own, which ends as a whole
            )
        try:
            said = f"it ended with exit code {recorder.wait(timeout_s)}"
        except subprocess.TimeoutExpired:
            said = f"it did not end within {timeout_s:g} s, and was stopped"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(recorder.pid, signal.SIGKILL)
            recorder.wait()
        last = "\n".join(errors.read_text(encoding="utf-8", errors="replace").splitlines()[-ERROR_LINES:])
        lines = record.read_text().splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")], f"{said}: {last}" if last else said


def _search_path() -> str:
    return os.pathsep.join(filter(None, [str(CODE_ROOT), os.environ.get("PYTHONPATH")]))
