"""The judge of a chaos, fed with histories in which something was planted: it must be found, and nothing else."""

from __future__ import annotations

from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from Services.datacenter.chaos.checker import LOST, OK, Checker, Ended, Violation
from Services.datacenter.chaos.expected_files import AppendedFile, Fate, Register, Value
from Services.datacenter.chaos.outages import Outages
from Services.datacenter.chaos.work import GRACE_S, is_lost
from Services.datacenter.chaos.workload import Files, Workload
from Services.fractos import Result
from Services.fractos.graph import Step

DONE, NOT_DONE, UNKNOWN = Fate.DONE, Fate.NOT_DONE, Fate.UNKNOWN


def judge(outages: Outages | None = None, **fields: object) -> Checker:
    """A checker that has seen one good run and one with these fields, from second 10 to second 20."""
    types = {"math-0": "math", "math-1": "math", "application-0": "application"}
    checker = Checker(outages or Outages(types))
    checker.judge(Ended("chain", frozenset({"math", "application"}), 0, 1))
    values: dict[str, object] = {"needs": frozenset({"math", "application"}), "status": OK, **fields}
    checker.judge(Ended("chain", submitted_at=10, ended_at=20, **values))  # type: ignore[arg-type]
    return checker


def all_math_out() -> Outages:
    outages = Outages({"math-0": "math", "math-1": "math", "application-0": "application"})
    outages.begin("math-0", 12)
    outages.begin("math-1", 13)
    return outages


def one_math_out() -> Outages:
    outages = Outages({"math-0": "math", "math-1": "math", "application-0": "application"})
    outages.begin("math-0", 12)
    return outages


def sorts(found: list[Violation]) -> list[str]:
    return [one.sort for one in found]


def test_good_runs_are_counted_and_break_nothing() -> None:
    checker = judge()
    assert (checker.tally.runs, checker.violations, checker.tally.failed) == (2, [], Counter())


def test_a_run_without_an_answer_is_lost() -> None:
    assert sorts(judge(status=LOST, definite=False).violations) == ["lost"]


def test_a_wrong_answer_is_passed_on_also_from_a_probe() -> None:
    planted = (Violation("wrong", "2 + 2 is 5"),)
    assert judge(violations=planted).violations == list(planted)
    checker = judge(violations=planted, probe=True)
    assert checker.violations == list(planted)
    assert (checker.tally.runs, checker.tally.probes) == (1, 1)


@pytest.mark.parametrize("status", ["INTERNAL", "NOT_FOUND", "DATA_LOSS", "CANCELLED", "RESOURCE_EXHAUSTED", "UNKNOWN"])
def test_failures_that_no_fault_explains_are_wrong(status: str) -> None:
    checker = judge(all_math_out(), status=status, detail="oh")
    assert sorts(checker.violations) == ["wrong"]
    assert f"{status}: oh" in checker.violations[0].what


@pytest.mark.parametrize("status", ["ABORTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"])
@pytest.mark.parametrize("definite", [True, False])
def test_failures_that_a_fault_explains_are_counted_by_type(status: str, definite: bool) -> None:
    checker = judge(all_math_out(), status=status, definite=definite)
    assert not checker.violations
    assert checker.tally.failed == {f"{status} ({'nothing done' if definite else 'fate unknown'})": 1}
    assert checker.tally.unkept == 0


def test_a_deadline_that_passed_while_nothing_was_out_is_wrong() -> None:
    assert sorts(judge(status="DEADLINE_EXCEEDED").violations) == ["wrong"]
    assert not judge(one_math_out(), status="DEADLINE_EXCEEDED").violations


@pytest.mark.parametrize("status", ["DEADLINE_EXCEEDED", "CANCELLED"])
def test_what_the_client_asked_for_is_no_failure(status: str) -> None:
    checker = judge(status=status, excused=frozenset({status}))
    assert not checker.violations
    assert not checker.tally.failed
    assert checker.tally.excused == {status: 1}


