"""The journal on a real disk: what was committed is there for whoever opens it next."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from protos import application_pb2
from Services.fractos.errors import FailedPreconditionError, ResourceExhaustedError
from Services.fractos.journal import CLEARED_AT_ONCE, LOT, PAGE_BYTES, Contents, Journal
from Services.fractos.records import NEWEST, AttemptRecord, EndRecord, Inquiry, Place, RunRecord

NOW = 1_700_000_000.0
ANY = application_pb2.RUN_STATE_UNSPECIFIED


def run_id(number: int) -> bytes:
    return number.to_bytes(16, "big")


def run_record(number: int, deadline: float = NOW + 30) -> RunRecord:
    return RunRecord(
        run_id(number), b"digest %d" % number, b"graph %d" % number, NOW + number, deadline, {3: Place("cnn-0", "an id")}
    )


def end_record(number: int, *, failed: bool = False, forget_at: float = NOW + 90) -> EndRecord:
    return EndRecord(run_id(number), b"result %d" % number, failed, forget_at)


@pytest.fixture(params=[False, True], ids=["normal", "full"])
def journal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal", full_sync=request.param)
    journal.open(NOW)
    yield journal
    journal.close()


def found(journal: Journal) -> Contents:
    """What the next process would find if this one were killed now."""
    left = journal.path.parent.with_name("left")
    shutil.copytree(journal.path.parent, left, dirs_exist_ok=True)
    other = Journal(left)
    contents = other.open(NOW)
    other.close()
    return contents


def test_runs_that_have_not_ended_are_found_with_how_far_they_got(journal: Journal) -> None:
    recorded = journal.commit([run_record(1), run_record(2), run_record(3)])
    assert (recorded.error, recorded.known) == (None, {})
    journal.commit([AttemptRecord(run_id(1), 2, {3: Place("cnn-1", "another")}), end_record(2)])
    assert found(journal).unfinished == (
        run_record(1)._replace(attempt=2, placed={3: Place("cnn-1", "another")}),
        run_record(3),
    )


def test_a_run_that_is_known_is_answered_as_it_is_and_left_so(journal: Journal) -> None:
    journal.commit([run_record(1)])
    journal.commit([end_record(1)])
    again = run_record(1)._replace(digest=b"another", graph=b"another graph")
    recorded = journal.commit([run_record(2), again])
    known = run_record(1)._replace(graph=b"", result=b"result 1")
    assert recorded.known == {run_id(1): known}
    assert journal.find(run_id(1)) == known
    assert journal.find(run_id(2)) == run_record(2)
    assert journal.find(run_id(3)) is None


def test_only_runs_that_failed_and_that_nodes_may_still_accept_are_told_of_again(journal: Journal) -> None:
    journal.commit([run_record(1), run_record(2), run_record(3, deadline=NOW - 100)])
    journal.commit([end_record(1, failed=True), end_record(2), end_record(3, failed=True)])
    assert [record.run_id for record in found(journal).stopped] == [run_id(1)]


def listed(journal: Journal, client: str = "", state: application_pb2.RunState = ANY) -> list[list[bytes]]:
    """The ids that each lot holds, up to the oldest."""
    lots: list[list[bytes]] = []
    before: int | None = NEWEST
    while before is not None:
        lot = journal.look_through(before, client, state)
        lots.append([record.run_id for record in lot.ended])
        before = lot.first
    return lots


def test_those_that_have_ended_are_listed_as_they_were_submitted_whatever_their_ids(journal: Journal) -> None:
    ids = [run_id(number) for number in (7, 3, 9, 5)]
    journal.commit([run_record(0)._replace(run_id=one) for one in ids])
    journal.commit([end_record(0)._replace(run_id=one, state=application_pb2.FAILED, ended_at=NOW + 9) for one in ids[:3]])
    first, *others = journal.look_through(NEWEST, "", ANY).ended
    assert (first.state, first.ended_at, first.submitted_at) == (application_pb2.FAILED, NOW + 9, NOW)
    assert [record.run_id for record in (first, *others)] == [ids[2], ids[1], ids[0]]


def test_a_client_finds_its_runs_behind_those_of_others_lot_by_lot(journal: Journal) -> None:
    mine = [run_record(number)._replace(client="me") for number in range(2)]
    others = [run_record(number)._replace(client="another") for number in range(2, LOT + 50)]
    journal.commit([*mine, *others])
    journal.commit([end_record(0), end_record(1, failed=True), *(end_record(number) for number in range(2, LOT + 50))])
    assert listed(journal, "me") == [[], [run_id(1), run_id(0)], []]
    assert listed(journal, "me", application_pb2.FAILED) == [[], [run_id(1)], []]
    assert listed(journal, "nobody") == [[], [], []]
    assert [len(lot) for lot in listed(journal)] == [LOT, 50, 0]


def test_an_older_journal_is_listed_as_far_as_it_tells(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.open(NOW)
    journal.commit([run_record(1)])
    journal.commit([end_record(1, failed=True)])
    journal.close()
    with contextlib.closing(sqlite3.connect(journal.path)) as database:
        for column in ("state", "ended_at"):
            database.execute(f"ALTER TABLE runs DROP COLUMN {column}")
    journal.open(NOW)
    (listed,) = journal.look_through(NEWEST, "", application_pb2.FAILED).ended
    assert (listed.state, listed.ended_at) == (application_pb2.FAILED, 0)
    assert journal.look_through(NEWEST, "", application_pb2.SUCCEEDED).ended == []
    journal.close()


FIRST_TABLE = """
CREATE TABLE runs (
    run_id BLOB PRIMARY KEY, digest BLOB NOT NULL, graph BLOB NOT NULL, submitted_at REAL NOT NULL, deadline REAL NOT NULL,
    placed TEXT NOT NULL, attempt INTEGER NOT NULL, result BLOB, failed INTEGER, forget_at REAL
);
CREATE INDEX runs_to_forget ON runs (forget_at) WHERE forget_at IS NOT NULL;
ALTER TABLE runs ADD COLUMN client TEXT NOT NULL DEFAULT '';
"""


def schema(journal: Journal) -> tuple[set[str], list[str]]:
    """The names of all that is in a journal that is closed, and the columns in their order."""
    with contextlib.closing(sqlite3.connect(journal.path)) as database:
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        return names, [column[1] for column in database.execute("PRAGMA table_info(runs)")]


def test_an_older_journal_gets_todays_table_with_the_results_last_and_keeps_its_records(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    row = (NOW, NOW + 30, "", 2)
    with contextlib.closing(sqlite3.connect(journal.path)) as database, database:
        database.executescript(FIRST_TABLE)
        insert = "INSERT INTO runs VALUES (?, x'01', ?, ?, ?, ?, ?, ?, ?, ?, 'a client')"
        database.execute(insert, (run_id(2), b"graph", *row, b"result", 1, NOW + 60))
        database.execute(insert, (run_id(1), b"graph", *row, None, None, None))
    ended = RunRecord(run_id(2), b"\1", b"graph", NOW, NOW + 30, {}, 2, b"result", "a client")
    unfinished = ended._replace(run_id=run_id(1), result=None)
    for _ in range(2):
        assert journal.open(NOW) == ((unfinished,), (ended,))
        journal.close()
    new = Journal(tmp_path / "new")
    new.open(NOW)
    new.close()
    assert schema(journal) == schema(new)
    assert schema(new)[1][-1] == "result"


def test_a_run_ends_once(journal: Journal) -> None:
    journal.commit([run_record(1)])
    journal.commit([end_record(1)])
    journal.commit([end_record(1, failed=True)._replace(result=b"another end")])
    assert journal.find(run_id(1)) == run_record(1)._replace(graph=b"", result=b"result 1")
    assert found(journal).stopped == ()


def test_a_question_writes_nothing_and_is_answered_if_the_run_is_known(journal: Journal) -> None:
    journal.commit([run_record(1)])
    recorded = journal.commit([Inquiry(run_id(1)), Inquiry(run_id(2))])
    assert recorded.known == {run_id(1): run_record(1)}
    assert found(journal).unfinished == (run_record(1),)


def test_what_is_over_is_cleared_some_at_a_time_and_nothing_else(journal: Journal) -> None:
    count = CLEARED_AT_ONCE + 5
    journal.commit([run_record(number) for number in range(count + 2)])
    journal.commit([end_record(number, forget_at=NOW) for number in range(count)])
    journal.commit([end_record(count, forget_at=NOW + 1)])
    assert [journal.clear(NOW + 0.5) for _ in range(3)] == [CLEARED_AT_ONCE, 5, 0]
    assert journal.find(run_id(0)) is None
    assert journal.find(run_id(count)) is not None
    assert [record.run_id for record in found(journal).unfinished] == [run_id(count + 1)]


def test_a_full_journal_takes_nothing_of_a_transaction_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    journal = Journal(tmp_path, max_bytes=1 << 20)
    journal.open(NOW)
    graph = bytes(700_000)
    journal.commit([run_record(1)._replace(graph=graph)])
    recorded = journal.commit([run_record(2), run_record(3)._replace(graph=graph)])
    assert isinstance(recorded.error, ResourceExhaustedError)
    assert recorded.error.retryable
    assert str(journal.path) in recorded.error.message
    assert journal.find(run_id(2)) is None
    assert journal.commit([end_record(1)]).error is None
    assert journal.commit([run_record(2), run_record(3)._replace(graph=graph)]).error is None
    assert len(found(journal).unfinished) == 2
    journal.close()


def test_a_journal_with_pages_of_another_size_goes_on_with_them(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    folder.mkdir()
    old = sqlite3.connect(folder / "runs.db")
    old.execute("PRAGMA page_size = 4096")
    old.execute("VACUUM")
    old.close()
    journal = Journal(folder, max_bytes=8 * PAGE_BYTES)
    journal.open(NOW)
    fits, too_large = (run_record(1)._replace(graph=bytes(pages * PAGE_BYTES)) for pages in (4, 8))
    assert isinstance(journal.commit([too_large]).error, ResourceExhaustedError)
    assert journal.commit([fits]).error is None
    assert found(journal).unfinished == (fits,)
    assert journal.path.read_bytes()[16:18] == (4096).to_bytes(2, "big")  # where SQLite keeps the size of pages
    journal.close()


def test_a_new_journal_has_large_pages(journal: Journal) -> None:
    assert journal.path.read_bytes()[16:18] == PAGE_BYTES.to_bytes(2, "big")


@pytest.mark.parametrize("damage", ["everything", "a page"])
def test_a_damaged_journal_is_set_aside_and_a_new_one_begun(tmp_path: Path, damage: str) -> None:
    journal = Journal(tmp_path)
    journal.open(NOW)
    journal.commit([run_record(number) for number in range(500)])
    journal.close()
    content = bytearray(journal.path.read_bytes())
    if damage == "everything":
        content[:] = b"x" * len(content)
    else:
        content[3 * PAGE_BYTES : 3 * PAGE_BYTES + 200] = bytes(200)
    journal.path.write_bytes(content)
    assert journal.open(NOW) == ((), ())
    assert journal.commit([run_record(1)]).error is None
    (aside,) = tmp_path.glob("runs.db.damaged-*")
    assert aside.read_bytes() == content
    journal.close()


def test_a_journal_that_cannot_be_opened_says_where_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file in the way")
    with pytest.raises(FailedPreconditionError, match=f"{tmp_path}/journal/runs.db"):
        Journal(tmp_path / "journal").open(NOW)
