"""The README's program, its make targets and the files that it names; its commands are run with those of all pages."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from Services.fractos.config import CODE_ROOT
from tests.applications.conftest import run_python
from tests.applications.pages import blocks, commands
from tests.cluster.conftest import Datacenter, zookeeper_or_skip

README = CODE_ROOT / "README.md"


def test_the_programs_in_the_readme_run(datacenter: Datacenter) -> None:
    pictures, memory = blocks(README, "python")
    for program, output in ((pictures, "Cat 0."), (memory, str(struct.pack("<d", 1.0)))):
        ended = run_python("-c", program, datacenter=datacenter, folder=Path("/"))
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout.startswith(output)


def test_the_make_targets_exist() -> None:
    targets = {command.typed.removeprefix("make ") for command in commands() if command.typed.startswith("make ")}
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
    for path in re.findall(r"`((?:Services|Applications|benchmarks|tests|protos)/[\w/.]+\.py)`", README.read_text()):
        assert (CODE_ROOT / path).is_file(), path
