"""The journal of runs: a SQLite database in write-ahead mode that one application node at a time owns (see `ownership.py`).

What one turn of the event loop asks for is committed as one transaction. By default nothing waits for the disk: the journal
survives the death of any process, but not a failure of the machine. With `journal_sync = full` a commit returns when the disk
has it, and then belongs into a thread.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from protos import application_pb2
from Services.fractos.errors import FailedPreconditionError, FractosError, ResourceExhaustedError
from Services.fractos.events import Recorded
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.records import AttemptRecord, EndedRun, EndRecord, Entry, Inquiry, Lot, Place, RunRecord

log = logging.getLogger(__name__)

FILE = "runs.db"
MAX_BYTES = 8 << 30  # so that the journal does not fill the disk; then no run is accepted until some are cleared
CLEARED_AT_ONCE = 200  # records, which takes some milliseconds
CHECKED_BYTES = 256 << 20  # a larger journal is not read from end to end before it is used
LOT = 100  # records that are looked through at once
RETRY_AFTER_S = 1.0
PAGE_BYTES = 16 << 10  # a graph with a picture of 48 KiB takes a third less time than in pages of 4 KiB, a small one the same
WAL_BYTES = 4 << 20  # so much is written before it is copied into the database

_TABLE = {
    "run_id": "BLOB PRIMARY KEY",
    "digest": "BLOB NOT NULL",
    "graph": "BLOB NOT NULL",  # its outline once the run has ended
    "submitted_at": "REAL NOT NULL",
    "deadline": "REAL NOT NULL",
    "placed": "TEXT NOT NULL",  # JSON: step -> [node, id]
    "attempt": "INTEGER NOT NULL",
    "failed": "INTEGER",  # NULL as the next two and the result: the run has not ended
    "forget_at": "REAL",
    "ended_at": "REAL",
    "state": "INTEGER NOT NULL DEFAULT 0",
    "client": "TEXT NOT NULL DEFAULT ''",
    "topology": "TEXT NOT NULL DEFAULT 'ring'",
    "attempts": "BLOB NOT NULL DEFAULT x''",
    "result": "BLOB",  # a serialized RunResult; the last one, so that a list need not read over it
}
_CREATE = f"CREATE TABLE IF NOT EXISTS runs ({', '.join(map(' '.join, _TABLE.items()))})"
_INDEX = "CREATE INDEX IF NOT EXISTS runs_to_forget ON runs (forget_at) WHERE forget_at IS NOT NULL"
_COLUMNS = "run_id, digest, graph, submitted_at, deadline, placed, attempt, result, client, topology, attempts"
_INSERT = f"INSERT OR IGNORE INTO runs ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?)"
_AGAIN = "UPDATE runs SET attempt = ?, placed = ?, attempts = ? WHERE run_id = ?"
# A run ends once.
_END = (
    "UPDATE runs SET result = ?, failed = ?, forget_at = ?, graph = ?, state = ?, ended_at = ?"
    " WHERE run_id = ? AND result IS NULL"
)
# The order of rowids is that in which runs were recorded, and costs nothing: an index by client took 12 us a run.
_LOT_BEGINS = "SELECT min(rowid) FROM (SELECT rowid FROM runs WHERE rowid < ? ORDER BY rowid DESC LIMIT ?)"
_STATE = f"CASE WHEN state THEN state WHEN failed THEN {application_pb2.FAILED} ELSE {application_pb2.SUCCEEDED} END"
_ENDED = (
    f"SELECT run_id, graph, submitted_at, deadline, COALESCE(ended_at, 0), attempt, {_STATE}, client, topology"
    " FROM runs WHERE rowid < :before AND rowid >= :first AND failed IS NOT NULL AND :client IN ('', client)"
    f" AND :state IN (0, {_STATE}) ORDER BY rowid DESC"
)


class Contents(NamedTuple):
    """What a new owner of a journal finds in it."""

    unfinished: tuple[RunRecord, ...]  # the runs that have not ended, the oldest first
    stopped: tuple[RunRecord, ...]  # those that failed or were cancelled and whose Requests nodes may still accept


class Journal:
    """The journal in one folder. Used by one thread at a time."""

    def __init__(self, folder: Path, *, full_sync: bool = False, max_bytes: int = MAX_BYTES) -> None:
        """`full_sync`: whether a commit waits for the disk."""
        self.full_sync = full_sync
        self.path = folder / FILE
        self._max_bytes = max_bytes
        self._opened: sqlite3.Connection | None = None

    def open(self, now: float) -> Contents:
        """Open the database, or make it, and return what a new owner has to go on with.

        One that is damaged is set aside under another name, not deleted. Raises FailedPreconditionError or
        ResourceExhaustedError if that is impossible.
        """
        self.close()
        try:
            try:
                return self._connect(now)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._set_aside(error)
                return self._connect(now)
        except (sqlite3.Error, OSError) as error:
            raise _translated(self.path, error) from error

    def find(self, run_id: bytes) -> RunRecord | None:
        """Return a run, if it is in the journal."""
        return next(iter(self._read("WHERE run_id = ?", run_id)), None)

    def look_through(self, before: int, client: str, state: application_pb2.RunState) -> Lot:
        """Look for runs that have ended, of a client and in a state, or of all and in any, among LOT records: the newest.

        Of those only that come before the place `before`: NEWEST, or where the last lot began.
        """
        database = self._database
        (first,) = database.execute(_LOT_BEGINS, (before, LOT)).fetchone()
        wanted = {"before": before, "first": first, "client": client, "state": state}
        return Lot([EndedRun(*row) for row in database.execute(_ENDED, wanted)], first)

    def commit(self, entries: Sequence[Entry]) -> Recorded:
        """Write entries, all or none. What could not be written is said in the answer."""
        known: dict[bytes, RunRecord] = {}
        database = self._database
        try:
            if len(entries) > 1:  # one alone is a transaction of its own
                database.execute("BEGIN IMMEDIATE")
            for entry in entries:
                if not self._write(database, entry) and (record := self.find(entry.run_id)) is not None:
                    known[entry.run_id] = record
            if len(entries) > 1:
                database.execute("COMMIT")
        except sqlite3.Error as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            log.error("%s does not take %d entries: %s", self.path, len(entries), error)
            return Recorded(list(entries), {}, _translated(self.path, error))
        return Recorded(list(entries), known, None)

    def clear(self, now: float) -> int:
        """Remove records whose time is over, some of them at a time. Returns how many."""
        due = "SELECT rowid FROM runs WHERE forget_at < ? ORDER BY forget_at LIMIT ?"
        try:
            return self._database.execute(f"DELETE FROM runs WHERE rowid IN ({due})", (now, CLEARED_AT_ONCE)).rowcount
        except sqlite3.Error as error:
            log.warning("%s cannot be cleared: %s", self.path, error)
            return 0

    def close(self) -> None:
        """Close the database, if it was opened."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _database(self) -> sqlite3.Connection:
        assert self._opened is not None, "open() comes first"
        return self._opened

    def _connect(self, now: float) -> Contents:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.touch(mode=0o600)  # it holds what clients compute, and their capabilities; SQLite's other files take its mode
        self.path.chmod(0o600)
        # Opened in a thread and used on the event loop; never by both at a time.
        database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=32)
        try:
            database.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # of a new journal
            database.execute("PRAGMA locking_mode = EXCLUSIVE")  # there is one owner, and locks take a third of the time
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA synchronous = {'FULL' if self.full_sync else 'OFF'}")
            (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
            database.execute(f"PRAGMA wal_autocheckpoint = {WAL_BYTES // page_bytes}")
            if self.path.stat().st_size <= CHECKED_BYTES and database.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise sqlite3.DatabaseError("its check failed")
            database.execute(_CREATE)
            _renew(database)
            database.execute(_INDEX)
            database.execute(f"PRAGMA max_page_count = {self._max_bytes // page_bytes}")
            self._opened = database
            unfinished = self._read("WHERE result IS NULL ORDER BY submitted_at")
            return Contents(unfinished, self._read("WHERE failed AND deadline > ?", now - CLOCK_BOUND_S))
        except BaseException:
            self._opened = None
            database.close()
            raise

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        aside = self.path.with_name(f"{FILE}.damaged-{time.time_ns()}")
        log.error("%s is damaged (%s); it is kept as %s, and a new one begun", self.path, error, aside.name)
        self.path.rename(aside)
        for ending in ("-wal", "-shm"):
            beside = self.path.with_name(FILE + ending)
            if beside.exists():
                beside.rename(aside.with_name(aside.name + ending))

    def _write(self, database: sqlite3.Connection, entry: Entry) -> bool:
        """Write an entry. Returns False for a run that is there already, and for a question."""
        match entry:
            case RunRecord(run_id, digest, graph, submitted_at, deadline, placed, attempt, _, client, topology, attempts):
                row = (run_id, digest, graph, submitted_at, deadline, _packed(placed), attempt, client, topology, attempts)
                return database.execute(_INSERT, row).rowcount == 1
            case EndRecord(run_id, result, failed, forget_at, outline, state, ended_at):
                database.execute(_END, (result, failed, forget_at, outline, state, ended_at, run_id))
            case AttemptRecord(run_id, attempt, placed, attempts):
                database.execute(_AGAIN, (attempt, _packed(placed), attempts, run_id))
            case Inquiry():
                return False
        return True

    def _read(self, condition: str, *values: object) -> tuple[RunRecord, ...]:
        rows = self._database.execute(f"SELECT {_COLUMNS} FROM runs {condition}", values)
        return tuple(
            RunRecord(run_id, digest, graph, submitted_at, deadline, _unpacked(placed), *others)
            for run_id, digest, graph, submitted_at, deadline, placed, *others in rows
        )


def _renew(database: sqlite3.Connection) -> None:
    """Give the table of an older journal today's columns in their order: added ones would come after the results.

    All of it is copied, once, in one transaction, which needs as much room again. That is free for new records afterwards.
    """
    columns = [column[1] for column in database.execute("PRAGMA table_info(runs)")]
    if columns == list(_TABLE):
        return
    kept = ", ".join(name for name in _TABLE if name in columns)
    log.info("the journal is of an older version: its records are copied")
    database.execute("BEGIN IMMEDIATE")
    database.execute("ALTER TABLE runs RENAME TO older")
    database.execute(_CREATE)
    database.execute(f"INSERT INTO runs ({kept}) SELECT {kept} FROM older ORDER BY rowid")
    database.execute("DROP TABLE older")
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _packed(placed: Mapping[int, Place]) -> str:
    return json.dumps(placed) if placed else ""


def _unpacked(placed: str) -> dict[int, Place]:
    return {int(step): Place(*place) for step, place in json.loads(placed).items()} if placed else {}


def _translated(path: Path, error: sqlite3.Error | OSError) -> FractosError:
    text = f"the journal {path} cannot be used: {error}"
    if "full" in str(error) or "disk I/O" in str(error):
        return ResourceExhaustedError(f"{text}; make room on its disk", retry_after_s=RETRY_AFTER_S)
    return FailedPreconditionError(f"{text}; see to it that the application node may read and write it")
