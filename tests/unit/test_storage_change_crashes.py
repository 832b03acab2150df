"""Changes of files whose process is killed: exactly once, whole, and nothing that was acknowledged is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.killed_storage import NOT_PERMITTED


def kills(root: Path, *arguments: str) -> tuple[int, int]:
    """Run the program, which checks. Returns how many kills there were, and after how many of them a change had happened."""
    command = [sys.executable, "-m", "tests.unit.killed_storage", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False)
    if done.returncode == NOT_PERMITTED:
        pytest.skip("ptrace is not permitted here")
    assert done.returncode == 0, done.stdout + done.stderr
    killed, happened = map(int, done.stdout.split())
    return killed, happened


@pytest.mark.parametrize(
    ("which", "kind", "check"),
    [
        ("first", "append", "repeated"),
        ("later", "write", "repeated"),
        ("later", "delete", "repeated"),
        ("later", "append", "overtaken"),
        ("later", "write", "overtaken"),
        ("later", "delete", "overtaken"),
        ("later", "append", "killed_again"),
        ("later", "delete", "killed_again"),
    ],
)
def test_a_change_that_is_killed_at_any_system_call(tmp_path: Path, which: str, kind: str, check: str) -> None:
    killed, happened = kills(tmp_path / "storage", which, kind, check)
    assert 0 < happened < killed


@pytest.mark.parametrize("seed", ["1", "2"])
def test_appends_writes_and_deletes_that_are_killed_anywhere(tmp_path: Path, seed: str) -> None:
    killed, _ = kills(tmp_path / "storage", "random", seed)
    assert killed > 10
