"""How a process is told from every other one, and which may be signalled."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from Services.fractos import owner_process
from Services.fractos.errors import FailedPreconditionError
from Services.fractos.owner_process import ProcessName, SilentProcess, is_gone, name_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart on Linux only")

Sleeper = subprocess.Popen[bytes]
Start = Callable[[Path], Sleeper]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    (tmp_path / "lock").touch()
    return tmp_path / "lock"


@pytest.fixture
def sleeper(lock: Path, tmp_path: Path) -> Iterator[Sleeper]:
    """A process that has `lock` open, of a program with a name that is hard to read in /proc."""
    program = tmp_path / "a) Z 1 (b"
    program.symlink_to(shutil.which("sleep") or "sleep")
    with lock.open() as file, subprocess.Popen([program, "3600"], stdin=file) as process:
        yield process
        process.kill()


def test_a_living_process_is_not_gone(sleeper: Sleeper) -> None:
    name = name_process(sleeper.pid)
    assert name.started > 0
    assert not is_gone(name)


def test_a_process_that_was_not_reaped_is_gone(sleeper: Sleeper) -> None:
    name = name_process(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(name)
    sleeper.wait()
    assert is_gone(name)


def test_another_process_with_the_same_id_is_not_taken_for_it(sleeper: Sleeper, lock: Path) -> None:
    name = name_process(sleeper.pid)
    other = dataclasses.replace(name, started=name.started + 1)
    assert is_gone(other)
    with pytest.raises(ProcessLookupError):
        SilentProcess(other, lock)


@pytest.mark.parametrize("host", ["", "another"])
def test_nothing_is_said_of_a_process_elsewhere(sleeper: Sleeper, lock: Path, host: str) -> None:
    elsewhere = dataclasses.replace(name_process(sleeper.pid), host=host, started=1)
    assert not is_gone(elsewhere)
    with pytest.raises(FailedPreconditionError, match="another host or container"):
        SilentProcess(elsewhere, lock)


def test_only_a_process_that_has_the_lock_open_may_be_ended(sleeper: Sleeper, lock: Path, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with pytest.raises(FailedPreconditionError, match="does not have"):
        SilentProcess(name_process(sleeper.pid), tmp_path / "other")
    assert sleeper.poll() is None
    process = SilentProcess(name_process(sleeper.pid), lock)
    process.kill()
    assert sleeper.wait() == -9
    process.ask_to_yield()  # nobody is there any more
    process.close()


def test_a_process_does_not_end_itself(lock: Path) -> None:
    with lock.open(), pytest.raises(FailedPreconditionError, match="this very process"):
        SilentProcess(name_process(os.getpid()), lock)


def test_a_system_that_cannot_tell_processes_apart_ends_none(
    sleeper: Sleeper, lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner_process, "_PROC", tmp_path / "proc")  # as where there is none
    name = name_process(sleeper.pid)
    assert name == ProcessName(sleeper.pid, 0, "")
    assert not is_gone(name)
    with pytest.raises(FailedPreconditionError, match="this system cannot end"):
        SilentProcess(name, lock)
    assert sleeper.poll() is None


def test_no_descriptor_is_left_after_a_refusal(sleeper: Sleeper, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    before = sorted(Path("/proc/self/fd").iterdir())
    with pytest.raises(FailedPreconditionError):
        SilentProcess(name_process(sleeper.pid), tmp_path / "other")
    assert sorted(Path("/proc/self/fd").iterdir()) == before
