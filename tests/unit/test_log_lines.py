"""Lines of a log, as text and as JSON: each event is one entry that says what it is about, and is read as it was written."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from Services.fractos.log_lines import FORMS, LineReader, about, formatter

RUN = bytes(range(16))


def record(message: str, *, level: int = logging.WARNING, error: Exception | None = None, **extra: Any) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error is not None else None
    made = logging.getLogger("Services.device").makeRecord("Services.device", level, "", 0, message, (), info, extra=extra)
    made.created = 1_700_000_000.25
    return made


def raised() -> Exception:
    try:
        raise ValueError("no such\nthing")
    except ValueError as error:
        return error


def test_a_text_line_says_when_where_and_what_it_is_about() -> None:
    text = formatter("text", "math-0").format(record("step failed", **about(RUN, 2, 0, "math.power")))
    assert text.endswith(
        f".250000 WARNING math-0 Services.device step failed run_id={RUN.hex()} attempt=2 step=0 operation=math.power"
    )


def test_a_json_line_has_the_same_as_fields_and_only_those_that_are_known() -> None:
    line = json.loads(formatter("json", "math-0").format(record("step failed", **about(RUN, 2, 0, "math.power"))))
    assert line == {
        "time": "2023-11-14T22:13:20.250000+00:00",
        "level": "WARNING",
        "node": "math-0",
        "logger": "Services.device",
        "message": "step failed",
        "run_id": RUN.hex(),
        "attempt": 2,
        "step": 0,
        "operation": "math.power",
    }
    assert json.loads(formatter("json", "math-0").format(record("ready", **about(b"")))).keys() == {
        "time", "level", "node", "logger", "message",
    }  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_is_read_again(form: str) -> None:
    write, reader = formatter(form, "math-0"), LineReader()
    line = reader.read(write.format(record("failed", **about(RUN))))
    assert (line.at, line.level, line.run_id) == (1_700_000_000.25, logging.WARNING, RUN.hex())
    assert reader.read(write.format(record("ready", level=logging.INFO)))[:3] == (1_700_000_000.25, logging.INFO, "")


def test_a_traceback_belongs_to_its_entry() -> None:
    text = formatter("text", "math-0").format(record("failed", error=raised(), **about(RUN)))
    reader = LineReader()
    lines = [reader.read(line) for line in text.splitlines()]
    assert len(lines) > 3
    assert {(line.at, line.level, line.run_id) for line in lines} == {(1_700_000_000.25, logging.WARNING, RUN.hex())}
    assert lines[0].text.endswith(f"failed run_id={RUN.hex()}")
    in_json = formatter("json", "math-0").format(record("failed", error=raised()))
    assert "\n" not in in_json
    assert "ValueError: no such\nthing" in json.loads(in_json)["exception"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ["\n", "\r", "\u2028"])
def test_no_message_can_pretend_to_be_another_entry(form: str, end: str) -> None:
    forged = formatter("text", "math-1").format(record("all is well", level=logging.INFO, **about(bytes(16))))
    reader = LineReader()
    lines = [reader.read(line) for line in formatter(form, "math-0").format(record(f"name{end}{forged}")).splitlines()]
    assert {(line.level, line.run_id) for line in lines} == {(logging.WARNING, "")}


def test_what_nobody_formatted_is_read_as_part_of_what_came_before() -> None:
    reader = LineReader()
    assert reader.read("Java says something") == (0.0, 0, "", "Java says something")
    assert reader.read('{"time": 3}').level == 0
    assert reader.read("2026-11-25 16:00:00,123 ERROR Services.old an older version wrote this").level == logging.ERROR
    assert reader.read("Traceback").level == logging.ERROR


PROGRAM = """
import logging, pathlib, sys
from Services.fractos.output import LogSettings, log_to_output
log_to_output(pathlib.Path("logs/math-0.log"), LogSettings(form="json", level=sys.argv[1]))
for name in ("Services.fractos.engine", "kazoo.client", "asyncio"):
    for level in ("debug", "info", "warning"):
        getattr(logging.getLogger(name), level)("%s %s", name, level)
"""


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        ("DEBUG", "engine debug, engine info, engine warning, client warning, asyncio info, asyncio warning"),
        ("INFO", "engine info, engine warning, client warning, asyncio info, asyncio warning"),
        ("ERROR", ""),
    ],
)
def test_a_level_counts_for_all_but_others_tell_nothing_below_theirs(level: str, logged: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, level], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert ", ".join(line["message"].rpartition(".")[2] for line in lines) == logged
    assert {line["node"] for line in lines} <= {"math-0"}
