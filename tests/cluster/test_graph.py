"""`graph`: programs as users write them, drawn without a datacenter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest

from Services.datacenter.drawing.programs import find, graphs_of
from Services.fractos import TaskGraph
from Services.fractos.config import CODE_ROOT
from Services.fractos.errors import FailedPreconditionError, GraphError, InvalidArgumentError
from tests.cluster.conftest import LAUNCHER, until

TEN_LINES = """
from Services.fractos import TaskGraph, connect

with connect() as datacenter:
    graph = TaskGraph("mine")
    number = graph.math.factorial(n=20)
    halved = graph.math.shift_left(value=number.value, bits=1)
    result = datacenter.run(graph, timeout_s=30)
    print(f"{10 / result[halved].value:.1%}", result.trail[0].device_ms, result.bill)
"""


def command(*arguments: str, folder: Path, code: int = 0) -> tuple[str, str]:
    """What `run_datacenter.py graph` prints in some folder."""
    ended = subprocess.run(
        [*LAUNCHER, "graph", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout, ended.stderr


def program(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def names(path: Path, *arguments: str) -> list[str]:
    return [graph.name for graph in graphs_of(path, arguments).graphs]


def test_a_program_of_ten_lines_is_drawn_and_not_run(tmp_path: Path) -> None:
    program(tmp_path, TEN_LINES)
    drawn, said = command("mine.py", folder=tmp_path)
    assert drawn.splitlines()[:5] == [
        "---", 'title: "mine"', "---", "flowchart TD", '  g0s0["<b>factorial</b><br>math<br>n = 20"]',
    ]  # fmt: skip
    assert said == ""


def test_the_ending_of_the_file_says_the_format(tmp_path: Path) -> None:
    program(tmp_path, TEN_LINES)
    assert command("mine.py", "--out", "mine.svg", "--topology", "star", folder=tmp_path) == ("mine.svg is written\n", "")
    assert ElementTree.parse(tmp_path / "mine.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    command("mine.py", "--out", "mine.md", folder=tmp_path)
    assert (tmp_path / "mine.md").read_text().startswith("```mermaid\n---\n")
    _, said = command("mine.py", "--out", "mine.png", folder=tmp_path, code=2)
    assert "no format ends in '.png'; name one: --format mermaid|svg" in said


def test_the_examples_can_be_drawn() -> None:
    drawn = {path.stem: names(path) for path in (CODE_ROOT / "Applications").glob("[!_]*.py")}
    assert drawn == {
        "application_template": ["my application"],
        "face_verification": ["enroll", "verify", "verify", "verify"],
        "image_prediction_application": ["image prediction"],
        "shift_left": ["shift left"],
        "three_devices": ["three devices"] * 3,
    }


def test_a_program_gets_its_arguments() -> None:
    shift = find("shift_left", CODE_ROOT)
    assert len(graphs_of(shift, ["number.txt", "7"]).graphs[0].steps) == 9
    assert names(find("image_prediction_application", CODE_ROOT), "a.jpg", "b.jpg", "--client-id", "ann") == [
        "image prediction",
        "image prediction",
    ]


def test_a_serialized_graph_can_be_drawn(tmp_path: Path) -> None:
    graph = TaskGraph("saved")
    graph.math.factorial(n=1)
    (tmp_path / "saved").write_bytes(graph.serialized())
    assert names(tmp_path / "saved") == ["saved"]
    (tmp_path / "saved").write_bytes(b"this is no graph")
    with pytest.raises(GraphError, match="not a serialized mockdc"):
        names(tmp_path / "saved")


def test_a_file_that_is_not_there_is_named_with_what_is(tmp_path: Path) -> None:
    _, said = command("image_prediction", folder=tmp_path, code=2)
    assert said == (
        "error: there is no file 'image_prediction', and no such program in Applications/;"
        " did you mean image_prediction_application or face_verification?\n"
    )
    with pytest.raises(InvalidArgumentError, match="there is application_template, face_verification"):
        find("x.py", CODE_ROOT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("print('hello')", "mine.py submits no graph; it has to call run"),
        ("def main(:", "mine.py: line 1: SyntaxError"),
        ("\n1 / 0", "mine.py: line 2: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('nothing to do')", "mine.py: it ended with: nothing to do"),
        ("import os, sys; print('oh', file=sys.stderr, flush=True); os._exit(3)", "it ended with exit code 3: oh"),
        ("import argparse; argparse.ArgumentParser().parse_args(['--n'])", r"it ended with exit code 2: usage: (.|\n)*--n"),
        ("import time; time.sleep(600)", "mine.py: it did not end within 3 s, and was stopped"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def graphs():\n    return [1]", "graphs\\(\\) returned 1; it has to return a TaskGraph, or several"),
        (
            "from Services.fractos import TaskGraph, connect\nconnect().run(TaskGraph('empty'))",
            "mine.py: line 2: GraphError: graph 'empty' has no steps",
        ),
    ],
)
def test_a_program_without_a_graph_is_told_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(FailedPreconditionError, match=said):
        graphs_of(program(tmp_path, text), [], timeout_s=3)


def test_what_was_submitted_before_a_program_fails_is_drawn(tmp_path: Path) -> None:
    program(tmp_path, TEN_LINES + "    print(result[halved].values)\n")
    drawn, said = command("mine.py", folder=tmp_path, code=1)
    assert 'title: "mine"' in drawn
    assert "error: the program did not get to its end" in said
    assert "line 10: AttributeError" in said


def test_processes_of_a_program_find_no_datacenter(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(TEN_LINES)
    child = (
        f"import subprocess, sys; sys.exit(subprocess.run({[sys.executable, str(tmp_path / 'child.py')]}, stderr=-1).stderr)"
    )
    found = graphs_of(program(tmp_path, f"{TEN_LINES}{child}\n"), [])
    assert [graph.name for graph in found.graphs] == ["mine"]
    assert "FailedPreconditionError: this program is being drawn" in found.remark


def test_what_a_program_has_started_is_not_waited_for_and_ends(tmp_path: Path) -> None:
    child = f"import subprocess, sys; child = subprocess.Popen({[sys.executable, '-c', 'import time; time.sleep(600)']})"
    number = tmp_path / "number"
    found = graphs_of(
        program(tmp_path, f"{TEN_LINES}{child}\nopen({str(number)!r}, 'w').write(str(child.pid))\n"), [], timeout_s=20
    )
    assert found.remark == ""
    until(lambda: has_ended(int(number.read_text())), "the child to end")


def test_what_the_function_graphs_returns_is_all_that_is_drawn(tmp_path: Path) -> None:
    """Also if the program has no main guard, so that its import submits as well."""
    function = "def graphs(count=2):\n    datacenter.submit(graph)\n    return [graph] * count\n"
    assert names(program(tmp_path, TEN_LINES + function)) == ["mine", "mine"]


def test_a_function_graphs_that_needs_arguments_is_not_asked(tmp_path: Path) -> None:
    for needed in ("count", "*, count"):
        found = graphs_of(program(tmp_path, f"{TEN_LINES}def graphs({needed}):\n    return [graph] * count\n"), [])
        assert ([graph.name for graph in found.graphs], found.remark) == (["mine"], "")


def test_modules_of_the_working_directory_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base64.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs/beside.py").touch()
    monkeypatch.chdir(tmp_path)
    assert names(program(tmp_path / "programs", f"import beside\n{TEN_LINES}")) == ["mine"]


def test_a_program_that_never_stops_submitting_is_stopped(tmp_path: Path) -> None:
    endless = "    while True:\n        datacenter.submit(graph).result()\n"
    found = graphs_of(program(tmp_path, TEN_LINES + endless), [])
    assert len(found.graphs) == 1000
    assert "1000 graphs, and was stopped" in found.remark


def test_memory_is_an_argument_like_any_other(tmp_path: Path) -> None:
    text = """
import numpy
from Services.fractos import TaskGraph, connect
with connect() as datacenter:
    graph = TaskGraph("large")
    data = datacenter.memory(numpy.zeros((3, 4), "float32"))
    graph.output(graph.math.scale(tensor=data, factor=2.0))
    datacenter.run(graph)
    data.release()
"""
    ended = graphs_of(program(tmp_path, text), [])
    assert ended.remark == ""
    assert [graph.name for graph in ended.graphs] == ["large"]
