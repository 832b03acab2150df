"""A program that kills appends, writes and deletes at every one of their system calls, and checks what is left each time.

Run by test_storage_change_crashes.py as a process of its own: it forks, which the tests' process with its threads must not.
"""

from __future__ import annotations

import itertools
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from Services.fractos.errors import NotFoundError
from Services.fractos.step import Step
from Services.StorageNode.Node.files import Files
from tests.system_calls import can_trace, killed_at
from tests.unit.storage_steps import LATE, step

OLD, NEW = "old" * 1000, "new" * 1000
STEP = step("0123/4")
IN_MEMORY = Path("/dev/shm")  # a kill is the same on any disk, and here it costs a tenth
NOT_PERMITTED = 77  # the exit code for "this system lets nobody trace"


def files_of(root: Path) -> Files:
    """The files as the next owner finds them, before it recovers."""
    files = Files(root)
    files.start()
    return files


def content(files: Files, name: str = "a") -> str | None:
    """What a client reads."""
    try:
        return files.read("admin", name).decode()
    except NotFoundError:
        return None


def leftovers(root: Path) -> list[Path]:
    """Temporary files."""
    return list(root.rglob(".writing-*"))


def roots(prepared: Path) -> Iterator[Path]:
    """Endless copies of a storage folder, each removed when the next is asked for."""
    while True:
        with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
            yield Path(shutil.copytree(prepared, Path(folder) / "storage"))


def change(files: Files, kind: str, text: str = NEW, name: str = "a", step: Step | None = STEP) -> object:
    """One change of a file. Returns what was answered."""
    if kind == "append":
        return files.append("admin", name, text, step)
    if kind == "delete":
        return files.delete("admin", name, step)
    files.write("admin", name, text.encode(), step=step)
    return None


def effect(kind: str, before: str | None, text: str = NEW) -> tuple[object, str | None]:
    """What a change answers, and what it makes of a file with these contents."""
    if kind == "append":
        return len(before or "") + len(text), (before or "") + text
    return (before is not None, None) if kind == "delete" else (None, text)


def change_and_end(root: Path, kind: str) -> None:
    """One change by a process that ends then."""
    files = Files(root)
    change(files, kind)
    files.close()


def check_repeated(root: Path, kind: str, before: str | None) -> bool:
    """Recover and repeat a killed change. Returns whether it had happened."""
    answer, after = effect(kind, before)
    files = files_of(root)
    seen = content(files)
    assert seen in (before, after), seen
    files.recover()
    assert content(files) == seen, "recovery changed a file"
    assert not leftovers(root)
    for _ in range(2):
        assert change(files, kind) == answer
    assert content(files) == after
    files.close()
    return seen == after


def check_overtaken(root: Path, kind: str, before: str | None) -> bool:
    """Write and delete the file of a killed change, without a recovery, then repeat it. Returns whether it had happened."""
    answer, after = effect(kind, before)
    files = files_of(root)
    seen = content(files)
    assert seen in (before, after), seen
    files.write("admin", "a", b"another")
    assert files.append("admin", "a", "!", step("another/1")) == 8
    happened = seen == after
    if not happened:
        answer, after = effect(kind, "another!")
    assert change(files, kind) == answer
    assert content(files) == ("another!" if happened else after)
    assert files.delete("admin", "a", step("another/2")) is (happened or kind != "delete")
    assert change(files, kind) == answer
    assert content(files) is None
    files.recover()
    assert content(files) is None
    assert not leftovers(root)
    files.close()
    return happened


def check_killed_again(root: Path, kind: str, before: str | None) -> bool:
    """Kill the recovery as well, again and again, each time later, until one gets through."""
    start = random.Random(str(root)).randrange(1, 20)
    for call in itertools.count(start, 20):
        if not killed_at(call, lambda: files_of(root).recover()):
            break
    return check_repeated(root, kind, before)


CHECKS = {"repeated": check_repeated, "overtaken": check_overtaken, "killed_again": check_killed_again}
STRIDES = {"overtaken": 2, "killed_again": 3}  # which of the kills are tried, for the sake of time


def kill_everywhere(prepared: Path, kind: str, before: str | None, check_name: str) -> list[bool]:
    """Kill a change at every system call, or some of them. Returns for each kill whether the change had happened."""
    happened = []
    check: Callable[[Path, str, str | None], bool] = CHECKS[check_name]
    for call, root in zip(itertools.count(1, STRIDES.get(check_name, 1)), roots(prepared), strict=False):
        killed = killed_at(call, lambda root=root: change_and_end(root, kind))  # type: ignore[misc]
        happened.append(check(root, kind, before))
        if not killed:
            assert happened[-1], "it was acknowledged"
            return happened
    raise AssertionError


def change_randomly(root: Path, seed: int, changes: int) -> int:
    """Appends, writes and deletes of three files, most of them killed somewhere. Returns how many were killed."""
    rng = random.Random(seed)
    files = files_of(root)
    expected: dict[str, str | None] = dict.fromkeys("abc")
    kills = 0
    for number in range(changes):
        kind, text, name = rng.choice(("append", "append", "write", "delete")), f"<{number}>", rng.choice("abc")
        step = rng.choice((None, Step(f"run/{number}", LATE), Step(f"run/{number}", LATE)))
        answer, after = effect(kind, expected[name], text)
        files.close()
        killed = killed_at(rng.randrange(1, 150), partial(change, Files(root), kind, text, name, step))
        kills += killed
        files = files_of(root)
        if rng.random() < 0.5:
            files.recover()
        seen = content(files, name)
        assert seen in ({expected[name], after} if killed else {after}), (kind, killed, seen)
        expected[name] = seen
        if step is not None and rng.random() < 0.7:
            assert change(files, kind, text, name, step) == answer
            expected[name] = after
        assert {name: content(files, name) for name in "abc"} == expected
    files.recover()
    assert not leftovers(root)
    files.close()
    return kills


def main(folder: str, scenario: str, *details: str) -> None:
    """Print how many kills there were, and after how many of them the change had happened.

    `scenario` is "random" with a seed, or "first" (change in a storage folder) or "later", with a kind of change and one of
    CHECKS.
    """
    root = Path(folder)
    if not can_trace():
        raise SystemExit(NOT_PERMITTED)
    files = files_of(root)
    if scenario == "random":
        print(change_randomly(root, int(details[0]), 150), 0)
        return
    if scenario == "later":
        files.write("admin", "a", OLD.encode())
        files.append("admin", "b", "x", step("an earlier one"))
    files.close()
    kind, check = details
    happened = kill_everywhere(root, kind, OLD if scenario == "later" else None, check)
    assert happened == sorted(happened), "there is one moment at which it happens"
    print(len(happened), sum(happened))


if __name__ == "__main__":
    main(*sys.argv[1:])
