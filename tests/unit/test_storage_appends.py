"""Appends: once for each step, whole, and only with the inputs that the step had first."""

from __future__ import annotations

import errno
import os
import sqlite3
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
    FailedPreconditionError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
)
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.plan import MAX_TIMEOUT_S
from Services.StorageNode.Node import append_log, names
from Services.StorageNode.Node.files import Files
from Services.StorageNode.Node.replacement import MAX_FILE_BYTES
from tests.unit.test_storage_files import tree


class Clock:
    """Stands still until it is set."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "storage"


@pytest.fixture
def files(root: Path, clock: Clock) -> Iterator[Files]:
    started = Files(root, clock)
    started.start()
    yield started
    started.close()


def database(root: Path) -> Path:
    return root / ".mockdc" / "appends.db"


def entries(root: Path) -> list[tuple[str, str | None]]:
    """Key and mark of each entry, as another process reads them."""
    connection = sqlite3.connect(database(root))
    try:
        return connection.execute("SELECT step_key, temporary FROM appends ORDER BY id").fetchall()
    finally:
        connection.close()


def test_texts_are_added_at_the_end(files: Files, root: Path) -> None:
    assert files.append("admin", "sub/log.txt", "grüße\n", "run/1") == 8
    assert files.append("admin", "sub/log.txt", "", "run/2") == 8
    assert files.append("admin", "sub/log.txt", "two\n", "run/3") == 12
    assert files.read("admin", "sub/log.txt").decode() == "grüße\ntwo\n"
    files.write("admin", "sub/log.txt", b"x" * 3_000_000)
    assert files.append("admin", "sub/log.txt", "y", "run/4") == 3_000_001
    assert files.read("admin", "sub/log.txt") == b"x" * 3_000_000 + b"y"
    assert files.list("admin") == ["sub/log.txt"]
    assert tree(root / "admin") == {"sub", "sub/log.txt"}


def test_a_step_is_done_once_whatever_became_of_the_file(files: Files, root: Path) -> None:
    files.append("admin", "a", "one", "run/1")
    files.append("admin", "a", "two", "run/2")
    for again in (files, Files(root)):
        assert again.append("admin", "a", "one", "run/1") == 3
        assert again.read("admin", "a") == b"onetwo"
        again.close()
    files.write("admin", "a", b"new")
    assert files.append("admin", "a", "one", "run/1") == 3
    assert files.read("admin", "a") == b"new"
    files.delete("admin", "a")
    assert files.append("admin", "a", "two", "run/2") == 6
    assert files.list("admin") == []


@pytest.mark.parametrize(
    "inputs", [("admin", "a", "other"), ("admin", "b", "one"), ("guest", "a", "one"), ("admin", "ao", "ne")]
)
def test_other_inputs_of_the_same_step_are_refused(files: Files, inputs: tuple[str, str, str]) -> None:
    files.append("admin", "a", "one", "run/1")
    with pytest.raises(AbortedError, match="admin/a got another text") as caught:
        files.append(*inputs, "run/1")
    assert not caught.value.definite
    assert files.list("admin") == ["a"]
    assert files.list("guest") == []
    assert files.read("admin", "a") == b"one"


def test_everything_is_on_disk_before_it_is_acknowledged(files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []
    fsync, rename = os.fsync, os.rename

    def log_fsync(descriptor: int) -> None:
        fsync(descriptor)
        path = Path("/proc/self/fd", str(descriptor)).readlink()
        calls.append("a temporary file" if names.is_temporary(path.name) else str(path.relative_to(root)))

    def log_rename(source: str, target: str, **options: Any) -> None:
        assert entries(root)[-1][1] == source  # by now
        rename(source, target, **options)
        calls.append("rename")

    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(os, "rename", log_rename)
    for key in ("run/1", "run/2"):
        files.append("admin", "sub/a", "x", key)
        # The storage folder once more when the folder for the entries is made. SQLite's own are not seen here.
        assert calls == [".", "admin", "a temporary file", "admin/sub", *["."] * (key == "run/1"), "rename", "admin/sub"]
        calls.clear()
    assert entries(root) == [("run/1", None), ("run/2", None)]


def test_an_append_keeps_the_permissions(files: Files, root: Path) -> None:
    files.append("admin", "a", "x", "run/1")
    (root / "admin" / "a").chmod(0o640)
    files.append("admin", "a", "y", "run/2")
    assert stat.S_IMODE((root / "admin" / "a").stat().st_mode) == 0o640


def test_a_file_does_not_grow_beyond_the_limit(files: Files, root: Path) -> None:
    files.write("admin", "a", bytes(MAX_FILE_BYTES - 1))
    for name, text in (("a", "xy"), ("b", "x" * (MAX_FILE_BYTES + 1))):
        with pytest.raises(ResourceExhaustedError, match="is 67,108,865 bytes; the limit is 67,108,864") as caught:
            files.append("admin", name, text, "run/1")
        assert caught.value.field == "text"
        assert tree(root) == {"admin", "admin/a"}
    assert files.append("admin", "a", "x", "run/1") == MAX_FILE_BYTES


def test_the_nodes_own_folder_is_nobodys(files: Files, root: Path) -> None:
    files.append("admin", "a", "x", "run/1")
    (root / ".mockdc" / names.temporary()).write_text("not a client's")
    before = tree(root)
    calls: list[Callable[[], object]] = [
        lambda: files.list(".mockdc"),
        lambda: files.read(".mockdc", "appends.db"),
        lambda: files.write(".mockdc", "appends.db", b""),
        lambda: files.append(".mockdc", "appends.db", "", "run/2"),
        lambda: files.delete(".mockdc", "appends.db"),
    ]
    for call in calls:
        with pytest.raises(InvalidArgumentError, match=r"client_id '\.mockdc' is kept for the storage node itself") as caught:
            call()
        assert caught.value.field == "client_id"
    Files(root).start()
    assert tree(root) == before
    files.write("admin", ".mockdc", b"a file may have that name")


def test_what_no_run_can_ask_for_any_more_is_forgotten(files: Files, root: Path, clock: Clock) -> None:
    assert append_log.KEPT_S > MAX_TIMEOUT_S + CLOCK_BOUND_S
    files.append("admin", "a", "1", "run/1")
    clock.now += append_log.KEPT_S
    files.append("admin", "a", "2", "run/2")
    assert [key for key, _ in entries(root)] == ["run/1", "run/2"]
    clock.now += 1
    files.append("admin", "a", "3", "run/3")
    assert [key for key, _ in entries(root)] == ["run/2", "run/3"]


def test_at_the_limit_nothing_is_forgotten_early(
    files: Files, root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_log, "MAX_ENTRIES", 3)
    for step in range(3):
        files.append("admin", "a", "x", f"run/{step}")
    with pytest.raises(ResourceExhaustedError, match="3 appends are remembered, which is the limit") as caught:
        files.append("admin", "a", "x", "run/3")
    assert caught.value.retryable
    assert files.append("admin", "a", "x", "run/0") == 1
    assert files.read("admin", "a") == b"xxx"
    assert tree(root / "admin") == {"a"}
    clock.now += append_log.KEPT_S + 1
    assert files.append("admin", "a", "x", "run/3") == 4


def test_threads_that_change_one_file_lose_nothing(files: Files) -> None:
    """Each append is asked for twice at once; a write between would take away what was added before it."""
    texts = [f"<{number}>" for number in range(20)]
    start = threading.Barrier(4)

    def append(texts: list[str]) -> None:
        start.wait()
        for text in texts:
            files.append("admin", "a", text, text)
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
        append = threads.submit(files.append, "admin", "a", "+", "run/1")
        assert in_rename.wait(10)
        write = threads.submit(files.write, "admin", "a", b"new")
        assert files.read("admin", "a") == b"old"  # readers do not wait
        may_go_on.set()
        assert append.result() == 4
        write.result()
    assert files.read("admin", "a") == b"new"


def test_a_rename_that_fails_leaves_nothing_behind(files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry was on disk already: without its temporary file it would say "done"."""
    files.append("admin", "a", "x", "run/1")
    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", broken)
        with pytest.raises(DataLossError, match="admin/a: the disk reports an error") as caught:
            files.append("admin", "a", "y", "run/2")
    assert caught.value.definite
    assert entries(root) == [("run/1", None)]
    assert tree(root / "admin") == {"a"}
    assert files.append("admin", "a", "y", "run/2") == 2
    assert files.read("admin", "a") == b"xy"