@pytest.mark.parametrize(
    ("fields", "unkept"),
    [
        ({"status": "UNAVAILABLE"}, 1),
        ({"status": "UNAVAILABLE", "definite": False}, 1),
        ({"status": "DEADLINE_EXCEEDED"}, 1),
        ({"status": "ABORTED"}, 0),  # inputs changed
        ({"status": "UNAVAILABLE", "definite": False, "repeatable": False}, 0),  # nobody knows, and it may not be done again
        ({"status": "UNAVAILABLE", "repeatable": False}, 1),
        ({"status": "UNAVAILABLE", "pinned": True}, 0),
    ],
)
def test_a_failure_while_one_node_of_every_type_lived_is_counted_as_a_promise_not_kept(
    fields: dict[str, object], unkept: int
) -> None:
    assert judge(one_math_out(), **fields).tally.unkept == unkept
    assert judge(all_math_out(), **fields).tally.unkept == 0


def test_more_violations_are_counted_than_kept() -> None:
    checker = judge()
    checker.report(*(Violation("wrong", str(number)) for number in range(1000)))
    assert checker.tally.violations == {"wrong": 1000}
    assert len(checker.violations) == 200


def test_a_run_is_lost_a_while_after_its_deadline_but_not_while_nobody_can_answer() -> None:
    outages = Outages({"application-0": "application"})
    assert not is_lost(10, 10 + GRACE_S, outages)
    assert is_lost(10, 11 + GRACE_S, outages)
    outages.begin("application-0", 5)
    assert not is_lost(10, 1000, outages)
    outages.end("application-0", 50)
    assert not is_lost(10, 50 + GRACE_S, outages)
    assert is_lost(10, 51 + GRACE_S, outages)


@pytest.mark.parametrize(
    ("writes", "right", "planted"),
    [
        ([("b", DONE)], ["b"], {"a": "wrong", "x": "wrong"}),  # a: the write that was acknowledged is lost
        ([("b", UNKNOWN)], ["a", "b"], {"x": "wrong"}),
        ([("b", NOT_DONE)], ["a"], {"b": "duplicated"}),
        ([("b", UNKNOWN), ("c", DONE)], ["b", "c"], {"a": "wrong"}),  # b may come late, since its end is not known
        ([("b", UNKNOWN), ("c", UNKNOWN)], ["a", "b", "c"], {}),
    ],
)
def test_a_file_that_is_replaced_holds_one_of_the_values_that_it_may(
    writes: list[tuple[Value, Fate]], right: list[Value], planted: dict[Value, str]
) -> None:
    def written() -> Register:
        register = Register("file", "a")
        for at, (value, fate) in enumerate(writes, start=1):
            register.wrote([value], fate, asked_at=at)
        return register

    for value in right:
        assert written().read(value, asked_at=9) == []
    for value, sort in planted.items():
        assert sorts(written().read(value, asked_at=9)) == [sort]


def test_what_was_read_once_is_the_truth_as_soon_as_no_write_may_come_any_more() -> None:
    register = Register("file", "a")
    register.wrote(["b"], UNKNOWN, asked_at=1, until=10)
    assert register.read("a", asked_at=5) == []
    assert register.read("b", asked_at=9) == []
    assert register.possible == {"b"}
    register.wrote(["c"], UNKNOWN, asked_at=11, until=20)
    assert register.read("b", asked_at=21) == []
    assert sorts(register.read("c", asked_at=30)) == ["wrong"]  # it happened after its time
    assert register.read("c", asked_at=31) == []  # told once


def test_a_write_that_was_acknowledged_ends_what_could_come_before_it() -> None:
    register = Register("file", 1)
    register.wrote([2], UNKNOWN, asked_at=1, until=10)
    register.wrote([3], DONE, asked_at=11)
    assert sorts(register.read(2, asked_at=12)) == ["wrong"]


