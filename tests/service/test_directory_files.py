"""The directory in a folder: what only files can do, or suffer."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from protos import fractos_pb2
from Services.fractos.directory import open_directory
from Services.fractos.directory.changes import Changes, InotifyChanges, PollingChanges, follow_changes
from Services.fractos.directory.entry import Registration, encode
from Services.fractos.directory.files import FileDirectory
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import DataLossError, UnavailableError
from tests.service.datacenter import Datacenter
from tests.waiting import eventually, on_event_loop

asyncinotify = pytest.importorskip("asyncinotify", reason="inotify is there on Linux only")


@pytest.fixture
def datacenter(tmp_path: Path) -> Datacenter:
    return Datacenter(DirectoryRecord("files", str(tmp_path), "lab"), open_directory)


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    """The folder of entries, there before anyone is."""
    folder = tmp_path / "lab" / "nodes"
    folder.mkdir(parents=True)
    return folder


def entries(nodes: Path) -> list[Path]:
    return list(nodes.iterdir())


@on_event_loop
async def test_the_entry_of_a_dead_process_is_deleted_by_whoever_comes(datacenter: Datacenter, nodes: Path) -> None:
    async with datacenter:
        process, _ = await datacenter.process(0)
        process.kill()
        process.wait()
        assert len(entries(nodes)) == 1
        assert (await datacenter.open()).members() == ()
        assert entries(nodes) == []


@on_event_loop
async def test_an_entry_whose_process_died_before_publishing_it_is_cleared_away(datacenter: Datacenter, nodes: Path) -> None:
    async with datacenter:
        reader = await datacenter.open()
        (nodes / ".new-some-id-math-0-0000000000").write_text("{")
        _, member = await datacenter.node()
        await eventually(lambda: reader.members() == (member,))
        assert [path.name for path in entries(nodes)] == [f"{member.id}-math-0-{member.sequence:010}"]


@on_event_loop
async def test_an_entry_counts_once_it_has_its_name(datacenter: Datacenter, nodes: Path) -> None:
    descriptor = locked_entry(nodes / ".new-an-id-math-0-0000000007")
    async with datacenter:
        reader = await datacenter.open()
        assert reader.members() == ()
        (nodes / ".new-an-id-math-0-0000000007").rename(nodes / "an-id-math-0-0000000007")
        await eventually(lambda: [member.sequence for member in reader.members()] == [7])
        os.close(descriptor)


@on_event_loop
async def test_a_lock_that_is_dropped_after_the_file_was_reported_closed_is_noticed(tmp_path: Path, nodes: Path) -> None:
    looks: list[int] = []

    def follow_and_count(folder: Path, look: Callable[[], None]) -> Changes:
        def count_and_look() -> None:
            looks.append(1)
            look()

        return follow_changes(folder, count_and_look)

    descriptor = locked_entry(nodes / "an-id-math-0-0000000007")
    reader = FileDirectory(DirectoryRecord("files", str(tmp_path), "lab"), follow=follow_and_count)
    await reader.start()
    assert [member.id for member in reader.members()] == ["an-id"]
    os.close(os.open(nodes / "an-id-math-0-0000000007", os.O_WRONLY))
    await eventually(lambda: looks)
    assert len(reader.members()) == 1
    os.close(descriptor)
    await eventually(lambda: reader.members() == ())
    await reader.close()


def locked_entry(path: Path) -> int:
    """An entry as a living process has it, but open for reading only: its close is not reported."""
    path.write_bytes(encode(Registration("math", None, "an-id", "127.0.0.1:1", 1, ""), 0, 0.0))
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@on_event_loop
async def test_a_file_that_is_not_an_entry_is_neither_listed_nor_deleted(datacenter: Datacenter, nodes: Path) -> None:
    strangers = [nodes / "notes.txt", nodes / "an-id-math-0-0000000001"]
    for stranger in strangers:
        stranger.write_text("[]")
    (nodes / "a folder").mkdir()
    async with datacenter:
        directory, member = await datacenter.node()
        assert directory.members() == (member,)
        assert all(stranger.exists() for stranger in strangers)


@on_event_loop
async def test_an_entry_that_someone_deletes_comes_back(datacenter: Datacenter, nodes: Path) -> None:
    async with datacenter:
        reader = await datacenter.open()
        directory, member = await datacenter.node(index=3)
        entries(nodes)[0].unlink()
        await eventually(lambda: reader.members() != (member,) and len(reader.members()) == 1)
        assert (reader.members()[0].name, reader.members()[0].id) == (member.name, member.id)
        assert reader.members()[0].sequence > member.sequence
        await directory.close()
        await eventually(lambda: reader.members() == ())


@on_event_loop
async def test_nodes_come_back_when_the_whole_folder_was_deleted(datacenter: Datacenter, nodes: Path) -> None:
    async with datacenter:
        reader = await datacenter.open()
        members = [(await datacenter.node())[1] for _ in range(3)]
        await eventually(lambda: reader.members() == tuple(members))
        shutil.rmtree(nodes.parent, ignore_errors=True)
        await eventually(lambda: {member.id for member in reader.members()} == {member.id for member in members})
        _, newcomer = await datacenter.node()
        await eventually(lambda: newcomer in reader.members())


@on_event_loop
async def test_looking_causes_no_event_that_would_cause_looking(datacenter: Datacenter, nodes: Path) -> None:
    async with datacenter:
        await datacenter.node()
        with asyncinotify.Inotify(sync_timeout=0) as inotify:
            mask = asyncinotify.Mask
            inotify.add_watch(nodes, mask.MOVED_TO | mask.DELETE | mask.CLOSE_WRITE)
            await datacenter.open()
            assert list(inotify) == []


@on_event_loop
async def test_a_damaged_sequence_file_is_named(datacenter: Datacenter, nodes: Path) -> None:
    async with datacenter:
        directory = await datacenter.open()
        nodes.with_name("sequence").write_text("many")
        with pytest.raises(DataLossError, match="sequence holds b'many', not a number"):
            await datacenter.register(directory)
        assert directory.members() == ()


@on_event_loop
async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("in the way")
    directory = FileDirectory(DirectoryRecord("files", str(tmp_path), "lab"))
    with pytest.raises(UnavailableError, match=str(tmp_path / "lab")):
        await directory.start()


@on_event_loop
async def test_where_inotify_is_used_up_the_folder_is_polled(tmp_path: Path) -> None:
    changes = follow_changes(tmp_path, lambda: None)
    assert isinstance(changes, InotifyChanges)
    changes.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))  # no process may open more files than it has, inotify included
    try:
        changes = follow_changes(tmp_path, lambda: None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert isinstance(changes, PollingChanges)
    changes.close()


# -- revocations ----------------------------------------------------------------------------------------------------------


def revocation(number: int) -> fractos_pb2.Revocation:
    return fractos_pb2.Revocation(service="math", id=number.to_bytes(16, "big"), expires_at=4e9 + number)


@on_event_loop
async def test_revocations_that_somebody_deletes_come_back(datacenter: Datacenter, tmp_path: Path) -> None:
    folder = tmp_path / "lab" / "revocations" / "math"
    async with datacenter:
        reader = await datacenter.open()
        seen: list[fractos_pb2.Revocation] = []
        await reader.watch_revocations("math", seen.extend)
        await reader.put_revocation(revocation(1))
        shutil.rmtree(folder.parent)
        await eventually((folder / revocation(1).id.hex()).exists)
        writer = await datacenter.open()
        assert await writer.revocations("math") == (revocation(1),)
        await writer.put_revocation(revocation(2))
        await eventually(lambda: seen == [revocation(1), revocation(2)])


@on_event_loop
async def test_what_is_no_revocation_is_ignored_and_what_is_unfinished_is_cleared_away_in_time(
    datacenter: Datacenter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "lab" / "revocations" / "math"
    folder.mkdir(parents=True)
    (folder / "notes").write_text("not JSON")
    (folder / "folder").mkdir()
    for name, age_s in ((".new-young", 0.0), (".new-old", 100.0)):
        (folder / name).write_text("{")
        written = (folder / name).stat().st_mtime - age_s
        os.utime(folder / name, (written, written))
    async with datacenter:
        reader = await datacenter.open()
        await reader.put_revocation(revocation(1))
        for _ in range(2):
            assert await reader.revocations("math") == (revocation(1),)
    assert {path.name for path in folder.iterdir()} == {"notes", "folder", ".new-young", revocation(1).id.hex()}
    assert [caplog.text.count(says) for says in ("notes is no revocation", "Is a directory")] == [1, 1]


@on_event_loop
async def test_a_folder_that_cannot_keep_revocations_is_named(datacenter: Datacenter, tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "revocations").touch()
    async with datacenter:
        directory = await datacenter.open()
        with pytest.raises(UnavailableError, match="cannot keep a directory in"):
            await directory.put_revocation(revocation(1))
        with pytest.raises(UnavailableError, match="cannot keep a directory in"):
            await directory.revocations("math")
