"""Ownership between real processes: who owns, who is asked, who is killed, and who is not."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from Services.fractos import owner_probe, ownership
from Services.fractos.errors import DataLossError, FailedPreconditionError, FractosError, UnavailableError
from Services.fractos.owner_files import OwnerFiles, OwnerRecord
from Services.fractos.owner_process import name_process
from Services.fractos.ownership import Elsewhere, Owned, Ownership
from Services.fractos.transport.grpc_channel import SILENCE_S
from tests.service.owning_process import YIELDED
from tests.waiting import eventually, on_event_loop

DATACENTER = "lab"
PROCESS = [sys.executable, "-m", "tests.service.owning_process"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are told apart and ended on Linux only")


class OwningProcess:
    """A node in a process of its own; see owning_process.py."""

    def __init__(self, folder: Path, node: str = "storage-0", before: tuple[str, ...] = ()) -> None:
        self.node = node
        self.process = subprocess.Popen(
            [*before, *PROCESS, str(folder), DATACENTER, node], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self.hear()["address"]

    def tell(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        heard: dict[str, Any] = json.loads(self.process.stdout.readline())
        return heard

    def ask(self, word: str) -> dict[str, Any]:
        self.tell(word)
        return self.hear()

    def lives(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


Start = Callable[..., OwningProcess]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "storage" / ".mockdc"


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts processes that are ended with the test."""
    started: list[OwningProcess] = []

    def start_one(*args: Any, **kwargs: Any) -> OwningProcess:
        started.append(OwningProcess(folder, *args, **kwargs))
        return started[-1]

    yield start_one
    for one in started:
        one.close()


