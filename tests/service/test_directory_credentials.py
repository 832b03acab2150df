"""A directory in a ZooKeeper ensemble of others: signing in, what is protected, and what is said to a stranger."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import CREATOR_ALL_ACL

from protos import fractos_pb2
from Services.fractos.directory import open_directory
from Services.fractos.directory.credentials import read_credentials
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import ConfigurationError, FailedPreconditionError, PermissionDeniedError
from tests.service.connection_cutter import ConnectionCutter
from tests.service.datacenter import Datacenter
from tests.waiting import eventually, on_event_loop
from tests.zookeeper_server import ZooKeeperServer

PASSWORD = "correct horse: battery ¤"
Sign = Callable[..., DirectoryRecord]


@pytest.fixture
def sign_in(zookeeper_server: ZooKeeperServer, tmp_path: Path) -> Sign:
    """Makes records of one datacenter, under a chroot that is not there, for somebody."""
    chroot = f"/lab/{uuid.uuid4().hex}"

    def make(username: str = "alice", password: str = PASSWORD, address: str = zookeeper_server.address) -> DirectoryRecord:
        if not username:
            return DirectoryRecord("zookeeper", address + chroot, "dc", external=True)
        path = tmp_path / f"password-of-{username}-{len(password)}"
        path.write_text(f"{password}\n")
        path.chmod(0o600)
        return DirectoryRecord("zookeeper", address + chroot, "dc", external=True, username=username, password_file=str(path))

    return make


async def prepare(record: DirectoryRecord) -> None:
    directory = open_directory(record)
    try:
        await directory.start()
        await directory.prepare()
    finally:
        await directory.close()


def attempt(record: DirectoryRecord, change: Callable[[KazooClient, str], object], credentials: str | None = None) -> None:
    """Change something below the chroot of a record as a client of its own."""
    hosts, _, chroot = record.address.partition("/")
    client = KazooClient(hosts, auth_data=[("digest", credentials)] if credentials else None)
    client.start()
    try:
        change(client, f"/{chroot}")
    finally:
        client.stop()
        client.close()


@on_event_loop
async def test_only_who_signed_in_may_change_what_it_made(sign_in: Sign) -> None:
    record = sign_in()
    await prepare(record)
    async with Datacenter(record, open_directory) as datacenter, Datacenter(sign_in(""), open_directory) as strangers:
        _, member = await datacenter.node()
        assert (await strangers.open()).members() == (member,), "everybody may look"
        entry = f"mockdc/dc/math/{member.id}-math-0-{member.sequence:010}"
        for change in (
            lambda client, chroot: client.delete(f"{chroot}/{entry}"),
            lambda client, chroot: client.set(f"{chroot}/{entry}", b"mine"),
            lambda client, chroot: client.create(f"{chroot}/mockdc/dc/math/mine"),
            lambda client, chroot: client.create(f"{chroot}/mockdc/dc/mine"),
            lambda client, chroot: client.set_acls(f"{chroot}/mockdc/dc", CREATOR_ALL_ACL),
            lambda client, chroot: client.delete(f"{chroot}/mockdc/dc", recursive=True),
        ):
            with pytest.raises(NoAuthError):
                await asyncio.to_thread(attempt, record, change, "mallory:guess")
        assert (await datacenter.open()).members() == (member,)


@on_event_loop
async def test_another_datacenter_may_settle_beside_a_protected_one(sign_in: Sign) -> None:
    await prepare(sign_in())
    neighbour = DirectoryRecord("zookeeper", sign_in().address, "neighbour", external=True)
    async with Datacenter(neighbour, open_directory) as datacenter:
        directory, member = await datacenter.node()
        assert directory.members() == (member,)


@pytest.mark.parametrize(("username", "password"), [("alice", "wrong"), ("bob", PASSWORD), ("", "")])
@on_event_loop
async def test_a_stranger_is_told_at_once_what_is_wrong(sign_in: Sign, username: str, password: str) -> None:
    await prepare(sign_in())
    stranger = sign_in(username, password)
    who = f"'{username}' with the password in {stranger.password_file}" if username else "a client without username"
    hint = " with another password" if username == "alice" else ""
    said = (
        f"does not let {who} use .*/mockdc/dc, which belongs to alice{hint}; correct \\[ZooKeeper\\] username and password_file"
    )
    with pytest.raises(PermissionDeniedError, match=said):
        await prepare(stranger)
    async with Datacenter(stranger, open_directory) as datacenter:
        with pytest.raises(PermissionDeniedError, match=said):
            await datacenter.node()


@on_event_loop
async def test_a_chroot_where_one_may_not_create_or_look_is_named(sign_in: Sign) -> None:
    record = sign_in()
    await asyncio.to_thread(
        attempt, record, lambda client, chroot: client.create(chroot, acl=CREATOR_ALL_ACL, makepath=True), "root:secret"
    )
    for username in ("alice", ""):
        with pytest.raises(PermissionDeniedError, match=r"use /lab/[0-9a-f]*, which belongs to (root|others);"):
            await prepare(sign_in(username))


@on_event_loop
async def test_nodes_that_were_open_are_protected_by_the_next_launch(sign_in: Sign) -> None:
    async with Datacenter(sign_in(""), open_directory) as datacenter:
        await datacenter.node()
    await prepare(sign_in())
    with pytest.raises(PermissionDeniedError, match="belongs to alice"):
        await prepare(sign_in(""))
    with pytest.raises(NoAuthError):
        await asyncio.to_thread(attempt, sign_in(), lambda client, chroot: client.create(f"{chroot}/mockdc/dc/math/mine"))


@on_event_loop
async def test_a_node_signs_in_again_after_its_session_has_expired(sign_in: Sign, zookeeper_server: ZooKeeperServer) -> None:
    await prepare(sign_in())
    async with (
        ConnectionCutter(zookeeper_server.port) as cutter,
        Datacenter(sign_in(address=cutter.address), open_directory) as behind_cutter,
        Datacenter(sign_in(), open_directory) as datacenter,
    ):
        _, member = await behind_cutter.node()
        reader = await datacenter.open()
        await cutter.end_session()
        await eventually(lambda: [one.sequence for one in reader.members() if one.id == member.id] == [1])


@on_event_loop
async def test_the_password_is_in_no_log_and_no_representation(sign_in: Sign, caplog: pytest.LogCaptureFixture) -> None:
    record = sign_in(password="tell-nobody")
    with caplog.at_level(logging.DEBUG):
        await prepare(record)
        with pytest.raises(PermissionDeniedError) as caught:
            await prepare(sign_in(password="tell-nobody-either"))
    assert "tell-nobody" not in caplog.text + str(caught.value) + repr(record) + repr(read_credentials(record))


@on_event_loop
async def test_a_directory_that_was_not_started_cannot_be_prepared(sign_in: Sign) -> None:
    with pytest.raises(FailedPreconditionError, match=r"start\(\) the directory"):
        await open_directory(sign_in()).prepare()


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        (b"secret", 0o604, "everybody on this host can read it; type `chmod 600"),
        (b"\n", 0o600, "must hold the password, in one line"),
        (b"one\ntwo\n", 0o600, "must hold the password, in one line"),
        (b"\xff\xfe", 0o600, "is not UTF-8 text"),
        (None, 0o600, "cannot be read .No such file"),
    ],
)
def test_a_password_file_that_will_not_do_is_named(tmp_path: Path, content: bytes | None, mode: int, said: str) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    record = DirectoryRecord("zookeeper", "a:1", "dc", external=True, username="alice", password_file=str(path))
    with pytest.raises(ConfigurationError, match=f"password_file = {path}: {said}"):
        read_credentials(record)


@on_event_loop
async def test_only_who_signed_in_may_keep_or_delete_revocations(sign_in: Sign) -> None:
    record = sign_in()
    await prepare(record)
    revocation = fractos_pb2.Revocation(service="math", id=bytes(16), expires_at=4e9)
    async with Datacenter(record, open_directory) as datacenter, Datacenter(sign_in(""), open_directory) as strangers:
        directory, stranger = await datacenter.open(), await strangers.open()
        await directory.put_revocation(revocation)
        with pytest.raises(PermissionDeniedError, match="belongs to alice"):
            await stranger.put_revocation(fractos_pb2.Revocation(service="math", id=bytes(range(16)), expires_at=4e9))
        path = f"mockdc/dc/revocations/math/{bytes(16).hex()}"
        for change in (
            lambda client, chroot: client.delete(f"{chroot}/{path}"),
            lambda client, chroot: client.set(f"{chroot}/{path}", b"{}"),
        ):
            with pytest.raises(NoAuthError):
                await asyncio.to_thread(attempt, record, change, "mallory:guess")
        assert await directory.revocations("math") == await stranger.revocations("math") == (revocation,)


@on_event_loop
async def test_revocations_that_were_open_are_protected_by_the_next_launch(sign_in: Sign) -> None:
    async with Datacenter(sign_in(""), open_directory) as datacenter:
        await (await datacenter.open()).put_revocation(fractos_pb2.Revocation(service="math", id=bytes(16), expires_at=4e9))
    await prepare(sign_in())
    async with Datacenter(sign_in(""), open_directory) as strangers:
        with pytest.raises(PermissionDeniedError, match="belongs to alice"):
            await (await strangers.open()).put_revocation(
                fractos_pb2.Revocation(service="math", id=bytes(range(16)), expires_at=4e9)
            )
