"""Changes of files: once for each step, whole, and only with the inputs that the step had first."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from Services.fractos.errors import (
    AbortedError,
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    RunCancelledError,
)
from Services.fractos.step import Step
from Services.StorageNode.Node import names
from Services.StorageNode.Node.files import Files
from Services.StorageNode.Node.replacement import MAX_FILE_BYTES
from tests.unit.storage_steps import database, entries, step
from tests.unit.test_storage_files import tree

Change = Callable[[Files, Step | None], object]
# What each makes of a file that holds "x", and what it returns.
CHANGES: dict[str, tuple[Change, bytes | None, object]] = {
    "write": (lambda files, step: files.write("admin", "a", b"y", step=step), b"y", None),
    "append": (lambda files, step: files.append("admin", "a", "y", step), b"xy", 2),
    "delete": (lambda files, step: files.delete("admin", "a", step), None, True),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def files(root: Path) -> Iterator[Files]:
    started = Files(root)
    started.start()
    yield started
    started.close()


def content(files: Files) -> bytes | None:
    try:
        return files.read("admin", "a")
    except NotFoundError:
        return None


def test_texts_are_added_at_the_end(files: Files, root: Path) -> None:
    assert files.append("admin", "sub/log.txt", "grüße\n", step("run/1")) == 8
    assert files.append("admin", "sub/log.txt", "", step("run/2")) == 8
    assert files.append("admin", "sub/log.txt", "two\n", step("run/3")) == 12
    assert files.read("admin", "sub/log.txt").decode() == "grüße\ntwo\n"
    files.write("admin", "sub/log.txt", b"x" * 3_000_000)
    assert files.append("admin", "sub/log.txt", "y", step("run/4")) == 3_000_001
    assert files.read("admin", "sub/log.txt") == b"x" * 3_000_000 + b"y"
    assert files.list("admin") == ["sub/log.txt"]
    assert tree(root / "admin") == {"sub", "sub/log.txt"}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_step_is_done_once_whatever_became_of_the_file(files: Files, root: Path, kind: str) -> None:
    change, after, answer = CHANGES[kind]
    files.write("admin", "a", b"x")
    assert change(files, step("run/1")) == answer
    assert content(files) == after
    files.write("admin", "a", b"another run's")
    for again in (files, Files(root)):
        assert change(again, step("run/1")) == answer
        assert content(files) == b"another run's"
        again.close()
    files.delete("admin", "a")
    assert change(files, step("run/1")) == answer
    assert content(files) is None
    assert entries(root) == [("run/1", None)]


def test_that_there_was_no_file_is_remembered(files: Files, root: Path) -> None:
    assert files.delete("admin", "sub/a", step("run/1")) is False  # nor is there the folder
    files.write("admin", "sub/a", b"x")
    assert files.delete("admin", "sub/b", step("run/2")) is False
    files.write("admin", "sub/b", b"x")
    assert files.delete("admin", "sub/a", step("run/1")) is False
    assert files.delete("admin", "sub/b", step("run/2")) is False
    assert files.list("admin") == ["sub/a", "sub/b"]


@pytest.mark.parametrize("kind", CHANGES)
def test_without_a_step_a_change_is_made_each_time(files: Files, root: Path, kind: str) -> None:
    change, after, answer = CHANGES[kind]
    for _ in range(2):
        files.write("admin", "a", b"x")
        assert change(files, None) == answer
        assert content(files) == after
    assert tree(root) <= {"admin", "admin/a"}, "nothing is remembered"


@pytest.mark.parametrize(
    "inputs", [("admin", "a", "other"), ("admin", "b", "one"), ("guest", "a", "one"), ("admin", "ao", "ne")]
)
@pytest.mark.parametrize("kind", ["write", "append"])
def test_other_inputs_of_the_same_step_are_refused(files: Files, kind: str, inputs: tuple[str, str, str]) -> None:
    def change(client_id: str, name: str, text: str) -> None:
        if kind == "append":
            files.append(client_id, name, text, step("run/1"))
        else:
            files.write(client_id, name, text.encode(), step=step("run/1"))

    change("admin", "a", "one")
    with pytest.raises(AbortedError, match=rf"another change \({kind} admin/a\): .*; run the graph again") as caught:
        change(*inputs)
    assert not caught.value.definite
    assert files.list("admin") == ["a"]
    assert files.list("guest") == []
    assert files.read("admin", "a") == b"one"


def test_a_step_that_deleted_another_file_is_refused(files: Files) -> None:
    for name in ("a", "b"):
        files.write("admin", name, b"x")
    files.delete("admin", "a", step("run/1"))
    with pytest.raises(AbortedError, match=r"another change \(delete admin/a\)"):
        files.delete("admin", "b", step("run/1"))
    assert files.list("admin") == ["b"]


@pytest.mark.parametrize("kind", CHANGES)
def test_everything_is_on_disk_before_it_is_acknowledged(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    calls: list[str] = []
    fsync, rename, unlink = os.fsync, os.rename, os.unlink

    def log_fsync(descriptor: int) -> None:
        fsync(descriptor)
        path = Path("/proc/self/fd", str(descriptor)).readlink()
        calls.append("a temporary file" if names.is_temporary(path.name) else str(path.relative_to(root)))

    def log_rename(source: str, target: str, **options: Any) -> None:
        assert entries(root)[-1][1] == (target if kind == "delete" else source)  # by now
        rename(source, target, **options)
        calls.append("rename")

    def log_unlink(name: str, **options: Any) -> None:
        assert entries(root)[-1][1] is None  # till then the file's new name says that it is deleted
        unlink(name, **options)
        calls.append("unlink")

    expected = {
        "write": ["a temporary file", "rename", "admin"],
        "append": ["a temporary file", "admin", "rename", "admin"],
        "delete": ["rename", "admin", "unlink"],
    }
    files.write("admin", "b", b"", step=step("run/0"))  # makes the folder for the entries
    os.utime(root, (1e9, 1e9))  # changed long ago
    files.write("admin", "b", b"")
    for number in (1, 2):
        files.write("admin", "a", b"x")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", log_fsync)
            patched.setattr(os, "rename", log_rename)
            patched.setattr(os, "unlink", log_unlink)
            CHANGES[kind][0](files, step(f"run/{number}"))
        assert calls == expected[kind]  # SQLite's own are not seen here
        calls.clear()
    files.close()
    assert entries(root) == [("run/0", None), ("run/1", None), ("run/2", None)]


def test_an_append_keeps_the_permissions(files: Files, root: Path) -> None:
    files.append("admin", "a", "x", step("run/1"))
    (root / "admin" / "a").chmod(0o640)
    files.append("admin", "a", "y", step("run/2"))
    assert stat.S_IMODE((root / "admin" / "a").stat().st_mode) == 0o640


def test_a_file_does_not_grow_beyond_the_limit(files: Files, root: Path) -> None:
    files.write("admin", "a", bytes(MAX_FILE_BYTES - 1))
    for name, text in (("a", "xy"), ("b", "x" * (MAX_FILE_BYTES + 1))):
        with pytest.raises(ResourceExhaustedError, match="is 67,108,865 bytes; the limit is 67,108,864") as caught:
            files.append("admin", name, text, step("run/1"))
        assert caught.value.field == "text"
        assert tree(root) == {"admin", "admin/a"}
    assert files.append("admin", "a", "x", step("run/1")) == MAX_FILE_BYTES


def test_the_nodes_own_folder_is_nobodys(files: Files, root: Path) -> None:
    files.append("admin", "a", "x", step("run/1"))
    (root / ".mockdc" / names.temporary()).write_text("not a client's")
    before = tree(root)
    calls: list[Callable[[], object]] = [
        lambda: files.list(".mockdc"),
        lambda: files.read(".mockdc", "changes.db"),
        lambda: files.write(".mockdc", "changes.db", b""),
        lambda: files.append(".mockdc", "changes.db", "", step("run/2")),
        lambda: files.delete(".mockdc", "changes.db"),
    ]
    for call in calls:
        with pytest.raises(InvalidArgumentError, match=r"client_id '\.mockdc' is kept for the storage node itself") as caught:
            call()
        assert caught.value.field == "client_id"
    Files(root).start()
    assert tree(root) == before
    files.write("admin", ".mockdc", b"a file may have that name")


def test_threads_that_change_one_file_lose_nothing(files: Files) -> None:
    """Each append is asked for twice at once; a write between would take away what was added before it."""
    texts = [f"<{number}>" for number in range(20)]
    start = threading.Barrier(4)

    def append(texts: list[str]) -> None:
        start.wait()
        for text in texts:
            files.append("admin", "a", text, step(text))
            files.write("admin", f"other {threading.get_ident()}", b"x")

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(append, part) for part in (texts, texts, texts[::-1], texts[::2])]:
            done.result()
    content = files.read("admin", "a").decode()
    assert sorted(content.replace("><", "> <").split()) == sorted(texts)


def test_a_write_waits_for_an_append(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the rename would bring back what the write has replaced, though it was acknowledged."""
    in_rename, may_go_on = threading.Event(), threading.Event()
    rename = os.rename

    def wait_then_rename(*arguments: Any, **options: Any) -> None:
        if not in_rename.is_set():
            in_rename.set()
            assert may_go_on.wait(10)
        rename(*arguments, **options)

    files.write("admin", "a", b"old")
    monkeypatch.setattr(os, "rename", wait_then_rename)
    with ThreadPoolExecutor(2) as threads:
        append = threads.submit(files.append, "admin", "a", "+", step("run/1"))
        assert in_rename.wait(10)
        write = threads.submit(files.write, "admin", "a", b"new")
        assert files.read("admin", "a") == b"old"  # readers do not wait
        may_go_on.set()
        assert append.result() == 4
        write.result()
    assert files.read("admin", "a") == b"new"


