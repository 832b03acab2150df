"""Files while others write them: processes that are killed, other nodes on the same folder, folders that turn into links."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from Services.fractos.errors import FractosError
from Services.StorageNode.Node.files import Files

OLD, NEW = b"old" * 100_000, b"new" * 200_000

# Writes NEW and stops for ever right before or right after one call of the operating system.
WRITER = textwrap.dedent(
    """
    import os, sys, threading
    from pathlib import Path
    from Services.StorageNode.Node.files import Files

    root, call, when = sys.argv[1:]
    real = getattr(os, call)

    def stop():
        print("stopped", flush=True)
        threading.Event().wait()

    def stopping(*arguments, **options):
        if when == "before":
            stop()
        result = real(*arguments, **options)
        stop()
        return result

    setattr(os, call, stopping)
    Files(Path(root)).write("admin", "a", b"new" * 200_000)
    """
)


@contextmanager
def stopped_writer(root: Path, call: str, when: str) -> Iterator[None]:
    """Kill the writer, for real, when the block ends."""
    command = [sys.executable, "-c", WRITER, str(root), call, when]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as writer:
        try:
            assert writer.stdout
            assert writer.stdout.readline() == b"stopped\n"
            yield
        finally:
            writer.kill()


@pytest.mark.parametrize(
    ("call", "when", "expected"),
    [("write", "before", OLD), ("write", "after", OLD), ("rename", "before", OLD), ("rename", "after", NEW)],
    ids=["before write", "after write", "before rename", "after rename"],  # the files' contents would be long ones
)
def test_a_killed_write_leaves_the_old_or_the_new_file(tmp_path: Path, call: str, when: str, expected: bytes) -> None:
    files = Files(tmp_path)
    files.start()
    files.write("admin", "a", OLD)
    with stopped_writer(tmp_path, call, when):
        during = list((tmp_path / "admin").iterdir())
        assert files.list("admin") == ["a"]
        assert files.read("admin", "a") == expected
        Files(tmp_path).start()
        assert list((tmp_path / "admin").iterdir()) == during  # a node that starts lets a living one finish
    assert files.list("admin") == ["a"]
    assert files.read("admin", "a") == expected
    Files(tmp_path).start()
    assert [path.name for path in (tmp_path / "admin").iterdir()] == ["a"]


def test_readers_see_whole_files_and_nodes_that_start_disturb_no_writer(tmp_path: Path) -> None:
    writers = [Files(tmp_path), Files(tmp_path)]
    writers[0].start()
    contents = [bytes([number]) * 50_000 * (number + 1) for number in range(2)]
    done = threading.Event()

    def write(number: int) -> None:
        for _ in range(15):
            writers[number].write("admin", "sub/a", contents[number])

    def start_over() -> None:
        while not done.is_set():
            Files(tmp_path).start()

    writers[0].write("admin", "sub/a", contents[0])
    with ThreadPoolExecutor() as threads:
        starter = threads.submit(start_over)
        writing = [threads.submit(write, number) for number in range(2)]
        try:
            while not all(future.done() for future in writing):
                assert writers[0].read("admin", "sub/a") in contents
        finally:
            done.set()
        for future in (starter, *writing):
            future.result()
    assert writers[0].list("admin") == ["sub/a"]


def test_a_folder_that_turns_into_a_link_leads_nowhere(tmp_path: Path) -> None:
    """Names are not resolved first and opened later: there is no moment in between."""
    root, outside = tmp_path / "storage", tmp_path / "outside"
    outside.mkdir()
    for name in ("a", "b"):
        (outside / name).write_text("secret")
    files = Files(root)
    files.start()
    files.write("admin", "sub/a", b"x")
    (root / "admin" / "link").symlink_to("../../outside")
    done = threading.Event()

    def swap() -> None:
        admin = root / "admin"
        while not done.is_set():
            (admin / "sub").rename(admin / "folder")
            (admin / "link").rename(admin / "sub")
            (admin / "sub").rename(admin / "link")
            (admin / "folder").rename(admin / "sub")

    outcomes: set[str] = set()
    deadline = time.monotonic() + 10
    with ThreadPoolExecutor() as threads:
        swapping = threads.submit(swap)
        try:
            while len(outcomes & {"done", "PERMISSION_DENIED"}) < 2 or deadline - time.monotonic() > 9.8:
                assert time.monotonic() < deadline, outcomes
                try:
                    assert files.read("admin", "sub/a") == b"x"
                    assert files.delete("admin", "sub/b") is False
                    outcomes.add("done")
                except FractosError as error:
                    outcomes.add(error.status)
        finally:
            done.set()
        swapping.result()
    assert {path.name for path in outside.iterdir()} == {"a", "b"}