def test_an_append_whose_last_step_fails_has_happened(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def rename_then_break(*arguments: Any, **options: Any) -> None:
        rename(*arguments, **options)
        patched.setattr(os, "fsync", broken)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", rename_then_break)
        for _ in range(2):  # repeated, it cannot be said to be on disk either
            with pytest.raises(DataLossError) as caught:
                files.append("admin", "a", "x", "run/1")
        assert not caught.value.definite
    assert files.append("admin", "a", "x", "run/1") == 1
    assert files.read("admin", "a") == b"x"


def broken(*_: object, **__: object) -> None:
    raise OSError(errno.EIO, "broken")


def test_a_storage_folder_that_is_exchanged_has_entries_of_its_own(files: Files, root: Path) -> None:
    files.append("admin", "a", "x", "run/1")
    root.rename(root.with_name("away"))
    with pytest.raises(FailedPreconditionError, match="the storage folder is gone"):
        files.append("admin", "a", "x", "run/1")
    root.mkdir()
    assert files.append("admin", "a", "x", "run/1") == 1
    assert entries(root) == [("run/1", None)]


def test_a_damaged_database_is_named(files: Files, root: Path) -> None:
    database(root).parent.mkdir()
    database(root).write_bytes(b"no database" * 1000)
    with pytest.raises(DataLossError, match=rf"{database(root)}: it is damaged.* move it away"):
        files.append("admin", "a", "x", "run/1")
    files.recover()
    files.write("admin", "b", b"this needs none")
    assert tree(root / "admin") == {"b"}
    database(root).unlink()
    assert files.append("admin", "a", "x", "run/1") == 1


def test_a_database_that_another_process_holds(files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.append("admin", "a", "x", "run/1")
    files.close()
    monkeypatch.setattr(append_log, "BUSY_TIMEOUT_S", 0.01)
    holder = sqlite3.connect(database(root), isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="another process uses it") as caught:
            files.append("admin", "a", "y", "run/2")
        assert caught.value.definite
    finally:
        holder.close()
    assert files.append("admin", "a", "y", "run/2") == 2
    assert files.read("admin", "a") == b"xy"
    assert tree(root / "admin") == {"a"}
