"""`run_datacenter.py graph`: draws the graphs of a program, or one in a file, before they are submitted."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from protos import fractos_pb2
from Services.datacenter.drawing import mermaid, programs, svg
from Services.datacenter.drawing.graph_drawing import draw_graph
from Services.datacenter.drawing.picture import Picture, picture_of, together
from Services.datacenter.drawing.sequence import planned
from Services.datacenter.drawing.sequence_drawing import draw_sequence
from Services.datacenter.screen import Screen
from Services.fractos.errors import InvalidArgumentError
from Services.fractos.graph import default_catalogue
from Services.fractos.topology import TOPOLOGIES

FORMATS = ("mermaid", "svg")
ENDINGS = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid", ".md": "mermaid"}
DESCRIPTION = """Draws the graphs that a program would submit, or one in a file. Nothing is submitted, and no datacenter is
needed. With --topology it draws the messages instead: how a graph would travel. A program that has a function `graphs`, which
needs no arguments and returns a TaskGraph or several, is imported and asked for them; any other one, or one that is given
arguments, is run with a connection to nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `graph`."""
    parser.add_argument(
        "file",
        metavar="FILE_OR_APP",
        help="a program's file, the name of one in Applications/, or a file with a serialized mockdc.fractos.v1.Graph",
    )
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="ARGUMENT",
        help="for the program, right after it, or last, after a --: those that begin with -",
    )
    parser.add_argument("--format", choices=FORMATS, help="what to write (default: what --out ends in, else mermaid)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to, instead of the standard output")
    parser.add_argument("--topology", choices=TOPOLOGIES, help="draw the messages of a run that travels so")


def run_graph(options: argparse.Namespace, root: Path) -> int:
    """Draw what was asked for. Returns 1 if the program did not get to its end: graphs may be missing.

    Raises InvalidArgumentError without such a file or format, FailedPreconditionError if its program has no graph, GraphError
    if it is no graph, ResourceExhaustedError for graphs that are too large to be drawn.
    """
    kind = _format(options.format, options.out)
    found = programs.graphs_of(programs.find(options.file, root), options.arguments)
    drawn = draw(_pictures(found.graphs), kind, options.topology)
    if options.out is None:
        print(drawn, end="")
    else:
        fenced = kind == "mermaid" and options.out.suffix.lower() == ".md"
        options.out.write_text(f"```mermaid\n{drawn}```\n" if fenced else drawn, encoding="utf-8")
        Screen().say(f"{options.out} is written")
    if found.remark:
        Screen(sys.stderr).say(f"error: the program did not get to its end, so graphs may be missing: {found.remark}")
    return 1 if found.remark else 0


def draw(pictures: Sequence[Picture], kind: str, topology: str | None) -> str:
    """Draw graphs, or with a topology their messages, in one of the `FORMATS`. Raises ResourceExhaustedError."""
    if topology is None:
        return svg.document(list(map(draw_graph, pictures))) if kind == "svg" else mermaid.flowchart(pictures)
    sequences = [planned(picture, topology, default_catalogue()) for picture in pictures]
    return svg.document(list(map(draw_sequence, sequences))) if kind == "svg" else mermaid.sequence_diagram(sequences)


def _format(asked: str | None, out: Path | None) -> str:
    if asked or out is None:
        return asked or FORMATS[0]
    ending = out.suffix.lower()
    if ending not in ENDINGS:
        raise InvalidArgumentError(f"--out {out}: no format ends in {out.suffix!r}; name one: --format {'|'.join(FORMATS)}")
    return ENDINGS[ending]


def _pictures(graphs: Sequence[fractos_pb2.Graph]) -> list[Picture]:
    """A picture for each graph; those that differ in nothing but constant arguments are drawn once."""
    alike: dict[bytes, list[Picture]] = {}
    for graph in graphs:
        alike.setdefault(_shape(graph), []).append(picture_of(graph))
    return [together(same) for same in alike.values()]


def _shape(graph: fractos_pb2.Graph) -> bytes:
    copy = fractos_pb2.Graph.FromString(graph.SerializeToString())
    for step in copy.steps:
        step.ClearField("arguments")
        step.ClearField("memories")
    return copy.SerializeToString(deterministic=True)
