"""Files of clients: what is kept, and what is refused."""

from __future__ import annotations

import errno
import gc
import os
import resource
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from Services.fractos.errors import (
    DataLossError,
    FailedPreconditionError,
    FractosError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from Services.StorageNode.Node import names
from Services.StorageNode.Node.files import Files
from Services.StorageNode.Node.replacement import MAX_FILE_BYTES
from tests.unit.storage_steps import step


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data" / "storage"


@pytest.fixture
def files(root: Path) -> Files:
    started = Files(root)
    started.start()
    return started


@pytest.fixture(autouse=True)
def _no_descriptor_stays_open() -> Iterator[None]:
    gc.collect()  # what earlier tests have left is not to go meanwhile
    before = descriptors()
    yield
    assert descriptors() == before


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_what_was_written_is_read(files: Files, root: Path) -> None:
    files.write("admin", "a.bin", b"\0\1\2")
    files.write("admin", "sub/folder/a.bin", b"")
    files.write("guest", "a.bin", b"guest's")
    assert (root / "admin" / "a.bin").read_bytes() == files.read("admin", "a.bin") == b"\0\1\2"
    assert files.read("admin", "sub/folder/a.bin") == b""
    assert files.read("guest", "a.bin") == b"guest's"
    files.write("admin", "a.bin", b"new")
    assert files.read("admin", "a.bin") == b"new"
    assert tree(root) == {
        "admin",
        "admin/a.bin",
        "admin/sub",
        "admin/sub/folder",
        "admin/sub/folder/a.bin",
        "guest",
        "guest/a.bin",
    }


def test_everything_is_on_disk_before_it_is_acknowledged(files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fsync, rename = os.fsync, os.rename

    def log_fsync(descriptor: int) -> None:
        fsync(descriptor)
        path = Path("/proc/self/fd", str(descriptor)).readlink()
        calls.append("a temporary file" if names.is_temporary(path.name) else str(path.relative_to(root)))

    def log_rename(*arguments: Any, **options: Any) -> None:
        rename(*arguments, **options)
        calls.append("rename")

    monkeypatch.setattr(os, "fsync", log_fsync)
    monkeypatch.setattr(os, "rename", log_rename)
    files.write("admin", "sub/a", b"x")
    made, written, deleted = [".", "admin"], ["a temporary file", "rename", "admin/sub"], ["admin/sub"]
    assert calls == [*made, *written]
    calls.clear()
    for folder in (root, root / "admin"):
        os.utime(folder, (1e9, 1e9))  # changed long ago
    files.write("admin", "sub/a", b"y")
    assert calls == [*made, *written]
    calls.clear()
    files.write("admin", "sub/a", b"y")
    assert calls == written
    files.delete("admin", "sub/a")
    files.delete("admin", "sub/a")
    assert calls == [*written, *deleted, *deleted]
    calls.clear()
    Files(root).write("admin", "sub/a", b"z")
    assert calls == [*made, *written]  # another process may have made the folders a moment ago
    calls.clear()
    (root / "admin" / "sub" / "a").unlink()
    (root / "admin" / "sub").rmdir()
    (root / "admin" / "sub").mkdir()  # perhaps with the same number
    files.write("admin", "sub/a", b"z")
    assert calls == ["admin", *written]


def test_modes_follow_the_umask(files: Files, root: Path) -> None:
    umask = os.umask(0o022)
    try:
        files.write("admin", "sub/a.txt", b"x")
        (root / "admin" / "sub" / "a.txt").chmod(0o600)
        files.write("admin", "sub/a.txt", b"y")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((root / "admin" / "sub" / "a.txt").stat().st_mode) == 0o644
    assert stat.S_IMODE((root / "admin" / "sub").stat().st_mode) == 0o755


def test_reading_makes_no_folder(files: Files, root: Path) -> None:
    for name in ("a.txt", "sub/a.txt"):
        with pytest.raises(NotFoundError):
            files.read("admin", name)
    assert files.list("admin") == []
    assert files.delete("admin", "a.txt") is False
    assert tree(root) == set()


def test_the_list_is_sorted_and_holds_files_only(files: Files, root: Path) -> None:
    for name in ["b.txt", "a/z.txt", "a/b/c.txt", "a.txt", "Z", "ab"]:
        files.write("admin", name, b"x")
    (root / "admin" / "empty").mkdir()
    (root / "admin" / "link").symlink_to("b.txt")
    (root / "admin" / "folder_link").symlink_to("a")
    os.mkfifo(root / "admin" / "pipe")
    (root / "admin" / "back\\slash").write_text("a client could not ask for it")
    (root / "admin" / os.fsdecode(b"\xff")).write_text("nor for this")
    assert files.list("admin") == ["Z", "a.txt", "a/b/c.txt", "a/z.txt", "ab", "b.txt"]
    assert files.list("admin", "a") == ["a.txt", "a/b/c.txt", "a/z.txt", "ab"]
    assert files.list("admin", "a/") == ["a/b/c.txt", "a/z.txt"]
    assert files.list("admin", "a/b/c") == ["a/b/c.txt"]
    for nothing in ("a/b/c.txt/", "../", "/", "c", "a/c/"):
        assert files.list("admin", nothing) == []
    with pytest.raises(InvalidArgumentError, match=r"client_id '\.\./admin'"):
        files.list("../admin")


def test_delete_tells_whether_the_file_was_there(files: Files) -> None:
    files.write("admin", "sub/a.txt", b"x")
    assert files.delete("admin", "sub/a.txt") is True
    assert files.delete("admin", "sub/a.txt") is False
    assert files.delete("nobody", "a.txt") is False
    assert files.list("admin") == []


def test_a_missing_file_is_named_with_those_like_it(files: Files) -> None:
    with pytest.raises(NotFoundError, match=r"^admin/cat\.jpg is not there; admin has no files") as caught:
        files.read("admin", "cat.jpg")
    assert caught.value.field == "name"
    files.write("admin", "pictures/cat.jpg", b"x")
    with pytest.raises(NotFoundError, match=r"did you mean pictures/cat\.jpg"):
        files.read("admin", "picture/cat.jpg")
    with pytest.raises(NotFoundError, match="admin has "):
        files.read("admin", "zzz")


OPERATIONS: dict[str, Callable[[Files, str], object]] = {
    "read": lambda files, name: files.read("admin", name),
    "write": lambda files, name: files.write("admin", name, b"changed"),
    "delete": lambda files, name: files.delete("admin", name),
    "append": lambda files, name: files.append("admin", name, "added"),
    "write for a step": lambda files, name: files.write("admin", name, b"changed", step=step("run/1")),
    "delete for a step": lambda files, name: files.delete("admin", name, step("run/2")),
    "append for a step": lambda files, name: files.append("admin", name, "added", step("run/3")),
}


@pytest.mark.parametrize("operation", OPERATIONS)
class TestRefused:
    """What all operations on a file refuse, without leaving a trace."""

    @pytest.fixture
    def admin(self, files: Files, root: Path) -> Path:
        files.write("admin", "file", b"x")
        outside = root.parent / "outside"
        outside.mkdir()
        (outside / "secret").write_text("secret")
        return root / "admin"

    def check(self, root: Path, name: str, operation: str, error: type[FractosError], message: str) -> None:
        before = tree(root.parent)
        with pytest.raises(error, match=f"^admin/{name}.*{message}") as caught:
            OPERATIONS[operation](Files(root), name)
        assert caught.value.field == "name"
        assert tree(root.parent) == before
        assert (root.parent / "outside" / "secret").read_text() == "secret"

    @pytest.mark.parametrize("target", ["../../outside/secret", "../../outside", "file", "nowhere", "/etc/hostname"])
    def test_links(self, root: Path, admin: Path, operation: str, target: str) -> None:
        (admin / "link").symlink_to(target)
        self.check(root, "link", operation, PermissionDeniedError, "link")

    @pytest.mark.parametrize("target", ["../../outside", ".", "/"])
    def test_what_lies_behind_links(self, root: Path, admin: Path, operation: str, target: str) -> None:
        (admin / "link").symlink_to(target)
        self.check(root, "link/secret", operation, PermissionDeniedError, "link")

    def test_a_client_that_is_a_link(self, root: Path, admin: Path, operation: str) -> None:
        admin.rename(root / "other")
        admin.symlink_to("other")
        self.check(root, "file", operation, PermissionDeniedError, "link")

    def test_folders(self, root: Path, admin: Path, operation: str) -> None:
        (admin / "folder").mkdir()
        self.check(root, "folder", operation, FailedPreconditionError, "is a folder")

    def test_what_lies_below_a_file(self, root: Path, admin: Path, operation: str) -> None:
        self.check(root, "file/x", operation, FailedPreconditionError, "below a file")

    def test_pipes_without_waiting_for_a_writer(self, root: Path, admin: Path, operation: str) -> None:
        os.mkfifo(admin / "pipe")
        self.check(root, "pipe", operation, FailedPreconditionError, "not a file")
        self.check(root, "pipe/x", operation, FailedPreconditionError, "below a file")

    def test_sockets(self, root: Path, admin: Path, operation: str) -> None:
        os.mknod(admin / "socket", stat.S_IFSOCK | 0o600)
        self.check(root, "socket", operation, FailedPreconditionError, "not a file")


PARTS = ["..", ".", "", "a", "b", "a\0", "/", "\\", "x" * 300, "..a", " ", "\n", "…", "~", "${HOME}", "link"]


@settings(deadline=None, max_examples=60, database=None)
@given(
    client_id=st.one_of(st.just("admin"), st.sampled_from(PARTS), st.text(max_size=20)),
    name=st.one_of(st.lists(st.sampled_from(PARTS), max_size=5).map("/".join), st.text(max_size=30)),
)
def test_no_name_leads_outside_its_clients_folder(client_id: str, name: str) -> None:
    with TemporaryDirectory() as folder:
        base = Path(folder)
        (base / "storage" / "admin").mkdir(parents=True)
        (base / "storage" / "admin" / "link").symlink_to("../..")
        before = tree(base)
        files = Files(base / "storage")
        try:
            files.write(client_id, name, b"written")
        except (InvalidArgumentError, PermissionDeniedError):
            assert tree(base) == before
        else:
            assert [path for path in tree(base) - before if (base / path).is_file()] == [f"storage/{client_id}/{name}"]
            assert files.read(client_id, name) == b"written"
            assert files.list(client_id) == [name]


def test_values_have_a_limit(files: Files, root: Path) -> None:
    with pytest.raises(
        ResourceExhaustedError, match=r"the text for admin/a is 67,108,865 bytes; the limit is 67,108,864"
    ) as caught:
        files.write("admin", "a", bytes(MAX_FILE_BYTES + 1), field="text")
    assert caught.value.field == "text"
    (root / "admin").mkdir()
    with (root / "admin" / "sparse").open("wb") as stream:
        stream.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ResourceExhaustedError, match="admin/sparse is 67,108,865 bytes; the limit is 67,108,864") as caught:
        files.read("admin", "sparse")
    assert caught.value.field == "name"


@contextmanager
def limited(kind: int, limit: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(kind, (soft, hard))


def test_a_write_that_breaks_off_leaves_the_old_file(files: Files, root: Path) -> None:
    files.write("admin", "a", b"old")
    with limited(resource.RLIMIT_FSIZE, 1024), pytest.raises(ResourceExhaustedError, match=r"admin/a: .*ulimit -f") as caught:
        files.write("admin", "a", bytes(4096))
    assert caught.value.definite
    assert files.read("admin", "a") == b"old"
    assert tree(root) == {"admin", "admin/a"}


@pytest.mark.parametrize("spare", range(2))
def test_too_many_open_files(files: Files, root: Path, spare: int) -> None:
    files.write("admin", "sub/a", b"x")
    lowest = os.dup(0)
    os.close(lowest)
    for operation in OPERATIONS.values():
        error = pytest.raises(ResourceExhaustedError, match=r"admin/sub/a: .*ulimit -n")
        with limited(resource.RLIMIT_NOFILE, lowest + spare), error:
            operation(files, "sub/a")
    assert tree(root) == {"admin", "admin/sub", "admin/sub/a"}


def test_what_the_process_may_not_touch(files: Files, root: Path) -> None:
    files.write("admin", "a", b"x")
    (root / "admin").chmod(0o500)
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionDeniedError, match="admin/a: the storage node's user may not"):
            files.write("admin", "a", b"y")
    finally:
        os.seteuid(os.getuid())
        (root / "admin").chmod(0o700)
    assert files.read("admin", "a") == b"x"


# What no test can ask a real disk for.
DISK_ERRORS: dict[int, tuple[type[FractosError], str]] = {
    errno.ENOSPC: (ResourceExhaustedError, "the disk is full"),
    errno.EDQUOT: (ResourceExhaustedError, "the disk quota"),
    errno.EROFS: (FailedPreconditionError, "the disk is read-only"),
    errno.EIO: (DataLossError, "the disk reports an error"),
    errno.ENOTSUP: (InternalError, "not expected"),
}


@pytest.mark.parametrize("number", DISK_ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["write", "rename", "mkdir"])
def test_what_a_disk_may_say(files: Files, root: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int) -> None:
    files.write("admin", "a", b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    error, message = DISK_ERRORS[number]
    with pytest.raises(error, match=f"admin/a: .*{message}") as caught:
        files.write("admin", "a", b"new")
    assert caught.value.definite
    assert files.read("admin", "a") == b"old"
    assert tree(root) == {"admin", "admin/a"}


def test_a_write_whose_last_step_fails_may_have_happened(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def rename_then_break(*arguments: Any, **options: Any) -> None:
        rename(*arguments, **options)
        monkeypatch.setattr(os, "fsync", fail)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "rename", rename_then_break)
    with pytest.raises(DataLossError) as caught:
        files.write("admin", "a", b"new")
    assert not caught.value.definite
    with pytest.raises(DataLossError) as caught:
        files.delete("admin", "a")
    assert not caught.value.definite


def test_a_storage_folder_that_is_none(tmp_path: Path, files: Files, root: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "storage"):
        with pytest.raises(FailedPreconditionError, match=f"{path}"):
            Files(path).start()
    root.rmdir()
    with pytest.raises(FailedPreconditionError, match="admin/a: the storage folder is gone"):
        files.write("admin", "a", b"x")
    assert files.list("admin") == []
