"""The files of clients, below one folder: what a storage node keeps. Several processes may use the same folder at a time."""

from __future__ import annotations

import difflib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from Services.fractos.errors import NotFoundError, ResourceExhaustedError
from Services.StorageNode.Node import names
from Services.StorageNode.Node.faults import check_is_file, translated
from Services.StorageNode.Node.folders import OPEN, descended, make_root, opened, walk

NAMED = 5  # of the files that are there, when another is asked for
MAX_FILE_BYTES = 64 * 1024 * 1024  # what may travel as one value


class Files:
    """Reads and writes files by client and name. `start()` first. Safe to use from several threads.

    A client's files lie in `root/<client_id>`; "/" in a name separates subfolders. All operations raise InvalidArgumentError
    for a client_id or name that cannot be one, PermissionDeniedError for links and for what the process may not touch,
    FailedPreconditionError for what is no file or a disk that is read-only, ResourceExhaustedError for a file of more than
    MAX_FILE_BYTES, a full disk or too many open files.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def start(self) -> None:
        """Make the storage folder if need be, and remove what writes left that were killed before they were complete."""
        with translated(str(self._root)):
            make_root(self._root)
            for _, _, files, folder in os.fwalk(self._root):
                for file in filter(names.is_temporary, files):
                    _remove_abandoned(folder, file)

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

    def write(self, client_id: str, name: str, data: bytes, *, field: str = "data") -> None:
        """Make `data` the contents of a file, and return once it is on disk. Folders that are missing are made.

        The file is there with its old or with its new contents at any time, whatever is killed or fails. `field` is the
        argument that `data` came from. May be repeated.
        """
        *folders, file = names.path_of(client_id, name)
        if len(data) > MAX_FILE_BYTES:
            raise _too_large(f"the {field} for {client_id}/{name}", len(data), field)
        with translated(f"{client_id}/{name}", "name"), descended(self._root, folders, make=True) as folder:
            with suppress(FileNotFoundError):
                check_is_file(os.stat(file, dir_fd=folder, follow_symlinks=False).st_mode)
            with _temporary(folder) as (temporary, descriptor):
                _fill(descriptor, data)
                os.rename(temporary, file, src_dir_fd=folder, dst_dir_fd=folder)
            with translated(f"{client_id}/{name}", definite=False):
                os.fsync(folder)

    def list(self, client_id: str, prefix: str = "") -> list[str]:
        """Return the names of a client's files that begin with `prefix`, in alphabetical order; links are left out.

        A client that never wrote has none.
        """
        with translated(client_id, "client_id"):
            return sorted(self._names(client_id, prefix))

    def delete(self, client_id: str, name: str) -> bool:
        """Remove a file, and return, once that is on disk, whether it was there. May be repeated."""
        *folders, file = names.path_of(client_id, name)
        with translated(f"{client_id}/{name}", "name"):
            try:
                with descended(self._root, folders) as folder:
                    return _remove(folder, file, f"{client_id}/{name}")
            except FileNotFoundError:
                return False

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
        raise _too_large(shown, status.st_size, "name")
    with open(descriptor, "rb", closefd=False) as stream:
        return stream.read(status.st_size)


def _too_large(what: str, size_bytes: int, field: str) -> ResourceExhaustedError:
    return ResourceExhaustedError(f"{what} is {size_bytes:,} bytes; the limit is {MAX_FILE_BYTES:,}, split it", field=field)


@contextmanager
def _temporary(folder: int) -> Iterator[tuple[str, int]]:
    """Make a file that is invisible to clients; yield its name and descriptor. It is removed if the block raises.

    Its lock says that somebody is still writing it. A process that starts meanwhile may have seen the file in the moment
    before it was locked, and removed it: then there is no name left to it, and another is made.
    """
    while True:
        name = names.temporary()
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                yield name, descriptor
                return
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            raise
        finally:
            os.close(descriptor)


def _remove_abandoned(folder: int, name: str) -> None:
    """Remove a temporary file unless somebody is still writing it. One that cannot be removed does no harm: nobody sees it."""
    with suppress(OSError), opened(name, OPEN, folder=folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(name, dir_fd=folder)


def _fill(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def _remove(folder: int, file: str, shown: str) -> bool:
    try:
        check_is_file(os.stat(file, dir_fd=folder, follow_symlinks=False).st_mode)
        os.unlink(file, dir_fd=folder)
        removed = True
    except FileNotFoundError:
        removed = False  # perhaps by a call that was killed before it had reached the disk
    with translated(shown, definite=False):
        os.fsync(folder)
    return removed
