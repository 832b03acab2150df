"""The pages that a reader has, and the commands in them. Blocks of `console` are run by tests; `shell` changes the machine."""

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
BLOCK = re.compile(r"```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
BINARIES = f"{Path(sys.prefix, 'bin')}{os.pathsep}{os.environ['PATH']}"  # Node.js may have come from PyPI


class Command(NamedTuple):
    """What a page tells a reader to type, and what it says comes out."""

    page: str
    typed: str
    shown: str


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of one language in a page."""
    return [block["text"] for block in BLOCK.finditer(page.read_text()) if block["language"] == language]


def commands() -> list[Command]:
    """Every command that is to be run, with its output."""
    found = []
    for page in PAGES:
        for text in blocks(page, "console"):
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                typed, _, shown = part.partition("\n")
                found.append(Command(page.name, typed, shown.strip()))
    return found


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
