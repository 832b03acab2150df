"""The members as last seen, and their watchers."""

from __future__ import annotations

import pytest

from Services.fractos.directory.interface import Member
from Services.fractos.directory.roster import Roster


def member(name: str, sequence: int) -> Member:
    return Member(name.partition("-")[0], name, f"id of {name}", sequence, "127.0.0.1:1", 42, "", 0.0)


def test_watchers_hear_of_changes_and_of_nothing_else() -> None:
    roster = Roster()
    seen: list[list[str]] = []
    roster.watch(lambda members: seen.append([member.name for member in members]))
    one, two = member("math-0", 5), member("cnn-0", 6)
    for snapshot in ([], [one], [one], [two, one], [one, two], []):
        roster.replace(snapshot)
    assert seen == [[], ["math-0"], ["cnn-0", "math-0"], []]


def test_members_are_sorted_by_type_then_sequence() -> None:
    roster = Roster()
    roster.replace([member("storage-0", 1), member("math-0", 12), member("math-1", 9)])
    assert [member.name for member in roster.members] == ["math-1", "math-0", "storage-0"]


def test_a_watcher_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    roster = Roster()
    seen: list[int] = []
    roster.watch(lambda members: print(1 // (1 - len(members))))
    roster.watch(lambda members: seen.append(len(members)))
    roster.replace([member("math-0", 1)])
    assert seen == [0, 1]
    assert "ZeroDivisionError" in caplog.text
