"""A program that kills appends, writes and deletes at every one of their system calls, and checks what is left each time.

Run by test_storage_append_crashes.py as a process of its own: it forks, which the tests' process with its threads must not.
"""

from __future__ import annotations

import itertools
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from Services.fractos.errors import NotFoundError
from Services.StorageNode.Node.files import Files
from tests.system_calls import can_trace, killed_at

OLD, ADDED = "old" * 1000, "added" * 1000
KEY = "0123/4"
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


def append(root: Path, name: str = "a") -> None:
    """One append by a process that ends then."""
    files = Files(root)
    files.append("admin", name, ADDED, KEY)
    files.close()


def check_repeated(root: Path, before: str, after: str) -> bool:
    """Recover and repeat a killed append. Returns whether it had happened."""
    files = files_of(root)
    seen = content(files)
    assert seen in (before or None, after), seen
    files.recover()
    assert content(files) == seen, "recovery changed a file"
    assert not leftovers(root)
    assert files.append("admin", "a", ADDED, KEY) == len(after)
    assert files.append("admin", "a", ADDED, KEY) == len(after)
    assert content(files) == after
    files.close()
    return seen == after


def check_overtaken(root: Path, before: str, after: str) -> bool:
    """Write and delete the file of a killed append, without a recovery, then repeat it. Returns whether it had happened."""
    files = files_of(root)
    seen = content(files)
    assert seen in (before or None, after), seen
    files.write("admin", "a", b"new")
    assert files.append("admin", "a", "!", step("another/1")) == 4
    happened = seen == after
    assert files.append("admin", "a", ADDED, KEY) == (len(after) if happened else 4 + len(ADDED))
    assert content(files) == ("new!" if happened else "new!" + ADDED)
    assert files.delete("admin", "a")
    assert files.append("admin", "a", ADDED, KEY) == (len(after) if happened else 4 + len(ADDED))
    assert content(files) is None
    files.recover()
    assert content(files) is None
    assert not leftovers(root)
    files.close()
    return happened


def check_killed_again(root: Path, before: str, after: str) -> bool:
    """Kill the recovery as well, again and again, each time later, until one gets through."""
    start = random.Random(str(root)).randrange(1, 20)
    for call in itertools.count(start, 20):
        if not killed_at(call, lambda: files_of(root).recover()):
            break
    return check_repeated(root, before, after)


CHECKS = {"repeated": check_repeated, "overtaken": check_overtaken, "killed_again": check_killed_again}


def kill_everywhere(prepared: Path, before: str, check: Callable[[Path, str, str], bool]) -> list[bool]:
    """Kill an append at every system call. Returns for each kill whether the append had happened."""
    happened = []
    for call, root in enumerate(roots(prepared), 1):
        killed = killed_at(call, lambda root=root: append(root))  # type: ignore[misc]
        happened.append(check(root, before, before + ADDED))
        if not killed:
            assert happened[-1], "it was acknowledged"
            return happened
    raise AssertionError


def change_randomly(root: Path, seed: int, steps: int) -> int:
    """Appends, writes and deletes of three files, most of them killed somewhere. Returns how many were killed."""
    rng = random.Random(seed)
    files = files_of(root)
    expected: dict[str, str | None] = dict.fromkeys("abc")
    kills = 0
    for step in range(steps):
        name, text, kind = rng.choice("abc"), f"<{step}>", rng.choice(("append", "append", "write", "delete"))
        old = expected[name]
        new = {"append": (old or "") + text, "write": text, "delete": None}[kind]
        files.close()

        def change(kind: str = kind, name: str = name, text: str = text, step: int = step) -> None:
            mine = Files(root)
            if kind == "append":
                mine.append("admin", name, text, step(f"run/{step}"))
            elif kind == "write":
                mine.write("admin", name, text.encode())
            else:
                mine.delete("admin", name)

        killed = killed_at(rng.randrange(1, 150), change)
        kills += killed
        files = files_of(root)
        if rng.random() < 0.5:
            files.recover()
        seen = content(files, name)
        assert seen in ({old, new} if killed else {new}), (kind, killed, seen)
        expected[name] = seen
        if killed and kind == "append" and rng.random() < 0.7:
            files.append("admin", name, text, step(f"run/{step}"))
            expected[name] = new
        assert {name: content(files, name) for name in "abc"} == expected
    files.recover()
    assert not leftovers(root)
    files.close()
    return kills


def main(folder: str, scenario: str, detail: str) -> None:
    """Print how many kills there were, and after how many of them the append had happened.

    `scenario` is "first" (append of a storage folder), "later" or "random"; `detail` one of CHECKS, or the seed.
    """
    root = Path(folder)
    if not can_trace():
        raise SystemExit(NOT_PERMITTED)
    files = files_of(root)
    if scenario == "random":
        print(change_randomly(root, int(detail), 150), 0)
        return
    if scenario == "later":
        files.write("admin", "a", OLD.encode())
        files.append("admin", "b", "x", step("an earlier one"))
    files.close()
    happened = kill_everywhere(root, OLD if scenario == "later" else "", CHECKS[detail])
    assert happened == sorted(happened), "there is one moment at which it happens"
    print(len(happened), sum(happened))


if __name__ == "__main__":
    main(*sys.argv[1:])
