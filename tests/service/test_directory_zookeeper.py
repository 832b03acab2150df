"""The directory in ZooKeeper: what happens when the servers are late, away, silent or forgetful."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from protos import fractos_pb2
from Services.fractos.directory import open_directory, zookeeper
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import ConfigurationError, UnavailableError
from tests.service.connection_cutter import ConnectionCutter
from tests.service.datacenter import Datacenter
from tests.waiting import eventually, on_event_loop
from tests.zookeeper_server import ZooKeeperServer, find_zookeeper


def datacenter_at(address: str, name: str = "lab") -> Datacenter:
    return Datacenter(DirectoryRecord("zookeeper", address, name), open_directory)


@on_event_loop
async def test_start_waits_for_servers_that_are_still_coming_up(tmp_path: Path) -> None:
    server = ZooKeeperServer(find_zookeeper(), tmp_path)
    try:
        async with datacenter_at(server.address) as datacenter:
            starting = asyncio.create_task(datacenter.node())
            await asyncio.sleep(0)
            server.launch()
            directory, member = await starting
            assert directory.members() == (member,)
    finally:
        server.kill()


@on_event_loop
async def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    address = ZooKeeperServer(find_zookeeper(), tmp_path).address
    threads = threading.active_count()
    directory = open_directory(DirectoryRecord("zookeeper", address, "lab"))
    with pytest.raises(UnavailableError, match=f"ZooKeeper at {address} did not answer within 0.3 s"):
        await directory.start(timeout_s=0.3)
    await eventually(lambda: threading.active_count() == threads)


@on_event_loop
async def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'127\.0\.0\.1:port' is not the address of a ZooKeeper ensemble"):
        await open_directory(DirectoryRecord("zookeeper", "127.0.0.1:port", "lab")).start()


@on_event_loop
async def test_entries_have_the_layout_of_curator(zookeeper_server: ZooKeeperServer) -> None:
    async with datacenter_at(f"{zookeeper_server.address}/deep/chroot", "layout") as datacenter:
        _, member = await datacenter.node(index=4)
        path = f"/deep/chroot/mockdc/layout/math/{member.id}-math-4-{member.sequence:010}"
        content, owner = await asyncio.to_thread(_read, zookeeper_server.address, path)
        host, port = member.address.split(":")
        assert json.loads(content) == {
            "name": "math",
            "id": member.id,
            "address": host,
            "port": int(port),
            "payload": {"node": "math-4", "pid": member.pid, "log": "node.log"},
            "registrationTimeUTC": round(member.registered_at * 1000),
            "serviceType": "DYNAMIC",
        }
        assert owner, "the entry must be ephemeral"


def _read(address: str, path: str) -> tuple[bytes, int]:
    client = KazooClient(address)
    client.start()
    content, status = client.get(path)
    client.stop()
    client.close()
    return content, status.ephemeralOwner


@on_event_loop
async def test_what_is_not_an_entry_is_ignored(zookeeper_server: ZooKeeperServer) -> None:
    def litter() -> None:
        client = KazooClient(zookeeper_server.address)
        client.start()
        client.create("/mockdc/littered/math/a-math-0-0000000001", b"not JSON", makepath=True)
        client.create("/mockdc/littered/notes", b"not JSON")
        client.stop()
        client.close()

    await asyncio.to_thread(litter)
    async with datacenter_at(zookeeper_server.address, "littered") as datacenter:
        directory, member = await datacenter.node()
        assert directory.members() == (member,)
        assert member.name == "math-0"


@on_event_loop
async def test_members_stay_while_the_server_is_away(own_zookeeper_server: ZooKeeperServer) -> None:
    async with datacenter_at(own_zookeeper_server.address) as datacenter:
        members = tuple([(await datacenter.node())[1] for _ in range(3)])
        reader = await datacenter.open()
        snapshots: list[int] = []
        reader.watch(lambda members: snapshots.append(len(members)))
        own_zookeeper_server.kill()
        own_zookeeper_server.start()
        _, newcomer = await datacenter.node("cnn")
        await eventually(lambda: reader.members() == (newcomer, *members))
        assert snapshots == [3, 4]


@on_event_loop
async def test_a_node_can_register_while_the_server_is_away(own_zookeeper_server: ZooKeeperServer) -> None:
    async with datacenter_at(own_zookeeper_server.address) as datacenter:
        directory = await datacenter.open()
        own_zookeeper_server.kill()
        registering = asyncio.create_task(datacenter.register(directory))
        await asyncio.sleep(0)
        own_zookeeper_server.start()
        assert (await registering).name == "math-0"


@on_event_loop
async def test_members_stay_while_the_server_is_silent(
    own_zookeeper_server: ZooKeeperServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with datacenter_at(own_zookeeper_server.address) as datacenter:
        directory, member = await datacenter.node()
        own_zookeeper_server.pause()
        await eventually(lambda: "suspended; going on with the members last known" in caplog.text)
        assert directory.members() == (member,)
        own_zookeeper_server.resume()
        _, newcomer = await datacenter.node("cnn")
        await eventually(lambda: newcomer in directory.members())
        assert [member.name for member in directory.members()] == ["cnn-0", "math-0"]


@on_event_loop
async def test_a_node_comes_back_after_its_session_has_expired(zookeeper_server: ZooKeeperServer) -> None:
    async with (
        ConnectionCutter(zookeeper_server.port) as cutter,
        datacenter_at(cutter.address, "expired") as behind_cutter,
        datacenter_at(zookeeper_server.address, "expired") as datacenter,
    ):
        directory, member = await behind_cutter.node()
        reader, other = await datacenter.node()
        await cutter.end_session()
        await eventually(lambda: [member.id for member in reader.members()] == [other.id, member.id])
        returned = reader.members()[1]
        assert (returned.name, returned.address) == (member.name, member.address)
        await eventually(lambda: directory.members() == reader.members())


@on_event_loop
async def test_nodes_come_back_to_a_server_that_forgot_everything(own_zookeeper_server: ZooKeeperServer) -> None:
    async with datacenter_at(own_zookeeper_server.address) as datacenter:
        listed = [await datacenter.node() for _ in range(3)]
        own_zookeeper_server.kill()
        own_zookeeper_server.forget()
        own_zookeeper_server.start()
        newcomer, _ = await datacenter.node("cnn")
        await eventually(lambda: {m.id for m in newcomer.members()} >= {member.id for _, member in listed})
        assert {(m.id, m.name) for m in newcomer.members()} >= {(member.id, member.name) for _, member in listed}
        await eventually(lambda: all(directory.members() == newcomer.members() for directory, _ in listed))


@on_event_loop
async def test_an_entry_is_not_made_twice_when_the_answer_is_lost(zookeeper_server: ZooKeeperServer) -> None:
    async with ConnectionCutter(zookeeper_server.port) as cutter, datacenter_at(cutter.address, "cut") as datacenter:
        directory = await datacenter.open()
        cutter.cut_after_transaction = True
        member = await datacenter.register(directory)
        assert cutter.cuts == 1
        assert (member.name, member.sequence) == ("math-0", 0)
        assert directory.members() == (member,)


@on_event_loop
async def test_a_node_whose_entry_was_deleted_is_listed_again_under_its_name(zookeeper_server: ZooKeeperServer) -> None:
    def delete(path: str) -> None:
        client = KazooClient(zookeeper_server.address)
        client.start()
        client.delete(path)
        client.stop()
        client.close()

    async with datacenter_at(zookeeper_server.address, "deleted") as datacenter:
        reader = await datacenter.open()
        directory = await datacenter.open(follow=False)
        member = await datacenter.register(directory, index=5)
        path = f"/mockdc/deleted/math/{member.id}-math-5-{member.sequence:010}"
        await asyncio.to_thread(delete, path)
        await eventually(lambda: [one.sequence > member.sequence for one in reader.members()] == [True])
        assert [(one.id, one.name) for one in reader.members()] == [(member.id, "math-5")]


# -- revocations ----------------------------------------------------------------------------------------------------------


def revocation(number: int) -> fractos_pb2.Revocation:
    return fractos_pb2.Revocation(service="math", id=number.to_bytes(16, "big"), expires_at=4e9 + number)


@on_event_loop
async def test_a_revocation_that_nobody_keeps_is_not_taken_for_kept(
    own_zookeeper_server: ZooKeeperServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zookeeper, "REVOKE_TIMEOUT_S", 0.5)
    async with datacenter_at(own_zookeeper_server.address) as datacenter:
        directory = await datacenter.open()
        own_zookeeper_server.kill()
        with pytest.raises(UnavailableError, match=r"went away or did not answer within 0\.5 s; start the") as caught:
            await directory.put_revocation(revocation(1))
        assert not caught.value.definite
        with pytest.raises(UnavailableError):
            await directory.revocations("math")


@on_event_loop
async def test_watchers_of_revocations_hear_on_when_the_server_comes_back(own_zookeeper_server: ZooKeeperServer) -> None:
    async with datacenter_at(own_zookeeper_server.address) as datacenter:
        writer, reader = await datacenter.open(), await datacenter.open()
        seen: list[fractos_pb2.Revocation] = []
        await reader.watch_revocations("math", seen.extend)
        await writer.put_revocation(revocation(1))
        own_zookeeper_server.kill()
        own_zookeeper_server.start()
        await (await datacenter.open()).put_revocation(revocation(2))
        await eventually(lambda: len(seen) == 2)
        assert seen == [revocation(1), revocation(2)]


@on_event_loop
async def test_what_is_no_revocation_is_ignored(zookeeper_server: ZooKeeperServer, caplog: pytest.LogCaptureFixture) -> None:
    good = revocation(1).id.hex()
    contents = {
        good: json.dumps({"service": "math", "id": good, "expiresAt": 4e9 + 1}),
        "00": json.dumps({"service": "math", "id": "00", "expiresAt": 4e9}),
        "0" * 32: json.dumps({"service": "math", "id": good, "expiresAt": 4e9}),
        "1" * 32: json.dumps({"service": "cnn", "id": "1" * 32, "expiresAt": 4e9}),
        "2" * 32: json.dumps({"service": "math", "id": "2" * 32, "expiresAt": float("nan")}),
        "3" * 32: json.dumps({"service": "math", "id": "3" * 32}),
        "notes": "not JSON",
    }

    def litter() -> None:
        client = KazooClient(zookeeper_server.address)
        client.start()
        for name, content in contents.items():
            client.create(f"/mockdc/littered-revocations/revocations/math/{name}", content.encode(), makepath=True)
        client.stop()
        client.close()

    await asyncio.to_thread(litter)
    async with datacenter_at(zookeeper_server.address, "littered-revocations") as datacenter:
        reader = await datacenter.open()
        for _ in range(2):
            assert await reader.revocations("math") == (revocation(1),)
    assert caplog.text.count("is no revocation") == 6, "each is logged once"


@on_event_loop
async def test_revocations_come_back_to_a_server_that_forgot_everything(own_zookeeper_server: ZooKeeperServer) -> None:
    async with datacenter_at(own_zookeeper_server.address) as datacenter:
        reader = await datacenter.open()
        seen: list[fractos_pb2.Revocation] = []
        await reader.watch_revocations("math", seen.extend)
        await reader.put_revocation(revocation(1))
        await eventually(lambda: seen == [revocation(1)])
        own_zookeeper_server.kill()
        own_zookeeper_server.forget()
        own_zookeeper_server.start()
        newcomer = await datacenter.open()
        later: list[fractos_pb2.Revocation] = []
        await newcomer.watch_revocations("math", later.extend)
        await eventually(lambda: later == [revocation(1)])
        assert seen == [revocation(1)]