@pytest.mark.parametrize("kind", CHANGES)
def test_a_rename_that_fails_leaves_nothing_behind(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The entry was there already: without its temporary file it would say "done"."""
    change, after, answer = CHANGES[kind]
    files.write("admin", "a", b"x", step=step("run/1"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", broken)
        with pytest.raises(DataLossError, match="admin/a: the disk reports an error") as caught:
            change(files, step("run/2"))
    assert caught.value.definite
    assert entries(root) == [("run/1", None)]
    assert tree(root / "admin") == {"a"}
    assert content(files) == b"x"
    assert change(files, step("run/2")) == answer
    assert content(files) == after


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_whose_last_step_fails_has_happened(files: Files, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    change, after, answer = CHANGES[kind]
    files.write("admin", "a", b"x")
    rename = os.rename

    def rename_then_break(*arguments: Any, **options: Any) -> None:
        rename(*arguments, **options)
        patched.setattr(os, "fsync", broken)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", rename_then_break)
        for _ in range(2):  # repeated, it cannot be said to be on disk either
            with pytest.raises(DataLossError) as caught:
                change(files, step("run/1"))
            assert content(files) == after
        assert not caught.value.definite
    assert change(files, step("run/1")) == answer
    assert content(files) == after


def test_a_deleted_file_that_cannot_be_removed_is_seen_by_nobody(
    files: Files, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write("admin", "a", b"x")
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", broken)
        assert files.delete("admin", "a", step("run/1")) is True
    assert len(tree(root / "admin")) == 1
    assert files.list("admin") == []
    assert files.delete("admin", "a", step("run/1")) is True
    Files(root).start()
    assert tree(root / "admin") == set()


def test_a_file_that_vanishes_before_it_is_deleted(files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the hand of somebody on the host."""

    def vanish(*_: object, **__: object) -> None:
        (root / "admin" / "a").unlink()
        raise FileNotFoundError(errno.ENOENT, "gone")

    files.write("admin", "a", b"x")
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", vanish)
        assert files.delete("admin", "a", step("run/1")) is False
    files.write("admin", "a", b"new")
    assert files.delete("admin", "a", step("run/1")) is False
    assert content(files) == b"new"


def broken(*_: object, **__: object) -> None:
    raise OSError(errno.EIO, "broken")


@pytest.mark.parametrize("wanted_for", [0, 1], ids=["before it begins", "while it waits for the disk"])
@pytest.mark.parametrize("kind", ["write", "append"])
def test_a_change_that_nobody_wants_any_more_does_not_happen(root: Path, kind: str, wanted_for: int) -> None:
    checks = itertools.count()

    def check() -> None:
        if next(checks) >= wanted_for:
            raise RunCancelledError("nobody wants it")

    wanted = Files(root)
    wanted.start()
    wanted.write("admin", "a", b"x")
    unwanted = Files(root, check=check)
    change, after, _ = CHANGES[kind]
    with pytest.raises(RunCancelledError):
        change(unwanted, step("run/1"))
    assert content(wanted) == b"x"
    assert tree(root / "admin") == {"a"}
    assert not database(root).exists()
    change(wanted, step("run/1"))
    assert content(wanted) == after
    wanted.close()
    unwanted.close()
