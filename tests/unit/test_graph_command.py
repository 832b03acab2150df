"""What `graph` writes, and where to: of a serialized graph, so that no program has to run."""

from __future__ import annotations

from pathlib import Path

import pytest

from Services.datacenter.command_line import parse
from Services.datacenter.drawing.command import run_graph
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
    drawn(saved, "--out", str(tmp_path / name), *flags)
    assert (tmp_path / name).read_text().startswith(begins)
