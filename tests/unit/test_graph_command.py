"""What `graph` writes, and where to: of a serialized graph, so that no program has to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from protos import fractos_pb2
from Services.datacenter.command_line import parse
from Services.datacenter.drawing import programs
from Services.datacenter.drawing.command import run_graph
from Services.datacenter.drawing.programs import Found
from Services.fractos import TaskGraph


@pytest.fixture
def saved(tmp_path: Path) -> str:
    graph = TaskGraph("saved")
    graph.math.factorial(n=1)
    path = tmp_path / "saved"
    path.write_bytes(graph.serialized())
    return str(path)


def drawn(*arguments: str) -> int:
    root = Path("/datacenter")
    return run_graph(parse(["graph", *arguments], root), root)


@pytest.mark.parametrize(
    ("name", "flags", "begins"),
    [
        ("a.SVG", (), "<svg"),
        ("a.md", (), "```mermaid\n---\n"),
        ("a.MD", (), "```mermaid\n---\n"),
        ("a.md", ("--format", "svg"), "<svg"),
        ("a.svg", ("--format", "mermaid"), "---\n"),
    ],
)
def test_the_format_is_what_is_asked_for_or_what_the_name_ends_in(
    saved: str, name: str, flags: tuple[str, ...], begins: str, tmp_path: Path
) -> None:
    assert drawn(saved, "--out", str(tmp_path / name), *flags) == 0
    assert (tmp_path / name).read_text().startswith(begins)


def test_it_says_what_it_has_written(saved: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drawn(saved, "--out", str(tmp_path / "a.svg"))
    assert capsys.readouterr().out == f"{tmp_path / 'a.svg'} is written\n"


def test_a_program_that_failed_midway_is_drawn_with_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = TaskGraph("half")
    graph.math.factorial(n=1)
    found = Found((fractos_pb2.Graph.FromString(graph.serialized()),), "line 3: ValueError: no")
    monkeypatch.setattr(programs, "graphs_of", lambda *_: found)
    (tmp_path / "a.py").touch()
    assert drawn(str(tmp_path / "a.py")) == 1
    printed = capsys.readouterr()
    assert 'title: "half"' in printed.out
    assert printed.err == "error: the program did not get to its end, so graphs may be missing: line 3: ValueError: no\n"
