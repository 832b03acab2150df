"""What the README and the pages of `docs/` tell a reader to type is typed here, and compared with what they show."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from Services.fractos.config import CODE_ROOT, CONFIGURATION_FILE
from tests.applications.pages import PAGES, Command, blocks, commands, program_or_skip, type_in
from tests.cluster.conftest import Datacenter

TROUBLESHOOTING = CODE_ROOT / "docs/troubleshooting.md"
LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
ELLIPSIS = "…"


@pytest.mark.parametrize("command", [one for one in commands() if not one.typed.startswith("make ")], ids=lambda one: one.typed)
def test_commands_work_as_shown(command: Command, datacenter: Datacenter) -> None:
    ended = type_in(command.typed, datacenter.root)
    fails = command.page == TROUBLESHOOTING.name and bool(command.shown)
    assert ended.returncode == (1 if fails else 0), ended.stdout + ended.stderr
    assert command.shown in (ended.stderr if fails else ended.stdout)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for file, heading in LINK.findall(page.read_text()):
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name} → {file}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


def shown_part(part: ast.expr) -> str:
    """A part of an f-string as a reader sees it."""
    if isinstance(part, ast.Constant):
        return str(part.value)
    return CONFIGURATION_FILE if "CONFIGURATION_FILE" in ast.dump(part) else ELLIPSIS


def said_in_the_code() -> list[str]:
    """Every text in the code, with an ellipsis for what is filled in."""
    texts = []
    for folder in ("Services", "Applications"):
        for path in (CODE_ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.JoinedStr):
                    texts.append("".join(map(shown_part, node.values)))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return [text.replace("`", "") for text in texts]


def quoted_messages() -> list[str]:
    readme = re.findall(
        r"^\| `([^|]*)`[^|`]* \|", (CODE_ROOT / "README.md").read_text().partition("## Troubleshooting")[2], re.M
    )
    return readme + re.findall(r"^### `(.*)`$", TROUBLESHOOTING.read_text(), re.M)


@pytest.mark.parametrize("message", quoted_messages())
def test_messages_are_those_of_the_code(message: str) -> None:
    pieces = [re.escape(piece.strip()) for piece in message.split(ELLIPSIS) if piece.strip()]
    pattern = re.compile(".*".join(pieces), re.DOTALL)
    assert any(pattern.search(text) for text in said_in_the_code())


def changes_to_the_machine() -> list[str]:
    return [line for page in PAGES for text in blocks(page, "shell") for line in text.splitlines()]


def test_debian_has_the_packages() -> None:
    (line,) = [line for line in changes_to_the_machine() if "apt-get install" in line]
    if not shutil.which("apt-get"):
        pytest.skip("this is no Debian or Ubuntu")
    packages = shlex.split(line)[3:]
    listed = subprocess.run(["apt-cache", "policy", *packages], capture_output=True, text=True, check=True).stdout
    if not re.search(r"^git:", listed, re.MULTILINE) and not os.environ.get("CI"):
        pytest.skip("apt has no lists; type: apt-get update")
    assert set(re.findall(r"^(\S+):$", listed, re.MULTILINE)) == set(packages)


def test_make_knows_every_target() -> None:
    lines = [*changes_to_the_machine(), *(command.typed for command in commands())]
    texts = " ".join(page.read_text() for page in PAGES)
    targets = {shlex.split(line)[1] for line in lines if line.startswith("make ")}
    targets |= set(re.findall(r"`make ([\w-]+)", texts))
    assert targets >= {"demo", "test", "docs", "check", "nodejs", "test-lowest"}
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=CODE_ROOT, check=True, capture_output=True)


def test_completion_is_set_up_as_shown(tmp_path: Path) -> None:
    (line,) = [line for line in changes_to_the_machine() if line.startswith("eval")]
    for shell, ask in (("bash", "complete -p python3"), ("zsh", "whence _shtab_run_datacenter_py")):
        program = program_or_skip(shell)
        prepare = "autoload -Uz compinit; compinit -u -D; " if shell == "zsh" else ""
        ended = subprocess.run(
            [program, "-c", f"{prepare}{line.replace('bash', shell)}; {ask}"],
            cwd=CODE_ROOT,
            env={**os.environ, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        assert "run_datacenter" in ended.stdout
