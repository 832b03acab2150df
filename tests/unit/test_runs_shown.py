"""The list of runs: what of it is left out where there is no room, and that names can do no harm."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from protos import application_pb2
from Services.datacenter.tracing.listing import LONGEST_NAME, runs_table

NOW = 1_700_000_000.0


def info(name: str, **more: str) -> application_pb2.RunInfo:
    made = application_pb2.RunInfo(
        run_id=bytes(12) + b"\xfe\xdc\xba\x98", name=name, topology="fast-star", client=more.get("client", "a-long-client")
    )
    made.state, made.submitted_at, made.ended_at = application_pb2.SUCCEEDED, NOW - 9 * 86400, NOW - 9 * 86400 + 1.5
    made.steps, made.attempt = 1_000_000, 12
    return made


def lines_of(runs: list[application_pb2.RunInfo], width: int | None) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width or 300).print(runs_table(runs, NOW, width))
    return [line.rstrip() for line in output.getvalue().splitlines()]


@pytest.mark.parametrize("width", [200, 120, 80, 64, 50])
def test_in_few_columns_id_state_and_time_stay_whole(width: int) -> None:
    heading, row = lines_of([info("a graph with a name as long as a whole sentence, or longer")], width)
    assert cell_len(row) <= width
    assert row.split()[0] == "fedcba98"
    assert " succeeded" in row
    assert " 1.50 s" in row
    assert heading.split()[:2] == ["run", "graph"]
    assert ("submitted" in heading) == (width >= 80)
    assert ("topology" in heading) == (width >= 200)


@pytest.mark.usefixtures("in_a_zone")
def test_a_pipe_gets_every_column() -> None:
    heading, row = lines_of([info("short")], None)
    assert heading.split() == ["run", "graph", "topology", "client", "state", "submitted", "(ABC)", "took", "steps", "attempts"]
    assert "2023-11-06 00:13:20" in row


def test_names_are_cut() -> None:
    _, row = lines_of([info("n" * 400, client="c" * 400)], None)
    assert f"{'n' * (LONGEST_NAME - 2)}..  fast-star  {'c' * (LONGEST_NAME - 2)}.. " in row


@pytest.mark.parametrize("character", ["\x1b", "\n", "\r", "\x85", "\x9b", "\u2028", "\u202e", "\x07"])
def test_names_cannot_steer_a_terminal(character: str) -> None:
    evil = f"a{character}[2Jb"
    lines = lines_of([info(evil, client=evil)], None)
    assert len(lines) == 2
    assert lines[1].count("a?[2Jb") == 2
