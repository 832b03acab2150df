"""Changes of files, each made exactly once for a step of a run, also when the process is killed at any moment.

A write or an append makes the new contents of the file under a temporary name and puts them on disk; then the log gets an entry
with that name (`change_log.py`); then the temporary file is renamed. Killed before the rename, the change has not happened, and
recovery removes entry and temporary file, in this order; killed after it, the change has happened and the entry answers for it
from now on. A delete is the other way round: its entry has the temporary name that the file is renamed to, and the file is
removed once the entry is marked. Nothing is ever completed later: what was not acknowledged at the kill and had not happened
does not happen by itself, only when the step is repeated.

So recovery never touches a file of a client, and whatever was changed between the kill and the recovery stays as it is, also
when a step is repeated that had been done. While the process lives, Files lets only one call at a time change a file: no write
gets between the old contents that an append copies and its rename. Another process would not wait, so only the owner of the
storage folder may change it.

Readers see the old contents or the new ones. The price of an append is a copy of the file. After a power failure no entry says
that a change has happened which has not; but only an append waits until its entry is on disk, and a write or delete whose entry
was lost is done again when its step is repeated.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from Services.fractos.errors import FractosError
from Services.fractos.step import Step
from Services.StorageNode.Node import names
from Services.StorageNode.Node.change_log import BOOT, ChangeLog, Entry, Kind, other_inputs
from Services.StorageNode.Node.faults import check_is_file, translated
from Services.StorageNode.Node.folders import OnDisk, descended, opened
from Services.StorageNode.Node.replacement import MAX_FILE_BYTES, exists, remove, temporary, too_large, write_all

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Change:
    """What is to become of a file: `data` takes the place of its contents or is added at the end, or the file is deleted."""

    kind: Kind
    client_id: str
    name: str
    data: bytes = b""

    @property
    def shown(self) -> str:
        """The file, in errors."""
        return f"{self.client_id}/{self.name}"

    def entry(self, step: Step, temporary_name: str | None, answer: int) -> Entry:
        """What the log is to keep of this change."""
        return Entry(step.key, self.digest(), self.kind, self.client_id, self.name, temporary_name, answer)

    def digest(self) -> bytes:
        """The same for the same change only."""
        digest = hashlib.blake2b(digest_size=32)
        for part in (self.kind.encode(), self.client_id.encode(), self.name.encode(), self.data):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


class Changes:
    """The changes of the files in one storage folder. Calls for the same file must not overlap: Files sees to that."""

    def __init__(self, root: Path, change_log: ChangeLog, check: Callable[[], None]) -> None:
        """`check` as in Files."""
        self._root = root
        self._log = change_log
        self._on_disk = OnDisk()
        self._check = check

    def make(self, change: Change, step: Step | None) -> int:
        """Make a change unless that was done for this step. Returns the answer, as in Entry.

        Without a step it is made whatever was done before. Raises AbortedError if the step has made another change.
        """
        self._check()
        if step is not None and (done := self._log.find(step.key)) is not None:
            if done.digest != change.digest():
                raise other_inputs(done)
            if self.settle(done):
                return done.answer
        return self._delete(change, step) if change.kind == "delete" else self._replace(change, step)

    def unsettled(self) -> list[Entry]:
        """The changes of which it is not known whether they happened."""
        return self._log.unmarked()

    def settle(self, entry: Entry) -> bool:
        """Find out whether a change has happened. If not, nothing of it is left."""
        if entry.temporary is None:
            return True
        *folders, _ = names.path_of(entry.client_id, entry.name)
        unknown = translated(f"{entry.client_id}/{entry.name}", "name", definite=False)
        gone = suppress(FileNotFoundError)  # without the folder the file is gone as well, by another's hand
        with unknown, gone, descended(self._root, folders) as folder:
            if not entry.happened(is_there=exists(entry.temporary, folder)):
                self._log.forget(entry.temporary)
                remove(entry.temporary, folder)
                return False
            os.fsync(folder)
            self._finish(entry, folder)
            return True
        self._mark(entry)
        return True

    def is_needed(self, temporary_name: str) -> bool:
        """Whether a temporary file tells if a change has happened."""
        return self._log.has(temporary_name)

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _replace(self, change: Change, step: Step | None) -> int:
        *folders, file = names.path_of(change.client_id, change.name)
        entry: Entry | None = None

        def give_up(new: str) -> None:
            if entry is not None:  # without need the log is not asked: it may be why this fails
                self._log.forget(new)

        with translated(change.shown, "name"), descended(self._root, folders, make=self._on_disk) as folder:
            with temporary(folder, give_up) as (new, descriptor):
                size_bytes = _fill(descriptor, change, file, folder)
                os.fsync(descriptor)
                self._check()
                if step is not None:
                    durable = change.kind == "append"
                    if durable or not BOOT:
                        os.fsync(folder)  # an entry without temporary file means "done": the name is on disk before it is
                    added = change.entry(step, new, size_bytes)
                    with self._log.adding(added, step, durable=durable):
                        entry = added  # from here on it may be kept, even if that fails
                os.rename(new, file, src_dir_fd=folder, dst_dir_fd=folder)
            with translated(change.shown, definite=False):
                os.fsync(folder)
        if entry is not None:
            self._log.mark_later(entry)
        return size_bytes

    def _delete(self, change: Change, step: Step | None) -> bool:
        *folders, file = names.path_of(change.client_id, change.name)
        with translated(change.shown, "name"):
            with suppress(FileNotFoundError), descended(self._root, folders) as folder:
                if self._remove(folder, file, change, step):
                    return True
            if step is not None:
                with self._log.adding(change.entry(step, None, answer=False), step, durable=False):
                    pass
        return False

    def _remove(self, folder: int, file: str, change: Change, step: Step | None) -> bool:
        """Remove a file if it is there. What the folder holds is on disk then, in any case."""
        entry: Entry | None = None
        try:
            check_is_file(os.stat(file, dir_fd=folder, follow_symlinks=False).st_mode)
            if step is None:
                os.unlink(file, dir_fd=folder)
            else:
                entry = self._put_away(folder, file, change, step)
            removed = True
        except FileNotFoundError:
            removed = False  # perhaps by a call that was killed before it had reached the disk
        with translated(change.shown, definite=False):
            os.fsync(folder)
        if entry is not None:
            self._finish(entry, folder)
        return removed

    def _put_away(self, folder: int, file: str, change: Change, step: Step) -> Entry:
        """Give a file a temporary name. With its entry that means that the file is deleted."""
        away = names.temporary()
        entry = change.entry(step, away, answer=True)
        with self._log.adding(entry, step, durable=False):
            pass
        try:
            os.rename(file, away, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            self._log.forget(away)
            raise
        return entry

    def _finish(self, entry: Entry, folder: int) -> None:
        """Mark the entry of a change that has happened, then remove the file if it was deleted: till then it says so."""
        if self._mark(entry) and entry.kind == "delete" and entry.temporary is not None:
            with suppress(OSError):  # nobody sees it: it does no harm
                remove(entry.temporary, folder)

    def _mark(self, entry: Entry) -> bool:
        """Returns whether that was possible; the change is done in any case."""
        with suppress(FractosError):
            self._log.mark(entry)
            return True
        return False


def _fill(target: int, change: Change, file: str, folder: int) -> int:
    """Write what the file is to hold into a new one. Returns its size in bytes."""
    size_bytes = len(change.data)
    with suppress(FileNotFoundError):
        if change.kind == "append":
            size_bytes += _copy(target, change, file, folder)
        else:
            check_is_file(os.stat(file, dir_fd=folder, follow_symlinks=False).st_mode)
    write_all(target, change.data)
    return size_bytes


def _copy(target: int, change: Change, file: str, folder: int) -> int:
    """Copy a file with its permissions. Returns its size in bytes.

    Raises ResourceExhaustedError if what is to be added makes it too large.
    """
    with opened(file, folder=folder) as source:
        status = os.fstat(source)
        check_is_file(status.st_mode)
        if status.st_size + len(change.data) > MAX_FILE_BYTES:
            raise too_large(f"{change.shown} with the text", status.st_size + len(change.data), "text")
        os.fchmod(target, stat.S_IMODE(status.st_mode))
        copied = 0
        while chunk := os.read(source, CHUNK_BYTES):
            write_all(target, chunk)
            copied += len(chunk)
        return copied
