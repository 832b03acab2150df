"""Which changes of files were made, and for which step of which run: a SQLite database in the storage folder.

An entry is kept before its change happens, and the change happens in the moment in which a file is renamed. Until a write or an
append has happened, the file as it will be lies beside the old one, under the temporary name in the entry; so an entry together
with its temporary file says "not yet", and an entry without one "done". With a delete it is the other way round: the temporary
name is the one that the file gets. Nothing has to be written after the rename for that to be true. The mark that the entry gets
saves looking for the temporary file: it is written with the next entry, and may be lost; only a deleted file is not removed
without it.

After a start of the machine a temporary file that is missing says nothing of a write: its name may never have reached the
disk. Unmarked entries of writes are dropped then, and their steps, if they come again, write again. Those of appends stay true,
since they are on disk in that order; a delete that comes again may say that the file was not there.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from Services.fractos.errors import AbortedError, FractosError, ResourceExhaustedError
from Services.fractos.owner_process import boot_id
from Services.fractos.step import Step
from Services.StorageNode.Node import names
from Services.StorageNode.Node.faults import translated, translated_database
from Services.StorageNode.Node.folders import opened

# Which start of the machine this is, as `user_version` can hold it; 0: not known, and then each write brings its temporary name
# to the disk.
BOOT = (zlib.crc32(boot.encode()) >> 1) + 1 if (boot := boot_id()) else 0

KEPT_S = 10.0  # beyond the run's deadline: each of two clocks may be 5 s from that of the node that set it
MAX_ENTRIES = 1_000_000  # of some 300 bytes
BUSY_TIMEOUT_S = 5.0  # a predecessor that is being killed may still hold the database

Kind = Literal["write", "append", "delete"]

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS changes (
        id INTEGER PRIMARY KEY,
        step_key TEXT NOT NULL UNIQUE,
        digest BLOB NOT NULL,
        kind TEXT NOT NULL,
        client_id TEXT NOT NULL,
        name TEXT NOT NULL,
        temporary TEXT,
        answer INTEGER NOT NULL,
        kept_until REAL NOT NULL
    );
    CREATE INDEX IF NOT EXISTS unmarked ON changes (temporary) WHERE temporary IS NOT NULL;
    CREATE INDEX IF NOT EXISTS by_time ON changes (kept_until);
"""
# More than one at a time, so that they do go, but not all: after a busy hour nobody waits until a million entries are gone.
_PRUNE = "DELETE FROM changes WHERE id IN (SELECT id FROM changes WHERE kept_until < ? ORDER BY kept_until LIMIT 100)"
# Counting takes long, so it is done only when the ids, which have gaps, say that there may be too many.
_MOST = "SELECT coalesce((SELECT max(id) FROM changes) - (SELECT min(id) FROM changes) + 1, 0)"
_COUNT = "SELECT count(*) FROM changes"
_COLUMNS = "step_key, digest, kind, client_id, name, temporary, answer"


@dataclass(frozen=True)
class Entry:
    """One change."""

    step_key: str
    digest: bytes  # of what was to be done
    kind: Kind
    client_id: str
    name: str
    temporary: str | None  # the own name of the file that is renamed to `name`, or the other way round; None: it is done
    answer: int  # the file's size in bytes; for a delete, whether it was there

    def happened(self, *, is_there: bool) -> bool:
        """Whether the change has happened, if that was not noted: it is told by whether the temporary file is there."""
        return is_there == (self.kind == "delete")


