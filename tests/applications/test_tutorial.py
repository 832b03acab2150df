"""The tutorial, typed from its first chapter to its last in a copy of the project, and compared with what it shows.

A chapter goes on where the one before has stopped, as its readers do: the chapters are tested together.
"""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

from Services.fractos.config import CODE_ROOT, CONFIGURATION_FILE
from tests.applications.pages import BINARIES, CHAPTERS, Command, File, is_as_shown, steps
from tests.cluster.conftest import Datacenter, zookeeper_or_skip

# Not part of the project, but of this copy of it: what was made at run time, and what the chapters do without.
LEFT_OUT = (".*", "__pycache__", "*.egg-info", "node_modules", "logs", "storage", "TrainingData", "Models", "zookeeper[0-9]")
NEEDS_ZOOKEEPER = "3_"
PATIENCE_S = 120.0
END = "the command has ended"
FEW = """
[Controllers]
controller_names = math_controller, storage_controller, application_controller, untouched_controller
"""
REVERSE = """
import numpy
from Services.fractos import TaskGraph, connect
graph = TaskGraph('reverse')
step = graph.untouched.reverse(array=numpy.arange(3))
with connect() as datacenter:
    print(datacenter.run(graph)[step].array)
"""


class Shell:
    """One bash, in which what a chapter says is typed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def type(self, command: str) -> tuple[str, int]:
        """Run a command and return its output, of both kinds, and its exit code."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{{ {command}\n}} < /dev/null\nprintf '\\n{END} %s\\n' $?\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.startswith(END):
                return "".join(lines), int(line.removeprefix(END))
            lines.append(line)
        raise AssertionError(f"bash has ended, or was ended after {PATIENCE_S} s, in: {command}\n{''.join(lines)}")


@contextmanager
def shell(folder: Path) -> Iterator[Shell]:
    """A shell in a copy of the project."""
    environment = {**os.environ, "PATH": BINARIES, "PYTHONPATH": str(folder)}
    environment.pop("MOCKDC_PATH", None)
    with subprocess.Popen(
        ["bash", "--noprofile", "--norc"],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        timer = Timer(PATIENCE_S, process.kill)
        timer.start()
        try:
            yield Shell(process)
        finally:
            timer.cancel()
            process.kill()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datacenter]:
    """A fresh copy of the project with the environment that the tests run in."""
    root = tmp_path_factory.mktemp("tutorial") / "project"
    shutil.copytree(CODE_ROOT, root, ignore=shutil.ignore_patterns(*LEFT_OUT, "apache-zookeeper-*"))
    for archive in CODE_ROOT.glob("apache-zookeeper-*"):
        (root / archive.name).symlink_to(archive)
    (root / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        (root / ".venv" / part.name).symlink_to(part)
    (root / ".venv/.ready").unlink(missing_ok=True)
    os.utime(root / "requirements.txt", (0, 0))
    (root / ".venv/.ready").touch()  # so that `make` installs nothing
    made = Datacenter(root)
    yield made
    made.run("down")
    assert not made.processes()


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_a_chapter_goes_as_it_says(chapter: Path, project: Datacenter) -> None:
    if chapter.name.startswith(NEEDS_ZOOKEEPER):
        for step in steps(chapter):
            if isinstance(step, File):  # the chapters after it need what it writes
                write(project.root / step.path, step)
        zookeeper_or_skip()
    with shell(project.root) as bash, stopped_by_a_failure(project):
        for step in steps(chapter):
            if isinstance(step, File):
                write(project.root / step.path, step)
            else:
                check(step, *bash.type(step.typed))


@pytest.mark.parametrize(
    ("output", "shown", "same"),
    [
        ("a  b\nc\n", "a b\nc", True),
        ("a\n", "a\nb", False),
        ("a\nb\n", "a", False),
        ("a.b\n", "axb", False),
        ("on math-0 took 1,234.5 ms\n", "on math-… took ≈9 ms", True),
        ("on math-0 took long\n", "on math-0 took ≈9 ms", False),
        ("on math-0 took 1 s\n", "on math-0 took ≈9 ms", False),
        ("1\n2\n3\n", "…\n3", True),
        ("3\n", "…\n3", True),
        ("3\n4\n", "…\n3", False),
        ("", "…", True),
        ("a\n", "", False),
    ],
)
def test_what_is_shown_is_compared(output: str, shown: str, same: bool) -> None:
    assert is_as_shown(output, shown) is same


def test_what_new_writes_runs_as_it_is_and_is_rightly_typed(project: Datacenter) -> None:
    written = {step.path for chapter in CHAPTERS for step in steps(chapter) if isinstance(step, File)}
    files = " ".join(sorted(path for path in written if path.endswith(".py")))
    with shell(project.root) as bash, stopped_by_a_failure(project):

        def type_in(command: str) -> str:
            output, code = bash.type(command)
            assert code == 0, output
            return output

        type_in("python3 run_datacenter.py new node untouched")
        type_in("python3 run_datacenter.py new application untouched")
        write(project.root / CONFIGURATION_FILE, File(CONFIGURATION_FILE, FEW))
        type_in("python3 run_datacenter.py up --directory files")
        assert type_in("python3 Applications/untouched.py").startswith("2 * 20! = 4865804016353280000\n")
        assert type_in(f'python3 -c "{REVERSE}"').strip() == "[2 1 0]"
        type_in("python3 run_datacenter.py down")
        type_in(f"python3 -m mypy {files} Services/ComputationalNodes/Untouched Applications/untouched.py")


@contextmanager
def stopped_by_a_failure(project: Datacenter) -> Iterator[None]:
    """Let the next chapter begin as if this one had come to its end."""
    try:
        yield
    except BaseException:
        project.run("down")
        raise


def write(path: Path, file: File) -> None:
    """Do what a reader does with an editor."""
    if path.name != CONFIGURATION_FILE:
        path.write_text(file.text)
        return
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(path)
    settings.read_string(file.text)
    with path.open("w") as opened:
        settings.write(opened)


def check(command: Command, output: str, code: int) -> None:
    assert is_as_shown(output, command.shown), f"$ {command.typed}\n{output}\nis not\n{command.shown}"
    assert code == 0 or command.shown, f"$ {command.typed}\n{output}\nended with {code}"
