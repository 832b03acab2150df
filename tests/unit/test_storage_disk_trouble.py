"""Full and read-only disks, processes with too many files open: a typed error, nothing torn, and it goes on afterwards."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from Services.fractos.errors import FailedPreconditionError, FractosError, ResourceExhaustedError
from Services.StorageNode.Node.files import Files
from tests.unit.storage_steps import step
from tests.unit.test_storage_files import limited

OLD, LARGE = b"old" * 1000, b"x" * 300_000
DISK_BYTES = 600_000


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mount a file system there until the block ends. Skips the test where this process may not mount."""
    if subprocess.run(["mount", *options, str(folder)], check=False, capture_output=True).returncode:
        pytest.skip("may not mount file systems here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A storage folder on a disk of its own, a small one."""
    folder = tmp_path / "storage"
    folder.mkdir()
    with mounted(folder, "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs"):
        yield folder


def started(root: Path) -> Files:
    files = Files(root)
    files.start()
    files.recover()
    return files


# Each leaves `a` as LARGE if it is done.
CHANGES: dict[str, Callable[[Files], object]] = {
    "write": lambda files: files.write("admin", "a", LARGE),
    "write for a step": lambda files: files.write("admin", "a", LARGE, step=step("run/1")),
    "append for a step": lambda files: files.append("admin", "a", LARGE[len(OLD) :].decode(), step("run/1")),
}
DELETES: dict[str, Callable[[Files], object]] = {
    "delete": lambda files: files.delete("admin", "a"),
    "delete for a step": lambda files: files.delete("admin", "a", step("run/1")),
}
RESULTS = {"write": LARGE, "write for a step": LARGE, "append for a step": OLD + LARGE[len(OLD) :]}


def assert_untouched(files: Files, root: Path) -> None:
    assert files.list("admin") == ["a"]
    assert files.read("admin", "a") == OLD
    assert [path.name for path in (root / "admin").iterdir()] == ["a"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("free_bytes", [0, 4096, 64 * 1024, 256 * 1024])
def test_a_full_disk(root: Path, change: str, free_bytes: int) -> None:
    files = started(root)
    files.write("admin", "a", OLD)
    fill(root / "filler", free_bytes)
    for _ in range(2):
        with pytest.raises(ResourceExhaustedError, match="the disk is full; delete something") as caught:
            CHANGES[change](files)
        assert caught.value.definite
        assert_untouched(files, root)
    (root / "filler").unlink()
    CHANGES[change](files)
    assert files.read("admin", "a") == RESULTS[change]
    files.close()


def test_a_disk_that_fills_up_while_changes_are_remembered(root: Path) -> None:
    """The database needs room of its own. Whatever it is that does not fit, the append has happened or it has not."""
    files = started(root)
    lines = 0
    fill(root / "filler", 100_000)
    with pytest.raises(ResourceExhaustedError, match="the disk is full"):
        while True:
            files.append("admin", "a", "line\n", step(f"run/{lines}"))
            lines += 1
    assert files.read("admin", "a") == b"line\n" * lines
    (root / "filler").unlink()
    files.append("admin", "a", "line\n", step(f"run/{lines}"))
    for again in range(lines):
        files.append("admin", "a", "line\n", step(f"run/{again}"))
    assert files.read("admin", "a") == b"line\n" * (lines + 1)
    files.close()


def test_deleting_helps_a_full_disk(root: Path) -> None:
    """Only to remember it takes room."""
    files = started(root)
    files.write("admin", "a", OLD)
    files.write("admin", "b", LARGE)
    fill(root / "filler", 0)
    with pytest.raises(ResourceExhaustedError, match="the disk is full; delete something") as caught:
        files.delete("admin", "a", step("run/1"))
    assert caught.value.definite
    assert files.list("admin") == ["a", "b"]
    assert files.delete("admin", "b")
    assert files.delete("admin", "a", step("run/1"))
    files.write("admin", "a", OLD)
    files.close()


@pytest.mark.parametrize("remembered_before", [False, True])
@pytest.mark.parametrize("change", [*CHANGES, *DELETES])
def test_a_read_only_disk(root: Path, change: str, remembered_before: bool) -> None:
    files = started(root)
    files.write("admin", "a", OLD)
    if remembered_before:
        files.append("admin", "a", "", step("run/0"))
    files.close()
    do = (CHANGES | DELETES)[change]
    subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
    files = started(root)
    with pytest.raises(FailedPreconditionError, match="the disk is read-only; mount it for writing") as caught:
        do(files)
    # It cannot be looked up: perhaps an earlier attempt of the step has done it.
    assert caught.value.definite is not (change.endswith("for a step") and remembered_before)
    assert_untouched(files, root)
    subprocess.run(["mount", "-o", "remount,rw", str(root)], check=True)
    do(files)
    assert files.list("admin") == ([] if change in DELETES else ["a"])
    files.close()


@pytest.mark.parametrize("remembered_before", [False, True])
@pytest.mark.parametrize("change", [*CHANGES, *DELETES])
def test_too_many_open_files_at_any_point(tmp_path: Path, change: str, remembered_before: bool) -> None:
    """With one more to spare each time, until there are enough."""
    root = tmp_path
    files = started(root)
    files.write("admin", "a", OLD)
    if remembered_before:
        files.append("admin", "a", "", step("run/0"))
        files.close()
    do = (CHANGES | DELETES)[change]
    refused = 0
    while not done(do, files, spare=refused):
        refused += 1
        assert_untouched(files, root)
    assert refused >= 2
    assert files.list("admin") == ([] if change in DELETES else ["a"])
    files.close()


@pytest.mark.parametrize("limit_bytes", [1024, 8192, 40_000, 200_000])
@pytest.mark.parametrize("change", CHANGES)
def test_files_that_may_not_grow(tmp_path: Path, change: str, limit_bytes: int) -> None:
    files = started(tmp_path)
    files.write("admin", "a", OLD)
    with limited(resource.RLIMIT_FSIZE, limit_bytes), pytest.raises(ResourceExhaustedError, match="ulimit -f"):
        CHANGES[change](files)
    assert_untouched(files, tmp_path)
    CHANGES[change](files)
    assert files.read("admin", "a") == RESULTS[change]
    files.close()


def done(change: Callable[[Files], object], files: Files, spare: int) -> bool:
    """Make a change while this process may open only `spare` more files. Returns whether that was enough."""
    with ExitStack() as held:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        lowest = os.dup(0)
        os.close(lowest)
        assert lowest + spare < limit
        held.enter_context(limited(resource.RLIMIT_NOFILE, lowest + spare))
        try:
            change(files)
        except FractosError as error:
            assert isinstance(error, ResourceExhaustedError), error
            assert "ulimit -n" in error.message
            assert error.definite or "changes.db" in error.message  # what cannot be looked up is not known
            return False
    return True


def fill(path: Path, free_bytes: int) -> None:
    """Make a file so large that only so much is left on its disk."""
    with path.open("wb") as stream:
        status = os.statvfs(path.parent)
        stream.write(bytes(max(0, status.f_bavail * status.f_frsize - free_bytes)))
