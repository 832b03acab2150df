"""The files of clients, below one folder: what a storage node keeps.

Several processes may read in the same folder at a time, and write and delete if it is for no step. For steps, and to append,
only the owner of the folder may change files, and nobody else meanwhile: see `changes.py`.
"""

from __future__ import annotations

import difflib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from Services.fractos.errors import FractosError, NotFoundError
from Services.fractos.step import Step
from Services.StorageNode.Node import names
from Services.StorageNode.Node.change_log import ChangeLog
from Services.StorageNode.Node.changes import Change, Changes
from Services.StorageNode.Node.faults import check_is_file, translated
from Services.StorageNode.Node.folders import descended, make_root, opened, walk
from Services.StorageNode.Node.replacement import MAX_FILE_BYTES, remove_abandoned, too_large

NAMED = 5  # of the files that are there, when another is asked for
LOCKS = 64  # files share them; more than a node has threads, so that they seldom meet

log = logging.getLogger(__name__)


class Files:
    """Reads and writes files by client and name. `start()` first. Safe to use from several threads.

    A client's files lie in `root/<client_id>`; "/" in a name separates subfolders. All operations raise InvalidArgumentError
    for a client_id or name that cannot be one, PermissionDeniedError for links and for what the process may not touch,
    FailedPreconditionError for what is no file or a disk that is read-only, ResourceExhaustedError for a file of more than
    MAX_FILE_BYTES, a full disk or too many open files.

    A change that is made for a step is made once for that: it may be repeated, with the same answer, until a little after the
    deadline of the step's run, and raises AbortedError if it was made with other inputs. Without a step it is made each time.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time, check: Callable[[], None] = lambda: None) -> None:
        """`clock` gives Unix time in seconds. `check` is called before a change happens, and raises if nobody wants it now:
        it may have waited for another change of the file, or for the disk.
        """
        self._root = root
        self.own_folder = root / names.OWN_FOLDER
        self._changes = Changes(root, ChangeLog(root, clock), check)
        self._locks = [threading.Lock() for _ in range(LOCKS)]

    def start(self) -> None:
        """Make the storage folder if need be, and remove what writes left that were killed before they were complete."""
        with translated(str(self._root)):
            make_root(self._root)
            for path, folders, files, folder in os.fwalk(self._root):
                if path == str(self._root) and names.OWN_FOLDER in folders:
                    folders.remove(names.OWN_FOLDER)
                for file in filter(names.is_temporary, files):
                    with suppress(OSError, FractosError):  # nobody sees it: it does no harm
                        remove_abandoned(file, folder, self._changes.is_needed)

    def recover(self) -> None:
        """As the new owner of the folder, bring in order what changes left that were killed.

        Where that fails now it is done when the step is repeated; what was left does no harm until then.
        """
        try:
            for entry in self._changes.unsettled():
                with self._lock(entry.client_id, entry.name):
                    self._changes.settle(entry)
        except FractosError as error:
            log.warning("what killed changes left stays for now: %s", error)

    def close(self) -> None:
        """Close what changes keep open. The files may still be used: it is opened again."""
        self._changes.close()

    def read(self, client_id: str, name: str) -> bytes:
        """Return the contents of a file. Raises NotFoundError, naming similar files, if it is not there."""
        *folders, file = names.path_of(client_id, name)
        with translated(f"{client_id}/{name}", "name"):
            try:
                with descended(self._root, folders) as folder, opened(file, folder=folder) as descriptor:
                    return _contents(descriptor, f"{client_id}/{name}")
            except FileNotFoundError as error:
                hint = self._similar(client_id, name)
                raise NotFoundError(f"{client_id}/{name} is not there; {hint}", field="name") from error

    def write(self, client_id: str, name: str, data: bytes, *, field: str = "data", step: Step | None = None) -> None:
        """Make `data` the contents of a file, and return once it is on disk. Folders that are missing are made.

        The file is there with its old or with its new contents at any time, whatever is killed or fails. `field` is the
        argument that `data` came from.
        """
        if len(data) > MAX_FILE_BYTES:
            raise too_large(f"the {field} for {client_id}/{name}", len(data), field)
        self._change(Change("write", client_id, name, data), step)

    def append(self, client_id: str, name: str, text: str, step: Step | None = None) -> int:
        """Add a text in UTF-8 at the end of a file, and return the file's size in bytes once it is on disk.

        A file that is missing is made, with its folders. The file is there with its old or with its new contents at any
        time, whatever is killed or fails.
        """
        data = text.encode()
        if len(data) > MAX_FILE_BYTES:
            raise too_large(f"the text for {client_id}/{name}", len(data), "text")
        return self._change(Change("append", client_id, name, data), step)

    def list(self, client_id: str, prefix: str = "") -> list[str]:
        """Return the names of a client's files that begin with `prefix`, in alphabetical order; links are left out.

        A client that never wrote has none.
        """
        with translated(client_id, "client_id"):
            return sorted(self._names(client_id, prefix))

    def delete(self, client_id: str, name: str, step: Step | None = None) -> bool:
        """Remove a file, and return, once that is on disk, whether it was there. For a step it needs room on that."""
        return bool(self._change(Change("delete", client_id, name), step))

    def _change(self, change: Change, step: Step | None) -> int:
        names.path_of(change.client_id, change.name)
        with self._lock(change.client_id, change.name):
            return self._changes.make(change, step)

    def _lock(self, client_id: str, name: str) -> threading.Lock:
        """What a call holds that changes a file. No call holds two."""
        return self._locks[hash((client_id, name)) % LOCKS]

    def _names(self, client_id: str, prefix: str) -> Iterator[str]:
        with suppress(FileNotFoundError), descended(self._root, [names.folder_of(client_id)]) as folder:
            yield from walk(folder, prefix)

    def _similar(self, client_id: str, name: str) -> str:
        """What to say about a file that is missing."""
        present = list(islice(self._names(client_id, ""), 1000))
        if not present:
            return f"{client_id} has no files"
        near = difflib.get_close_matches(name, present)
        if near:
            return f"did you mean {' or '.join(near)}?"
        return f"{client_id} has {', '.join(present[:NAMED])}{' and more' if len(present) > NAMED else ''}"


def _contents(descriptor: int, shown: str) -> bytes:
    status = os.fstat(descriptor)
    check_is_file(status.st_mode)
    if status.st_size > MAX_FILE_BYTES:
        raise too_large(shown, status.st_size, "name")
    with open(descriptor, "rb", closefd=False) as stream:
        return stream.read(status.st_size)
