"""The entries of changes: how long they are kept, how many, and databases that cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from Services.fractos.errors import DataLossError, FailedPreconditionError, ResourceExhaustedError, UnavailableError
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.StorageNode.Node import change_log
from Services.StorageNode.Node.files import Files
from tests.unit.storage_steps import LATE, database, entries, step
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


def keys(root: Path) -> list[str]:
    return [key for key, _ in entries(root)]


def test_what_no_run_can_ask_for_any_more_is_forgotten(files: Files, root: Path, clock: Clock) -> None:
    assert change_log.KEPT_S >= 2 * CLOCK_BOUND_S
    files.append("admin", "a", "1", step("long/1", clock.now + 3600))
    files.append("admin", "a", "2", step("short/1", clock.now + 1))
    files.delete("admin", "none", step("short/2", clock.now + 2))
    clock.now += 1 + change_log.KEPT_S
    files.write("admin", "a", b"3", step=step("last/1"))
    assert keys(root) == ["long/1", "short/1", "short/2", "last/1"]
    clock.now += 2
    files.write("admin", "a", b"4", step=step("last/2"))
    assert keys(root) == ["long/1", "last/1", "last/2"]


def test_entries_go_faster_than_they_come_but_not_all_at_once(files: Files, root: Path, clock: Clock) -> None:
    for number in range(150):
        files.delete("admin", "none", step(f"run/{number}", clock.now))
    clock.now += change_log.KEPT_S + 1
    left = []
    for number in range(3):
        files.delete("admin", "none", step(f"later/{number}"))
        left.append(len(keys(root)))
    assert left == [51, 2, 3]


def test_at_the_limit_nothing_is_forgotten_early(
    files: Files, root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is anything refused early: entries that went before older ones are not counted."""
    monkeypatch.setattr(change_log, "MAX_ENTRIES", 3)
    turn_s = change_log.KEPT_S + 1
    files.append("admin", "a", "x", step("run/0"))
    for number in range(10):  # each is there for two turns
        files.append("admin", "a", "x", step(f"short/{number}", clock.now + turn_s))
        clock.now += turn_s
    clock.now += turn_s
    for number in (1, 2):
        files.append("admin", "a", "x", step(f"run/{number}"))
    with pytest.raises(ResourceExhaustedError, match="3 changes of files are remembered, which is the limit") as caught:
        files.append("admin", "a", "x", step("run/3"))
    assert caught.value.retryable
    assert caught.value.definite
    assert files.append("admin", "a", "x", step("run/0")) == 1
    assert files.read("admin", "a") == b"x" * 13
    assert tree(root / "admin") == {"a"}
    clock.now = LATE + change_log.KEPT_S + 1
    assert files.append("admin", "a", "x", step("run/3")) == 14


def test_only_an_append_waits_until_its_entry_is_on_disk(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    statements: list[str] = []
    connect = sqlite3.connect

    def connect_and_trace(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_and_trace)
    files.append("admin", "a", "x", step("run/1"))
    files.write("admin", "a", b"x", step=step("run/2"))
    files.delete("admin", "a", step("run/3"))
    waits, seen = "", []
    for statement in statements:
        if statement.startswith("PRAGMA synchronous"):
            waits = statement.rpartition(" ")[2]
        elif statement.startswith("INSERT"):
            seen.append(waits)
    assert seen == ["FULL", "NORMAL", "NORMAL"]


def test_a_storage_folder_that_is_exchanged_has_entries_of_its_own(files: Files, root: Path) -> None:
    files.append("admin", "a", "x", step("run/1"))
    root.rename(root.with_name("away"))
    with pytest.raises(FailedPreconditionError, match="the storage folder is gone"):
        files.append("admin", "a", "x", step("run/1"))
    with pytest.raises(FailedPreconditionError, match="the storage folder is gone"):
        files.delete("admin", "a", step("run/1"))
    root.mkdir()
    assert files.append("admin", "a", "x", step("run/1")) == 1
    files.close()
    assert entries(root) == [("run/1", None)]


def test_a_damaged_database_is_named(files: Files, root: Path) -> None:
    database(root).parent.mkdir()
    database(root).write_bytes(b"no database" * 1000)
    files.write("admin", "b", b"this needs none")
    for change in (
        lambda: files.append("admin", "a", "x", step("run/1")),
        lambda: files.write("admin", "b", b"", step=step("run/2")),
        lambda: files.delete("admin", "b", step("run/3")),
    ):
        with pytest.raises(DataLossError, match=rf"{database(root)}: it is damaged.* move it away"):
            change()
    files.recover()
    assert files.read("admin", "b") == b"this needs none"
    assert tree(root / "admin") == {"b"}
    database(root).unlink()
    assert files.append("admin", "a", "x", step("run/1")) == 1


def test_a_database_that_another_process_holds(files: Files, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.append("admin", "a", "x", step("run/1"))
    files.close()
    monkeypatch.setattr(change_log, "BUSY_TIMEOUT_S", 0.01)
    holder = sqlite3.connect(database(root), isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        for change in (
            lambda: files.append("admin", "a", "y", step("run/2")),
            lambda: files.write("admin", "a", b"", step=step("run/3")),
            lambda: files.delete("admin", "a", step("run/4")),
        ):
            with pytest.raises(UnavailableError, match="another process uses it") as caught:
                change()
            assert caught.value.definite
    finally:
        holder.close()
    assert files.append("admin", "a", "y", step("run/2")) == 2
    assert files.read("admin", "a") == b"xy"
    assert tree(root / "admin") == {"a"}


def test_a_change_is_marked_with_the_next_entry_or_when_the_log_is_closed(files: Files, root: Path) -> None:
    for number in (1, 2):
        files.write("admin", "a", b"x", step=step(f"run/{number}"))
    (first, second) = entries(root)
    assert first == ("run/1", None)
    assert second[1] is not None
    files.close()
    assert entries(root) == [("run/1", None), ("run/2", None)]


def test_entries_of_an_older_version_are_kept(files: Files, root: Path) -> None:
    """It knew of no start of the machine, and brought the temporary name to the disk before the entry."""
    files.write("admin", "a", b"1", step=step("run/1"))
    with sqlite3.connect(database(root)) as earlier:
        earlier.execute("PRAGMA user_version = 0")
    earlier.close()
    (root / "admin" / "a").write_bytes(b"by another")
    again = Files(root)
    again.write("admin", "a", b"1", step=step("run/1"))
    assert again.read("admin", "a") == b"by another"
    again.close()


def test_after_a_start_of_the_machine_only_marked_writes_are_known(files: Files, root: Path) -> None:
    """The temporary name of another may never have reached the disk: that it is missing does not say that it was renamed."""
    files.write("admin", "a", b"1", step=step("run/1"))
    files.append("admin", "b", "1", step("run/2"))
    files.write("admin", "a", b"2", step=step("run/3"))  # marks those before it
    with sqlite3.connect(database(root)) as earlier:
        earlier.execute(f"PRAGMA user_version = {change_log.BOOT + 1}")
        earlier.execute("UPDATE changes SET temporary = '.writing-0123456789abcdef' WHERE step_key = 'run/2'")
    earlier.close()
    again = Files(root)
    again.start()
    again.recover()
    again.write("admin", "a", b"1", step=step("run/1"))  # done long ago
    assert again.append("admin", "b", "1", step("run/2")) == 1  # as well
    assert again.read("admin", "a") == b"2"
    (root / "admin" / "a").write_bytes(b"lost")
    again.write("admin", "a", b"2", step=step("run/3"))
    assert again.read("admin", "a") == b"2"
    again.close()