def appended(*ends: tuple[str, Fate]) -> AppendedFile:
    file = AppendedFile("file")
    for line, fate in ends:
        file.appended(f"{line}\n", fate, until=10)
    return file


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\nb\n", []),
        ("a\nb\nu\n", []),
        ("u\na\nb\n", []),
        ("a\nb\na\n", ["duplicated"]),
        ("a\nb\nu\nu\n", ["duplicated"]),
        ("a\nb\nn\n", ["duplicated"]),  # it failed for certain
        ("a\n", ["lost"]),
        ("a\nb\nx\n", ["wrong"]),
        ("a\nb\nu", ["wrong"]),  # torn
        ("b\na\n", ["wrong"]),
        ("", ["lost", "lost"]),
    ],
)
def test_each_line_that_was_acknowledged_is_there_once_and_no_other_unless_its_fate_is_unknown(
    text: str, expected: list[str]
) -> None:
    file = appended(("a", DONE), ("u", UNKNOWN), ("n", NOT_DONE), ("b", DONE))
    assert sorts(file.read(text, asked_at=5)) == expected


def test_a_line_that_was_not_there_when_its_time_was_over_may_not_come_later() -> None:
    file = appended(("a", DONE), ("u", UNKNOWN))
    assert file.read("a\n", asked_at=9) == []
    assert file.read("a\nu\n", asked_at=9) == []
    file = appended(("a", DONE), ("u", UNKNOWN))
    assert file.read("a\n", asked_at=11) == []
    assert sorts(file.read("a\nu\n", asked_at=12)) == ["duplicated"]


def test_an_append_goes_to_a_new_file_when_the_last_one_is_full_but_not_before_that_was_made() -> None:

    files = Files([], [], [AppendedFile("someone-appended-0.txt")], "someone")
    workload = Workload(Random(1), files, {"math"}, {}, [])
    for fate in (DONE, UNKNOWN):
        files.appended[0].appended(f"{fate}\n", fate)
    for fate, expected in ((UNKNOWN, 1), (NOT_DONE, 1), (DONE, 2)):
        workload._begin_file().settle(fate, 1, 2)
        assert len(files.appended) == expected
    assert files.names == ["someone-appended-0.txt", "someone-appended-1.txt"]


class Answers:
    """Stands for a result: what each step of a graph has answered."""

    def __init__(self, values: dict[int, int]) -> None:
        self._values = values

    def __getitem__(self, step: Step) -> SimpleNamespace:
        return SimpleNamespace(value=self._values[step._id])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({0: 5, 3: 5 << 7}, []),
        ({0: 5 << 7, 3: 5 << 14}, ["wrong"]),  # done twice: the second attempt has read what the first had written
        ({0: 5, 3: 5}, ["wrong"]),  # the write is lost
    ],
)
def test_a_change_that_is_not_done_exactly_once_is_found_once(answers: dict[int, int], expected: list[str]) -> None:
    files = Files([], [Register("file", 5)], [], "someone")
    work = Workload(Random(1), files, {"math", "storage"}, {}, [])._change_integer()
    violations = work.judge(cast("Result", Answers(answers)), 10)
    work.settle(Fate.DONE, 10, 10)
    assert sorts(list(violations)) == expected
    assert files.integers[0].read(answers[3], asked_at=20) == []


def test_files_are_told_by_their_names_and_an_integer_must_be_one() -> None:
    files = Files.of("someone")
    text, integer = files.texts[0].name, files.integers[1].name
    assert files.read(text, "someone begins\n", asked_at=1) == []
    assert sorts(files.read(text, "1", asked_at=1)) == ["wrong"]
    assert files.read(integer, "1", asked_at=1) == []
    assert sorts(files.read(integer, "7", asked_at=1)) == ["wrong"]
    assert sorts(files.read(integer, "seven", asked_at=1)) == ["wrong"]
