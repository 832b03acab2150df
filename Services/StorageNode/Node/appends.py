"""Appends to files, each done exactly once for a step of a run, also when the process is killed at any moment.

The new contents of the file, old and added, are made under a temporary name and put on disk; then the log gets an entry with
that name (`append_log.py`); then the temporary file is renamed. Killed before the rename, the append has not happened, and
recovery removes entry and temporary file, in this order; killed after it, the append has happened and the entry answers for it
from now on. Nothing is ever completed later: what was not acknowledged at the kill and had not happened does not happen by
itself, only when the step is repeated.

So recovery never touches a file of a client, and whatever was written, appended or deleted between the kill and the recovery
stays as it is. While the process lives, Files lets only one call at a time change a file: no write gets between the copy of
the old contents and the rename. Another process would not wait, so only the owner of the storage folder may append.

Readers see the old contents or the new ones, as with a write. The price is a copy of the file for each append.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path

from Services.fractos.errors import FractosError
from Services.StorageNode.Node import names
from Services.StorageNode.Node.append_log import AppendLog, Entry, other_inputs
from Services.StorageNode.Node.faults import check_is_file, translated
from Services.StorageNode.Node.folders import descended, opened
from Services.StorageNode.Node.replacement import MAX_FILE_BYTES, exists, remove, temporary, too_large, write_all

CHUNK_BYTES = 1 << 20


class Appends:
    """The appends to the files in one storage folder. Calls for the same file must not overlap: Files sees to that."""

    def __init__(self, root: Path, append_log: AppendLog) -> None:
        self._root = root
        self._log = append_log

    def append(self, step_key: str, client_id: str, name: str, data: bytes) -> int:
        """Add `data` at the end of a file unless that was done for this step, and return the file's size then, in bytes.

        Raises AbortedError if it was done for this step with other inputs.
        """
        done = self._log.find(step_key)
        if done is not None and done.digest != _digest(client_id, name, data):
            raise other_inputs(done)
        if done is not None and self.settle(done):
            return done.size_bytes
        entry = self._append(step_key, client_id, name, data)
        self._mark(entry)
        return entry.size_bytes

    def unsettled(self) -> list[Entry]:
        """The appends of which it is not known whether they happened."""
        return self._log.unmarked()

    def settle(self, entry: Entry) -> bool:
        """Find out whether an append has happened. If not, nothing of it is left."""
        if entry.temporary is None:
            return True
        *folders, _ = names.path_of(entry.client_id, entry.name)
        unknown = translated(f"{entry.client_id}/{entry.name}", "name", definite=False)
        gone = suppress(FileNotFoundError)  # without the folder the file is gone as well, by another's hand
        with unknown, gone, descended(self._root, folders) as folder:
            if exists(entry.temporary, folder):
                self._log.forget(entry.temporary)
                remove(entry.temporary, folder)
                return False
            os.fsync(folder)
        self._mark(entry)
        return True

    def is_needed(self, temporary_name: str) -> bool:
        """Whether a temporary file says that an append has not happened."""
        return self._log.has(temporary_name)

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    def _append(self, step_key: str, client_id: str, name: str, data: bytes) -> Entry:
        *folders, file = names.path_of(client_id, name)
        shown = f"{client_id}/{name}"
        recorded = False

        def give_up(new: str) -> None:
            if recorded:  # without need the log is not asked: it may be why this fails
                self._log.forget(new)

        with translated(shown, "name"), descended(self._root, folders, make=True) as folder:
            with temporary(folder, give_up) as (new, descriptor):
                size_bytes = _copy(file, folder, descriptor, shown, len(data))
                write_all(descriptor, data)
                os.fsync(descriptor)
                os.fsync(folder)  # an entry without temporary file means "done": the name is on disk before the entry is
                entry = Entry(step_key, _digest(client_id, name, data), client_id, name, new, size_bytes)
                with self._log.adding(entry):
                    recorded = True
                os.rename(new, file, src_dir_fd=folder, dst_dir_fd=folder)
            with translated(shown, definite=False):
                os.fsync(folder)
        return entry

    def _mark(self, entry: Entry) -> None:
        with suppress(FractosError):  # it is done, whether or not it can be marked
            self._log.mark(entry)


def _copy(file: str, folder: int, target: int, shown: str, added_bytes: int) -> int:
    """Copy a file, if there is one, with its permissions. Returns its size in bytes with what is to be added.

    Raises ResourceExhaustedError if that is too large.
    """
    with suppress(FileNotFoundError), opened(file, folder=folder) as source:
        status = os.fstat(source)
        check_is_file(status.st_mode)
        if status.st_size + added_bytes > MAX_FILE_BYTES:
            raise too_large(f"{shown} with the text", status.st_size + added_bytes, "text")
        os.fchmod(target, stat.S_IMODE(status.st_mode))
        return _copy_contents(source, target) + added_bytes
    return added_bytes


def _copy_contents(source: int, target: int) -> int:
    copied = 0
    while chunk := os.read(source, CHUNK_BYTES):
        write_all(target, chunk)
        copied += len(chunk)
    return copied


def _digest(client_id: str, name: str, data: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for part in (client_id.encode(), name.encode(), data):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
