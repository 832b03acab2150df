"""The pages that a reader has, and the commands in them. Blocks of `console` are run by tests; `shell` changes the machine.

What differs from one reader to another stands as … in what is shown, or as ≈ before a number; the chapters of the tutorial say
so to their readers.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from Services.fractos.config import CODE_ROOT

PAGES = [CODE_ROOT / "README.md", *sorted((CODE_ROOT / "docs").rglob("*.md"))]
CHAPTERS = sorted((CODE_ROOT / "docs/tutorial").glob("[1-9]_*.md"))
BLOCK = re.compile(r"(?:`(?P<file>[\w./]+)`:\n\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
VARIABLE = re.compile(r"…|≈[\d.,]+")
BINARIES = f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}"  # Node.js may have come from PyPI


class Command(NamedTuple):
    """What a page tells a reader to type, and what it says comes out."""

    page: str
    typed: str
    shown: str


class File(NamedTuple):
    """What a chapter tells a reader to write into a file; of one in the INI form just some keys."""

    path: str
    text: str


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of one language in a page."""
    return [block["text"] for block in BLOCK.finditer(page.read_text()) if block["language"] == language]


def commands() -> list[Command]:
    """Every command that is to be run by itself, with its output."""
    return [one for page in PAGES if page not in CHAPTERS for text in blocks(page, "console") for one in _commands(page, text)]


def steps(chapter: Path) -> list[Command | File]:
    """What a chapter of the tutorial tells a reader to do, in this order."""
    found: list[Command | File] = []
    for block in BLOCK.finditer(chapter.read_text()):
        if block["language"] == "console":
            found += _commands(chapter, block["text"])
        elif block["file"]:
            found.append(File(block["file"], block["text"]))
    return found


def _commands(page: Path, text: str) -> list[Command]:
    parts = [part.partition("\n") for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]]
    return [Command(page.name, typed, shown.strip()) for typed, _, shown in parts]


def is_as_shown(output: str, shown: str) -> bool:
    """Whether an output is what a page shows. A line of … alone stands for any lines; spaces in a row count as one."""
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    pattern = "".join(r"(?:.*\n)*" if line == "…" else f"{_pattern(line)}\n" for line in lines)
    return bool(re.fullmatch(pattern, "".join(" ".join(line.split()) + "\n" for line in output.strip().splitlines())))


def _pattern(line: str) -> str:
    variable = [".*" if part == "…" else r"[\d.,]+" for part in VARIABLE.findall(line)]
    fixed = [re.escape(part) for part in VARIABLE.split(line)]
    return fixed[0] + "".join(one + other for one, other in zip(variable, fixed[1:], strict=True))


def type_in(typed: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of a page for the datacenter in `root`."""
    words = shlex.split(typed)
    environment = {**os.environ, "PATH": BINARIES, "MOCKDC_PATH": str(root)}
    while match := re.fullmatch(r"(\w+)=(.*)", words[0]):
        environment[match[1]] = match[2]
        del words[0]
    if words[0] == "python3":
        where = ["--path", str(root)] if words[1] == "run_datacenter.py" else []
        words = [sys.executable, words[1], *where, *words[2:]]
    else:
        words[0] = program_or_skip(words[0])
    return subprocess.run(
        words,
        cwd=CODE_ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def program_or_skip(name: str) -> str:
    """The path of a program; without it, or its packages, the test is skipped, but fails where CI runs."""
    program = shutil.which(name, path=BINARIES)
    packages = CODE_ROOT / "Applications/plain_grpc/nodejs/node_modules"
    if program and (name != "node" or packages.is_dir()):
        return program
    missing = f"{name} or its packages are not there; type: make nodejs"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