class ChangeLog:
    """The entries of one storage folder. Opened when it is first needed. Safe to use from several threads and processes.

    Everything raises an error of the tree if the database cannot be used; the next call opens it anew.
    """

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix time in seconds, as deadlines of runs do."""
        self._root = root
        self._path = root / names.OWN_FOLDER / "changes.db"
        self._clock = clock
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None  # device and inode
        self._to_mark: list[str] = []  # the temporary names of entries whose changes are done: one a thread of the node at most

    def find(self, step_key: str) -> Entry | None:
        """The entry of a step, if there is one."""
        return next(iter(self._select("step_key = ?", step_key)), None)

    def unmarked(self) -> list[Entry]:
        """The entries that were never marked as done: few, and all of changes that were broken off."""
        return self._select("temporary IS NOT NULL")

    def has(self, temporary: str) -> bool:
        """Whether a temporary file belongs to an entry."""
        return bool(self._select("temporary = ?", temporary))

    @contextmanager
    def adding(self, entry: Entry, step: Step, *, durable: bool) -> Iterator[None]:
        """Keep an entry: from when the block ends it outlives the process, if `durable` a power failure too; not before.

        Those that no run can ask for any more go. Raises AbortedError if the step has one already, ResourceExhaustedError at
        MAX_ENTRIES.
        """
        columns = (entry.digest, entry.kind, entry.client_id, entry.name, entry.temporary, entry.answer)
        with self._transaction(durable=durable) as database:
            database.execute(_PRUNE, (self._clock(),))
            if all(database.execute(query).fetchone()[0] >= MAX_ENTRIES for query in (_MOST, _COUNT)):
                raise ResourceExhaustedError(
                    f"{MAX_ENTRIES:,} changes of files are remembered, which is the limit; each is until a little after the"
                    " deadline of its run: use shorter timeouts or submit more slowly",
                    retry_after_s=10.0,
                )
            try:
                values = (step.key, *columns, step.deadline + KEPT_S)
                database.execute(f"INSERT INTO changes ({_COLUMNS}, kept_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            except sqlite3.IntegrityError as error:
                raise other_inputs(entry) from error
            yield

    def mark(self, entry: Entry) -> None:
        """Note that the change of an entry is done. Does not wait for the disk: it can be found out again."""
        self.mark_later(entry)
        self._write_marks()

    def mark_later(self, entry: Entry) -> None:
        """Have that noted with the next entry."""
        if entry.temporary is not None:
            self._to_mark.append(entry.temporary)

    def forget(self, temporary: str) -> None:
        """Remove the entry that a temporary file belongs to, if there is one, and return once that is on disk."""
        if self.has(temporary):
            with self._transaction() as database:
                database.execute("DELETE FROM changes WHERE temporary = ?", (temporary,))

    def close(self) -> None:
        """Close the database."""
        if self._to_mark and self._connection is not None:
            with suppress(FractosError):  # what is not marked is found out again
                self._write_marks()
        with self._lock:
            self._close()

    def _select(self, condition: str, *values: str) -> list[Entry]:
        # Who cannot look does not know whether an earlier attempt of the step has done it.
        with self._lock, self._translated(definite=False):
            if self._connection is None and not self._path.exists():
                return []  # looking makes no file
            rows = self._connected(definite=False).execute(f"SELECT {_COLUMNS} FROM changes WHERE {condition}", values)
            return [Entry(*row) for row in rows]

    def _write_marks(self) -> None:
        with self._transaction(durable=False):
            pass  # that begins with them

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            database = self._connected(definite=True)
            database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            database.execute("BEGIN IMMEDIATE")
            try:
                marked = [(name,) for name in self._to_mark]
                database.executemany("UPDATE changes SET temporary = NULL WHERE temporary = ?", marked)
                yield database
                database.execute("COMMIT")
                del self._to_mark[: len(marked)]
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    def _connected(self, *, definite: bool) -> sqlite3.Connection:
        """The connection to the database that lies there now: somebody may have moved the storage folder and made a new one."""
        with translated(str(self._path), definite=definite):
            if self._connection is not None and self._opened == _identity(self._path):
                return self._connection
            self._close()
            folder = self._path.parent
            if not folder.exists():
                folder.mkdir(exist_ok=True)
                with opened(str(self._root), os.O_RDONLY) as above:
                    os.fsync(above)
        self._connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=16
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(_SCHEMA)
        _note_boot(self._connection)
        self._opened = _identity(self._path)
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _translated(self, *, definite: bool = True) -> Iterator[None]:
        with translated_database(self._path, definite=definite):
            try:
                yield
            except sqlite3.Error:
                self._close()  # whatever state it is in, the next call begins afresh
                raise


def other_inputs(entry: Entry) -> AbortedError:
    """The error for a step that was done with other inputs than it has now."""
    return AbortedError(
        f"an earlier attempt of this step made another change ({entry.kind} {entry.client_id}/{entry.name}): what an earlier"
        " step read has changed since; run the graph again",
        definite=False,
    )


def _note_boot(database: sqlite3.Connection) -> None:
    """Drop what an earlier start of the machine left in doubt. In a database that knows of no start nothing is."""
    (before,) = database.execute("PRAGMA user_version").fetchone()
    if BOOT and before != BOOT:
        database.execute("BEGIN IMMEDIATE")
        if before:
            database.execute("DELETE FROM changes WHERE temporary IS NOT NULL AND kind = 'write'")
        database.execute(f"PRAGMA user_version = {BOOT}")
        database.execute("COMMIT")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
