"""What every directory promises, whatever keeps it."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from protos import fractos_pb2
from Services.fractos.directory import open_directory
from Services.fractos.directory.changes import PollingChanges
from Services.fractos.directory.files import FileDirectory
from Services.fractos.directory.interface import DirectoryRecord, Member
from Services.fractos.errors import AlreadyExistsError, ConfigurationError, FailedPreconditionError
from tests.service.datacenter import Datacenter
from tests.waiting import eventually, on_event_loop
from tests.zookeeper_server import ZooKeeperServer

NewDatacenter = Callable[[], Datacenter]


@pytest.fixture(params=["zookeeper", "files", "files, polled"])
def new_datacenter(request: pytest.FixtureRequest, tmp_path: Path) -> NewDatacenter:
    """Makes datacenters that share a ZooKeeper server or a folder."""
    make = partial(FileDirectory, follow=PollingChanges) if request.param == "files, polled" else open_directory
    if request.param == "zookeeper":
        server: ZooKeeperServer = request.getfixturevalue("zookeeper_server")
        return lambda: Datacenter(DirectoryRecord("zookeeper", server.address, uuid.uuid4().hex), make)
    return lambda: Datacenter(DirectoryRecord("files", str(tmp_path), uuid.uuid4().hex), make)


def names(members: tuple[Member, ...]) -> list[str]:
    return [member.name for member in members]


@on_event_loop
async def test_a_node_is_listed_with_all_that_it_said(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        other = await datacenter.open()
        assert other.members() == ()
        directory = await datacenter.open()
        member = await directory.register("cnn", 7, id="an-id", address="127.0.0.1:1", pid=42, log="/logs/cnn-7.log")
        assert (member.node_type, member.name, member.id) == ("cnn", "cnn-7", "an-id")
        assert (member.address, member.pid, member.log) == ("127.0.0.1:1", 42, "/logs/cnn-7.log")
        assert directory.members() == (member,)
        await eventually(lambda: other.members() == (member,))


@on_event_loop
async def test_members_are_sorted_so_that_the_first_of_a_type_leads(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        listed = [(await datacenter.node(*which))[1] for which in [("storage", 1), ("math", 5), ("storage", 0), ("math", 2)]]
        reader = await datacenter.open()
        assert names(reader.members()) == ["math-5", "math-2", "storage-1", "storage-0"]
        assert set(reader.members()) == set(listed)


@on_event_loop
async def test_a_watcher_is_called_now_and_after_every_change(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        reader = await datacenter.open()
        seen: list[list[str]] = []
        reader.watch(lambda members: seen.append(names(members)))
        assert seen == [[]]
        first, _ = await datacenter.node()
        await eventually(lambda: seen[-1] == ["math-0"])
        await datacenter.node("cnn")
        await eventually(lambda: seen[-1] == ["cnn-0", "math-0"])
        await first.close()
        await eventually(lambda: seen[-1] == ["cnn-0"])
        assert seen == [[], ["math-0"], ["cnn-0", "math-0"], ["cnn-0"]]


@on_event_loop
async def test_a_watcher_that_fails_keeps_nothing_from_the_others(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        reader = await datacenter.open()
        calls: list[int] = []

        def fail(members: tuple[Member, ...]) -> None:
            if members:
                raise ZeroDivisionError

        reader.watch(fail)
        reader.watch(lambda members: calls.append(len(members)))
        await datacenter.node()
        await eventually(lambda: calls == [0, 1])


@on_event_loop
async def test_close_takes_the_entry_out_and_may_be_repeated(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        reader = await datacenter.open()
        directory, _ = await datacenter.node()
        await eventually(lambda: names(reader.members()) == ["math-0"])
        await directory.close()
        await directory.close()
        assert (await datacenter.open()).members() == ()
        await eventually(lambda: reader.members() == ())


@on_event_loop
async def test_close_leaves_nothing_behind(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        await datacenter.node("cnn")
        threads, descriptors, tasks = threading.active_count(), _open_descriptors(), asyncio.all_tasks()
        for cycle in range(10):
            directory = await datacenter.open()
            await directory.register("math", None, id=f"id-{cycle}", address="127.0.0.1:1", pid=1, log="")
            await directory.close()
        assert asyncio.all_tasks() == tasks
        await eventually(lambda: threading.active_count() <= threads)  # an earlier test's may end meanwhile
        assert _open_descriptors() < descriptors + 10, "one is lost per cycle; the other directory opens and closes some itself"


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@on_event_loop
async def test_a_node_without_an_index_gets_the_lowest_that_is_free(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        first, _ = await datacenter.node()
        assert [(await datacenter.node(index=index))[1].name for index in (None, 3, None, None)] == [
            "math-1",
            "math-3",
            "math-2",
            "math-4",
        ]
        await first.close()
        assert (await datacenter.node())[1].name == "math-0"
        assert (await datacenter.node("cnn"))[1].name == "cnn-0"


@on_event_loop
async def test_an_index_that_a_living_process_has_is_refused(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        _, holder = await datacenter.node(index=1)
        directory = await datacenter.open()
        with pytest.raises(AlreadyExistsError, match=f"math-1 is running already: pid {os.getpid()} at {holder.address}"):
            await datacenter.register(directory, index=1)
        assert directory.members() == (holder,)
        assert (await datacenter.register(directory, index=2)).name == "math-2"


@on_event_loop
async def test_of_nodes_that_register_at_once_each_gets_a_name_of_its_own(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        directories = [await datacenter.open() for _ in range(10)]
        members = await asyncio.gather(*(datacenter.register(directory) for directory in directories))
        assert sorted(names(tuple(members))) == [f"math-{index}" for index in range(10)]
        assert len({member.sequence for member in members}) == 10
        await eventually(lambda: all(set(directory.members()) == set(members) for directory in directories))


@on_event_loop
async def test_of_two_that_ask_for_an_index_at_once_one_is_refused(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        asked = [datacenter.register(await datacenter.open(), index=0) for _ in range(2)]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["AlreadyExistsError", "Member"]


@on_event_loop
async def test_sequence_numbers_grow_though_everyone_left_in_between(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        sequences = []
        for _ in range(3):
            directory, member = await datacenter.node()
            sequences.append(member.sequence)
            await directory.close()
        assert sequences == sorted(set(sequences))


@on_event_loop
async def test_datacenters_do_not_see_one_another(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as one, new_datacenter() as another:
        _, member = await one.node(index=0)
        directory, stranger = await another.node(index=0)
        assert directory.members() == (stranger,)
        assert (await one.open()).members() == (member,)


@on_event_loop
async def test_a_killed_process_is_seen_to_leave(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        process, member = await datacenter.process(0)
        reader = await datacenter.open()
        assert reader.members() == (member,)
        process.kill()
        await eventually(lambda: reader.members() == ())


@on_event_loop
async def test_the_name_of_a_killed_process_is_free_at_once(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        reader = await datacenter.open()
        (process, killed), (_, standby) = await datacenter.process(0), await datacenter.process(1)
        process.kill()
        process.wait()
        _, successor = await datacenter.node(index=0)
        assert successor.name == killed.name
        assert successor.sequence > standby.sequence
        await eventually(lambda: reader.members() == (standby, successor))


@on_event_loop
async def test_a_paused_process_keeps_its_name(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        process, holder = await datacenter.process(0)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(AlreadyExistsError, match=f"pid {holder.pid}"):
            await datacenter.node(index=0)
        assert (await datacenter.node())[1].name == "math-1"


@on_event_loop
async def test_a_directory_is_started_once_and_lists_one_node(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        directory = await datacenter.open()
        await datacenter.register(directory)
        with pytest.raises(FailedPreconditionError, match=r"register\(\) once"):
            await datacenter.register(directory)
        await directory.close()
        with pytest.raises(FailedPreconditionError, match=r"start\(\) the directory first"):
            await datacenter.register(directory)


def test_a_kind_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'etcd'"):
        open_directory(DirectoryRecord("etcd", "127.0.0.1:1", "lab"))


@on_event_loop
async def test_one_that_does_not_follow_the_others_is_listed_and_knows_them_once_it_follows(
    new_datacenter: NewDatacenter,
) -> None:
    async with new_datacenter() as datacenter:
        _, first = await datacenter.node()
        directory = await datacenter.open(follow=False)
        seen: list[tuple[Member, ...]] = []
        directory.watch(seen.append)
        with pytest.raises(AlreadyExistsError, match="math-0 is running already"):
            await datacenter.register(directory, index=0)
        own = await datacenter.register(directory)
        assert own.name == "math-1"
        _, later = await datacenter.node()
        assert directory.members() == ()
        await directory.follow()
        assert directory.members() == (first, own, later)
        _, last = await datacenter.node("cnn")
        await eventually(lambda: seen == [(), (first, own, later), (last, first, own, later)])


# -- revocations ----------------------------------------------------------------------------------------------------------


def revocation(number: int, service: str = "math", expires_at: float = 4e9) -> fractos_pb2.Revocation:
    return fractos_pb2.Revocation(service=service, id=number.to_bytes(16, "big"), expires_at=expires_at + number)


@on_event_loop
async def test_revocations_are_read_by_all_and_survive_whoever_wrote_them(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        writer, reader = await datacenter.open(), await datacenter.open()
        assert await reader.revocations("math") == ()
        for number in (2, 1, 1):
            await writer.put_revocation(revocation(number))
        await writer.put_revocation(revocation(3, "storage"))
        await writer.close()
        assert await reader.revocations("math") == (revocation(1), revocation(2))
        assert await reader.revocations("storage") == (revocation(3, "storage"),)
        assert await (await datacenter.open()).revocations("math") == (revocation(1), revocation(2))
        assert reader.members() == ()


@on_event_loop
async def test_a_watcher_hears_of_each_revocation_of_its_service_once(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        writer, reader = await datacenter.open(), await datacenter.open()
        await writer.put_revocation(revocation(1))
        seen: list[tuple[fractos_pb2.Revocation, ...]] = []
        await reader.watch_revocations("math", seen.append)
        assert seen == [(revocation(1),)]
        await writer.put_revocation(revocation(2, "storage"))
        await writer.put_revocation(revocation(3))
        await eventually(lambda: len(seen) == 2)
        await writer.put_revocation(revocation(3))
        await writer.put_revocation(revocation(4))
        await eventually(lambda: len(seen) == 3)
        assert seen[1:] == [(revocation(3),), (revocation(4),)]


@on_event_loop
async def test_a_watcher_of_revocations_that_fails_keeps_nothing_from_the_others(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        reader = await datacenter.open()
        seen: list[int] = []

        def fail(revocations: tuple[fractos_pb2.Revocation, ...]) -> None:
            if revocations:
                raise ZeroDivisionError

        await reader.watch_revocations("math", fail)
        await reader.watch_revocations("math", lambda revocations: seen.append(len(revocations)))
        await (await datacenter.open()).put_revocation(revocation(1))
        await eventually(lambda: seen == [0, 1])


@on_event_loop
async def test_who_writes_a_revocation_sees_all_that_were_listed_before(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        writer = await datacenter.open()
        for count in range(1, 6):
            node, member = await datacenter.node()
            await writer.put_revocation(revocation(count))
            assert member in writer.members()
            assert len(await node.revocations("math")) == count


@on_event_loop
async def test_revocations_that_have_expired_are_deleted_by_their_readers(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        writer = await datacenter.open()
        await writer.put_revocation(revocation(1, expires_at=1000.0))
        await writer.put_revocation(revocation(2))
        assert await writer.revocations("math") == (revocation(2),)
        names = await asyncio.to_thread(stored_revocations, datacenter.record)
        assert names == [revocation(2).id.hex()]


def stored_revocations(record: DirectoryRecord) -> list[str]:
    """The names of the records of math nodes, by what keeps them itself."""
    if record.kind == "files":
        return sorted(path.name for path in (Path(record.address) / record.datacenter / "revocations" / "math").iterdir())
    client = KazooClient(record.address)
    client.start()
    names = client.get_children(f"/mockdc/{record.datacenter}/revocations/math")
    client.stop()
    client.close()
    return sorted(names)


@on_event_loop
async def test_revocations_need_a_directory_that_was_started(new_datacenter: NewDatacenter) -> None:
    async with new_datacenter() as datacenter:
        directory = await datacenter.open()
        await directory.close()
        with pytest.raises(FailedPreconditionError, match="start"):
            await directory.put_revocation(revocation(1))
        with pytest.raises(FailedPreconditionError, match="start"):
            await directory.revocations("math")
