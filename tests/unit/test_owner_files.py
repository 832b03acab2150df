"""The lock and the record of an owner: the epoch never goes backwards, whatever becomes of one of the files."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from Services.fractos.errors import DataLossError, FailedPreconditionError, FractosError, ResourceExhaustedError
from Services.fractos.owner_files import OwnerFiles, OwnerRecord

LAST = 7  # the epoch of the last owner in `used`


def record(epoch: int) -> OwnerRecord:
    return OwnerRecord(epoch, "storage-0", "127.0.0.1:1", "lab", 0, 1, 2, "host")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[OwnerFiles]:
    """Of a folder without an owner so far; the lock is in hand."""
    held = OwnerFiles(tmp_path / "state" / ".mockdc")
    assert held.try_lock()
    yield held
    held.release()


@pytest.fixture
def used(files: OwnerFiles) -> OwnerFiles:
    for _ in range(LAST):
        files.write(record(files.next_epoch()))
    return files


def test_the_lock_has_one_holder(files: OwnerFiles) -> None:
    other = OwnerFiles(files.lock.parent)
    assert files.try_lock()
    assert not other.try_lock()
    files.release()
    files.release()
    assert other.try_lock()
    assert not files.try_lock()
    other.release()


def test_a_record_is_read_as_it_was_written(used: OwnerFiles) -> None:
    assert used.read() == record(LAST)


def test_no_record_is_read_where_there_is_none(files: OwnerFiles, tmp_path: Path) -> None:
    assert files.read() is None
    assert OwnerFiles(tmp_path / "nowhere").read() is None


def test_a_record_does_not_count_while_the_next_owner_is_about_to_write(used: OwnerFiles) -> None:
    used.next_epoch()
    assert used.read() is None


def test_a_taker_that_dies_before_its_record_uses_up_its_epoch(used: OwnerFiles) -> None:
    assert [used.next_epoch(), used.next_epoch()] == [LAST + 1, LAST + 2]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe", b'{"epoch": 3}', b"9", b"null"])
def test_a_damaged_record_does_not_take_the_epoch_with_it(
    used: OwnerFiles, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    used.record.write_bytes(damage)
    assert used.read() is None
    with caplog.at_level(logging.WARNING):
        assert used.next_epoch() == LAST + 1
    assert str(used.record) in caplog.text


@pytest.mark.parametrize("epoch", ['"7"', "7.5", "null", "true"])
def test_a_record_with_a_value_of_another_type_is_damaged(used: OwnerFiles, epoch: str) -> None:
    used.record.write_text(used.record.read_text().replace(f'"epoch": {LAST}', f'"epoch": {epoch}'))
    assert used.read() is None
    assert used.next_epoch() == LAST + 1


def test_a_lost_record_does_not_take_the_epoch_with_it(used: OwnerFiles) -> None:
    used.record.unlink()
    assert used.next_epoch() == LAST + 1


def every_truncation(content: bytes) -> Iterator[bytes]:
    yield from (content[:length] for length in range(len(content)))


def every_flipped_bit(content: bytes) -> Iterator[bytes]:
    for position in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        yield bytes(flipped)


@pytest.mark.parametrize("damages", [every_truncation, every_flipped_bit])
def test_a_damaged_lock_file_does_not_take_the_epoch_with_it(
    used: OwnerFiles, damages: Callable[[bytes], Iterator[bytes]]
) -> None:
    for damaged in damages(used.lock.read_bytes()):
        used.lock.write_bytes(damaged)
        assert used.read() == record(LAST)
        assert used.next_epoch() == LAST + 1
        assert used.next_epoch() == LAST + 2


@pytest.mark.parametrize("damages", [every_truncation, every_flipped_bit])
def test_two_damaged_files_are_an_error_and_are_left_as_they_are(
    used: OwnerFiles, damages: Callable[[bytes], Iterator[bytes]]
) -> None:
    used.record.write_text("{")
    for damaged in damages(used.lock.read_bytes()):
        used.lock.write_bytes(damaged)
        with pytest.raises(DataLossError, match="both damaged"):
            used.next_epoch()
        assert used.lock.read_bytes() == damaged
    used.record.unlink()
    used.lock.write_bytes(b"0")
    with pytest.raises(DataLossError, match="truncate -s 0"):
        used.next_epoch()
    used.lock.write_bytes(b"")  # the remedy
    assert used.next_epoch() == 1


def test_a_lock_file_that_was_replaced_while_it_was_locked_is_let_go(
    files: OwnerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two processes would each hold the lock of a file of that name."""
    lock = fcntl.flock
    to_replace = [files.lock]

    def replace_and_lock(descriptor: int, operation: int) -> None:
        while to_replace:
            to_replace.pop().unlink()
        lock(descriptor, operation)

    files.release()
    monkeypatch.setattr(fcntl, "flock", replace_and_lock)
    assert files.try_lock()
    assert not OwnerFiles(files.lock.parent).try_lock()


def test_what_a_killed_owner_left_unfinished_is_removed(used: OwnerFiles) -> None:
    (used.record.parent / ".writing-0123").write_text("{")
    used.write(record(used.next_epoch()))
    assert {path.name for path in used.record.parent.iterdir()} == {"lock", "owner.json"}


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.ENOSPC, ResourceExhaustedError), (errno.EIO, FailedPreconditionError), (errno.ENOLCK, FailedPreconditionError)],
)
def test_what_the_disk_refuses_names_the_folder_and_a_remedy(
    used: OwnerFiles, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[FractosError]
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    for attempt in (used.next_epoch, lambda: used.write(record(LAST + 1))):
        with pytest.raises(kind, match=str(used.lock.parent)) as raised:
            attempt()
        assert os.strerror(number) in raised.value.message
    monkeypatch.undo()
    used.release()
    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(kind, match=str(used.lock)):
        used.try_lock()
