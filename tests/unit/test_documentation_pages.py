"""The pages of reference follow the code: a new key, operation or error is there by being in the code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from docs import configuration_page, errors_page, operations_page
from Services.fractos.config import CODE_ROOT, CONFIGURATION_FILE
from Services.fractos.errors import BY_STATUS
from Services.fractos.graph import default_catalogue
from Services.fractos.settings_file import Section


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of what the pages are made of."""
    shutil.copy(CODE_ROOT / CONFIGURATION_FILE, tmp_path)
    shutil.copytree(CODE_ROOT / "protos", tmp_path / "protos", ignore=shutil.ignore_patterns("*.py*", "__pycache__"))
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_every_key_is_explained(root: Path) -> None:
    page = configuration_page.page(root)
    assert "| `servers` | an odd number from 1 to 7 | `3` |" in page
    assert "## `[<kind>_controller]`" in page
    assert page.count("| `storage_path` |") == 1


def test_a_new_key_is_picked_up_once_it_is_explained(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A getter that asks for one key more, as a later version of config.py will."""
    numbers: Callable[..., int] = Section.number

    def number(section: Section, key: str, *arguments: int, **flags: bool) -> int:
        if key == "start_timeout_s":
            numbers(section, "stop_timeout_s", 9, 1, 99)
        return numbers(section, key, *arguments, **flags)

    monkeypatch.setattr(Section, "number", number)
    with pytest.raises(ValueError, match=r"\[DataCenter\] stop_timeout_s has no comment above it"):
        configuration_page.page(root)
    change(root / CONFIGURATION_FILE, "[Controllers]", "# How long to wait. Default: 9\n# stop_timeout_s = 5\n[Controllers]")
    assert "| `stop_timeout_s` | a whole number from 1 to 99 | `9` | How long to wait. |" in configuration_page.page(root)


def test_a_default_that_is_not_so_is_refused(root: Path) -> None:
    change(root / CONFIGURATION_FILE, "Default: 120", "Default: 60")
    with pytest.raises(ValueError, match="start_timeout_s is by default 60; it is 120"):
        configuration_page.page(root)


def test_every_operation_has_its_comments(root: Path) -> None:
    page = operations_page.page(root)
    for operation in default_catalogue():
        assert f"### `{operation.path}({', '.join(operation.arguments())}) → " in page
    assert "| output | `probability` | double | of that label, 0.5 to 1 |" in page
    assert "| `state` | `RUNNING`, `SUCCEEDED`, `FAILED`, `CANCELLED` |" in page
    change(root / "protos/cnn.proto", "of that label, 0.5 to 1", "how sure it is")
    assert "how sure it is" in operations_page.page(root)


def test_every_error_has_its_status() -> None:
    page = errors_page.page(CODE_ROOT)
    for status, kind in BY_STATUS.items():
        assert f"| `{kind.__name__}` | `{status}` | " in page
    assert "| `GraphError` (an `InvalidArgumentError`) | `INVALID_ARGUMENT` |" in page
