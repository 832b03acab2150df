"""The log of a process whose output was sent to a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, os, pathlib, sys
from Services.fractos.output import BoundedOutput
logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[BoundedOutput(pathlib.Path(sys.argv[1]), 1000)])
for number in range(100):
    logging.info("logged %d", number)
    os.write(1, b"printed %d\\n" % number)  # as a library in C would
"""


def run(log: Path, output: Path) -> None:
    with output.open("ab") as file:
        subprocess.run([sys.executable, "-c", PROGRAM, log], stdout=file, stderr=file, check=True)


def test_a_log_that_has_grown_too_large_is_begun_anew_and_nothing_is_lost(tmp_path: Path) -> None:
    log = tmp_path / "math-0.log"
    run(log, log)
    old = log.with_name("math-0.log.1")
    assert {path.name for path in tmp_path.iterdir()} == {"math-0.log", "math-0.log.1"}
    assert log.stat().st_size < 1000
    assert 1000 <= old.stat().st_size < 1100
    lines = (old.read_text() + log.read_text()).splitlines()
    expected = [line for number in range(100) for line in (f"logged {number}", f"printed {number}")]
    assert lines == expected[-len(lines) :]
    assert len(lines) > 60


def test_output_that_goes_elsewhere_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    run(tmp_path / "math-0.log", elsewhere)
    assert len(elsewhere.read_text().splitlines()) == 200
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
