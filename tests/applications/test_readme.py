"""What the README tells a reader to type is typed here, and what it shows is compared with what comes out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from Services.fractos.config import CODE_ROOT
from tests.cluster.conftest import Datacenter, zookeeper_or_skip

README = (CODE_ROOT / "README.md").read_text()
BLOCK = re.compile(r"```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)


def console() -> list[tuple[str, str]]:
    """Every command of the README with the output that is shown below it."""
    commands = []
    for block in BLOCK.finditer(README):
        if block["language"] == "console":
            for part in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                commands.append((command, output.strip()))
    return commands


def typed(command: str, root: Path) -> subprocess.CompletedProcess[str]:
    """Run a python3 command of the README for the datacenter in `root`."""
    words = shlex.split(command)
    assert words[0] == "python3"
    where = ["--path", str(root)] if words[1] == "run_datacenter.py" else []
    return subprocess.run(
        [sys.executable, words[1], *where, *words[2:]],
        cwd=CODE_ROOT,
        env={**os.environ, "MOCKDC_PATH": str(root)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("command", "shown"), [one for one in console() if one[0].startswith("python3")])
def test_commands_work_as_shown(command: str, shown: str, datacenter: Datacenter) -> None:
    ended = typed(command, datacenter.root)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert shown in ended.stdout


def test_the_program_in_the_readme_runs(datacenter: Datacenter) -> None:
    (program,) = [block["text"] for block in BLOCK.finditer(README) if block["language"] == "python"]
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd="/",
        env={**os.environ, "MOCKDC_PATH": str(datacenter.root)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Cat 0.")


def test_the_make_targets_exist() -> None:
    targets = {command.removeprefix("make ") for command, _ in console() if command.startswith("make ")}
    assert targets == {"demo", "test"}
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=CODE_ROOT, check=True, capture_output=True)


def test_demo_prints_the_answers_and_leaves_nothing_running(make_datacenter: Callable[..., Datacenter]) -> None:
    zookeeper_or_skip()
    datacenter = make_datacenter(zookeeper=True)
    output = datacenter.run("demo")
    assert re.search(r"^cat_image1\.jpg: Cat \(\d+\.\d%\)$", output, re.MULTILINE)
    assert re.search(r"^dog_image1\.jpg: Dog \(\d+\.\d%\)$", output, re.MULTILINE)
    assert not datacenter.processes()


def test_files_that_the_readme_names_exist() -> None:
    for path in re.findall(r"`((?:Services|Applications|benchmarks|tests|protos)/[\w/.]+\.py)`", README):
        assert (CODE_ROOT / path).is_file(), path