@pytest.fixture
def owner(start: Start) -> OwningProcess:
    """The first owner, storage-0."""
    process = start()
    assert process.ask("take") == {"outcome": "Owned", "epoch": 1}
    return process


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For owners that never answer: every wait is a fifth as long."""
    monkeypatch.setattr(owner_probe, "TURN_S", 0.1)
    for wait in ("SILENCE_S", "DECISION_TIMEOUT_S", "TAKE_TIMEOUT_S", "KILL_TIMEOUT_S"):
        monkeypatch.setattr(ownership, wait, getattr(ownership, wait) / 5)


@contextmanager
def node(
    folder: Path, name: str = "storage-1", datacenter: str = DATACENTER, address: str = "127.0.0.1:1"
) -> Iterator[Ownership]:
    """A node in the process of the tests."""
    one = Ownership(folder, datacenter, address, name)
    try:
        yield one
    finally:
        one.close()


def read_record(folder: Path) -> OwnerRecord:
    return OwnerRecord(**json.loads((folder / "owner.json").read_text()))


def change_record(folder: Path, **changes: Any) -> None:
    OwnerFiles(folder).write(dataclasses.replace(read_record(folder), **changes))


async def refusal(one: Ownership, kind: type[FractosError]) -> str:
    """What `take()` says when it can neither own nor name the owner."""
    with pytest.raises(kind) as raised:
        await one.take()
    return raised.value.message


@on_event_loop
async def test_a_free_lock_is_taken_and_the_record_says_by_whom(folder: Path) -> None:
    with node(folder) as one:
        assert set(await asyncio.gather(one.take(), one.take(), one.take())) == {Owned(1)}
        assert await one.take() == Owned(1)
        me = name_process(os.getpid())
        assert read_record(folder) == OwnerRecord(
            1, "storage-1", "127.0.0.1:1", DATACENTER, os.getuid(), me.pid, me.started, me.host
        )


@on_event_loop
async def test_the_epoch_grows_with_every_owner(folder: Path) -> None:
    for epoch in range(1, 4):
        with node(folder) as one:
            assert await one.take() == Owned(epoch)


@on_event_loop
async def test_after_kill_9_the_lock_is_free(folder: Path, owner: OwningProcess) -> None:
    owner.close()
    with node(folder) as one:
        assert await one.take() == Owned(2)


@on_event_loop
async def test_an_owner_that_answers_stays_the_owner(folder: Path, owner: OwningProcess) -> None:
    with node(folder) as one:
        for _ in range(3):
            assert await one.take() == Elsewhere("storage-0", owner.address, 1)
        one.watch()
        for _ in range(3):
            assert await one.take() == Elsewhere("storage-0", owner.address, 1)
    assert owner.lives()
    assert owner.ask("take") == {"outcome": "Owned", "epoch": 1}


@on_event_loop
async def test_a_stopped_owner_is_killed_before_another_owns(folder: Path, owner: OwningProcess) -> None:
    owner.process.send_signal(signal.SIGSTOP)
    with node(folder) as one:
        assert set(await asyncio.gather(one.take(), one.take())) == {Owned(2)}
        assert owner.process.wait() == -signal.SIGKILL


@on_event_loop
async def test_a_watch_saves_the_wait(folder: Path, owner: OwningProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner_probe, "TURN_S", 0.1)
    with node(folder) as one:
        one.watch()
        assert await one.take() == Elsewhere("storage-0", owner.address, 1)
        owner.process.send_signal(signal.SIGSTOP)
        await eventually(lambda: one.silent_s >= SILENCE_S)
        assert owner.lives()  # a watch kills nobody
        monkeypatch.setattr(owner_probe, "TURN_S", 3600)  # nothing more is learnt
        monkeypatch.setattr(ownership, "DECISION_TIMEOUT_S", SILENCE_S - 0.1)  # too short for who had to listen first
        await asyncio.sleep(0)
        assert await one.take() == Owned(2)
    assert owner.process.wait() == -signal.SIGKILL


@on_event_loop
async def test_a_watch_follows_from_owner_to_owner(folder: Path, owner: OwningProcess, start: Start) -> None:
    with node(folder, "storage-2") as one:
        one.watch()
        assert await one.take() == Elsewhere("storage-0", owner.address, 1)
        owner.close()
        second = start("storage-1")
        second.ask("take")
        assert await one.take() == Elsewhere("storage-1", second.address, 2)
        second.close()
        assert await one.take() == Owned(3)


@on_event_loop
async def test_nobody_was_silent_while_the_whole_machine_was_paused(folder: Path, owner: OwningProcess) -> None:
    with node(folder) as one:
        one.watch()
        assert await one.take() == Elsewhere("storage-0", owner.address, 1)
        asyncio.get_running_loop().call_soon(time.sleep, SILENCE_S + owner_probe.TURN_S)  # what a pause is to an event loop
        await asyncio.sleep(0)
        assert await one.take() == Elsewhere("storage-0", owner.address, 1)
    assert owner.lives()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(("how", "code"), [("deaf", YIELDED), ("stubborn", -signal.SIGKILL)])
@on_event_loop
async def test_a_silent_owner_is_asked_first(folder: Path, owner: OwningProcess, how: str, code: int) -> None:
    owner.ask(how)
    with node(folder) as one:
        assert await one.take() == Owned(2)
    assert owner.process.wait() == code


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"user_id": 54321}, "belongs to user 54321"),
        ({"host": "another"}, "another host or container"),
    ],
)
@on_event_loop
async def test_a_silent_owner_that_may_not_be_killed_is_named(
    folder: Path, owner: OwningProcess, changes: dict[str, Any], why: str
) -> None:
    owner.ask("deaf")
    change_record(folder, **changes)
    with node(folder) as one:
        message = await refusal(one, FailedPreconditionError)
    assert why in message
    assert f"storage-0 at {owner.address}, the owner of {folder}" in message
    assert f"fuser {folder}/lock" in message
    assert owner.lives()


@pytest.mark.usefixtures("impatient")
@on_event_loop
async def test_the_process_that_was_given_the_id_of_the_owner_is_left_alone(folder: Path, owner: OwningProcess) -> None:
    owner.ask("deaf")
    change_record(folder, started=read_record(folder).started - 1)
    with node(folder) as one:
        assert f"fuser {folder}/lock" in await refusal(one, UnavailableError)
    assert owner.lives()


@pytest.mark.usefixtures("impatient")
@on_event_loop
async def test_a_process_that_does_not_have_the_lock_is_left_alone(folder: Path, owner: OwningProcess, start: Start) -> None:
    bystander = start("storage-2")
    owner.ask("deaf")
    change_record(folder, **dataclasses.asdict(name_process(bystander.process.pid)), address="127.0.0.1:1")
    with node(folder) as one:
        assert "does not have" in await refusal(one, FailedPreconditionError)
    assert bystander.lives()
    assert owner.lives()


@on_event_loop
async def test_another_datacenter_in_the_same_folder_is_refused(folder: Path, owner: OwningProcess) -> None:
    with node(folder, datacenter="other") as one:
        message = await refusal(one, FailedPreconditionError)
    assert "'lab'" in message
    assert "'other'" in message
    assert owner.lives()


@pytest.mark.usefixtures("impatient")
@on_event_loop
async def test_a_lock_that_an_unknown_process_holds_is_an_error(folder: Path) -> None:
    holder = OwnerFiles(folder)
    assert holder.try_lock()
    with node(folder) as one:
        assert f"fuser {folder}/lock" in await refusal(one, UnavailableError)
        holder.release()
        assert await one.take() == Owned(1)


@on_event_loop
async def test_the_record_may_come_after_the_lock(folder: Path, start: Start) -> None:
    """The record is that of the owner before, then that of the one that has the lock."""
    before, after = start("storage-0"), start("storage-2")
    before.ask("take")
    before.close()
    holder = OwnerFiles(folder)
    assert holder.try_lock()
    with node(folder) as one:
        taking = asyncio.create_task(one.take())
        epoch = holder.next_epoch()
        await eventually(lambda: OwnerFiles(folder).read() is None)
        process = dataclasses.asdict(name_process(after.process.pid))
        holder.write(OwnerRecord(epoch, after.node, after.address, DATACENTER, os.getuid(), **process))
        assert await taking == Elsewhere("storage-2", after.address, 2)
        holder.release()


@pytest.mark.usefixtures("impatient")
@on_event_loop
async def test_who_answers_at_the_address_of_a_dead_owner_is_not_the_owner(
    folder: Path, owner: OwningProcess, start: Start
) -> None:
    """A port is given to another process later."""
    owner.close()
    change_record(folder, address=start("math-0").address)
    holder = OwnerFiles(folder)
    assert holder.try_lock()
    with node(folder) as one:
        await refusal(one, UnavailableError)
    holder.release()


@pytest.mark.usefixtures("impatient")
@on_event_loop
async def test_a_process_is_not_told_to_ask_itself(folder: Path, start: Start) -> None:
    with node(folder, address=start("storage-0").address) as one, node(folder) as two:
        assert await one.take() == Owned(1)
        await refusal(two, UnavailableError)
        assert await one.take() == Owned(1)


@on_event_loop
async def test_a_lock_that_comes_free_during_a_take_is_taken(folder: Path) -> None:
    holder = OwnerFiles(folder)
    assert holder.try_lock()
    with node(folder) as one:
        taking = asyncio.create_task(one.take())
        await asyncio.sleep(0)
        holder.release()
        assert await taking == Owned(1)


@on_event_loop
async def test_who_cancels_a_take_leaves_it_to_the_others(folder: Path) -> None:
    holder = OwnerFiles(folder)
    assert holder.try_lock()
    with node(folder) as one:
        first, second = asyncio.create_task(one.take()), asyncio.create_task(one.take())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        holder.release()
        assert await second == Owned(1)


@on_event_loop
async def test_a_closed_ownership_takes_nothing(folder: Path, owner: OwningProcess) -> None:
    owner.ask("deaf")
    with node(folder) as one:
        one.watch()
        taking = asyncio.create_task(one.take())
        await asyncio.sleep(0)
        one.close()
        with pytest.raises(UnavailableError, match="is stopping"):
            await taking
        one.close()
        with pytest.raises(UnavailableError, match="is stopping"):
            await one.take()


@on_event_loop
async def test_a_started_program_does_not_keep_the_lock(folder: Path) -> None:
    with node(folder, "storage-0") as one, node(folder) as two:
        assert await one.take() == Owned(1)
        child = await asyncio.create_subprocess_exec("sleep", "3600", close_fds=False)
        try:
            one.close()
            assert await two.take() == Owned(2)
        finally:
            child.kill()
            await child.wait()


@on_event_loop
async def test_what_is_damaged_is_named_and_can_be_mended(folder: Path, owner: OwningProcess) -> None:
    owner.close()
    healthy = (folder / "owner.json").read_bytes()
    (folder / "owner.json").write_text("{")
    (folder / "lock").write_text("00000")
    with node(folder) as one:
        message = await refusal(one, DataLossError)
        assert str(folder / "owner.json") in message
        assert str(folder / "lock") in message
        other = OwnerFiles(folder)
        assert other.try_lock()  # who cannot own does not keep the lock
        other.release()
        (folder / "owner.json").write_bytes(healthy)
        assert await one.take() == Owned(2)


@pytest.mark.parametrize("lose", [signal.SIGKILL, signal.SIGSTOP])
def test_of_several_takers_one_owns_and_all_agree(start: Start, lose: signal.Signals) -> None:
    takers = [start(f"storage-{i}") for i in range(3)]
    for epoch in range(1, 4):
        for taker in takers:
            taker.tell("take")
        outcomes = {taker: taker.hear() for taker in takers}
        (winner,) = (taker for taker in takers if outcomes[taker]["outcome"] == "Owned")
        assert outcomes.pop(winner)["epoch"] == epoch
        said = {"outcome": "Elsewhere", "node": winner.node, "address": winner.address, "epoch": epoch}
        assert all(outcome == said for outcome in outcomes.values())
        winner.process.send_signal(lose)
        takers.remove(winner)


def may_mount() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not os.environ.get("CI") and not may_mount(), reason="only root may mount")
@pytest.mark.parametrize(
    ("mount", "error", "said"),
    [
        ('mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"', "FailedPreconditionError", "mount it for writing"),
        (
            'mount -t tmpfs -o size=16k tmpfs "$0" && { head -c 64k /dev/zero > "$0/filler" || true; }',
            "ResourceExhaustedError",
            "make room on that disk",
        ),
    ],
    ids=["read-only", "full"],
)
def test_a_disk_that_refuses_is_named(folder: Path, start: Start, mount: str, error: str, said: str) -> None:
    folder.parent.mkdir()
    one = start("storage-0", before=("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', str(folder.parent)))
    outcome = one.ask("take")
    assert outcome["outcome"] == error
    assert said in outcome["message"]
    assert str(folder) in outcome["message"]
