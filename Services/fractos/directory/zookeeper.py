"""The directory in ZooKeeper, for datacenters on one or many hosts. Opened by `open_directory`.

A node is the ephemeral, sequential entry `/mockdc/<datacenter>/<type>/<id>-<node>-<sequence>`. Everything that is read or
written goes through one task per directory, woken by watches and by changes of the connection: nothing polls.

A revocation is the permanent entry `/mockdc/<datacenter>/revocations/<service>/<id>`, so no type of node has that name.

What is watched grows with what is used: one that does not follow the others watches its own entry and its revocations. Of a
type's entries only the new ones are read. A long list is not read too often, since all who follow it read it at every change.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from kazoo.exceptions import ConnectionLoss, NoAuthError, NoNodeError, SessionExpiredError

from protos import fractos_pb2
from Services.fractos.directory.credentials import read_credentials, refusal
from Services.fractos.directory.entry import Registration, decode, index_of
from Services.fractos.directory.interface import Directory, DirectoryRecord, Member, RevocationWatcher, Watcher
from Services.fractos.directory.revocation_nodes import RevocationNodes
from Services.fractos.directory.revocations import Revocations
from Services.fractos.directory.roster import Roster
from Services.fractos.directory.zookeeper_names import NAMES, Names
from Services.fractos.directory.zookeeper_session import ZooKeeperSession
from Services.fractos.errors import (
    AlreadyExistsError,
    ConfigurationError,
    FailedPreconditionError,
    FractosError,
    PermissionDeniedError,
    UnavailableError,
)

REGISTER_TIMEOUT_S = 15.0
REVOKE_TIMEOUT_S = 5.0
REVOCATIONS = "revocations"
RETRY_S = 1.0
PAUSE_S = 0.0001  # for each entry of a list that was read: how long until it is read again
NO_TYPES = {REVOCATIONS, NAMES}

logger = logging.getLogger(__name__)


class ZooKeeperDirectory(Directory):
    """One datacenter's part of a ZooKeeper ensemble."""

    def __init__(self, record: DirectoryRecord) -> None:
        self._record = record
        self._address = record.address
        self._hosts, slash, chroot = record.address.partition("/")
        self._shared = f"{slash}{chroot.rstrip('/')}/mockdc"
        self._root = f"{self._shared}/{record.datacenter}"
        self._revocations = Revocations()
        self._revocation_nodes = RevocationNodes(f"{self._root}/{REVOCATIONS}/")
        self._refreshes: list[asyncio.Future[None]] = []  # who waits for all to be read again
        self._roster = Roster()
        self._entries: dict[str, dict[str, Member | None]] = {}  # path of the type → name → member, None if it is not one
        self._names = Names(self._root)
        self._follows = True
        self._own: Member | None = None  # this process's entry, while it is certainly there
        self._stale: set[str] = set()  # the paths whose children have to be read again
        self._read_at: dict[str, float] = {}  # path of the type → when its list was read last
        self._wake = asyncio.Event()
        self._complete: asyncio.Future[None] | None = None  # done once the members have been read
        self._session: ZooKeeperSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._registration: Registration | None = None
        self._listed: asyncio.Future[Member] | None = None

    async def start(self, timeout_s: float = 10.0, *, follow: bool = True) -> None:
        """Connect and read who is there; servers that are still coming up are tried again until `timeout_s` have passed.

        Raises UnavailableError, naming the address, if it takes longer, ConfigurationError if it is no address or the password
        cannot be read, and PermissionDeniedError if this process may not read.
        """
        self._follows = follow
        credentials = read_credentials(self._record)
        try:
            self._session = ZooKeeperSession(self._hosts, self._on_connected, self._on_change, credentials)
        except ValueError as error:
            raise ConfigurationError(
                f"{self._address!r} is not the address of a ZooKeeper ensemble: {error}; give host:port,host:port,…"
            ) from error
        self._complete = asyncio.get_running_loop().create_future()
        self._session.open()
        self._task = asyncio.create_task(self._follow(self._session), name="directory")
        try:
            await asyncio.wait_for(self._complete, timeout_s)
        except asyncio.TimeoutError:
            await self.close()
            raise UnavailableError(
                f"ZooKeeper at {self._address} did not answer within {timeout_s:g} s; {self._remedy}"
            ) from None
        except PermissionDeniedError:
            await self.close()
            raise

    async def follow(self) -> None:
        """Follow the others from now on; see Directory. Raises UnavailableError if ZooKeeper does not answer for 5 s."""
        self._follows = True
        await self._now()

    @property
    def _remedy(self) -> str:
        if self._record.external:
            return "see that those servers run and can be reached from here, and that [ZooKeeper] hosts is right"
        return "start the datacenter with run_datacenter.py, or each server with zookeeper/zookeeper<n>/bin/zkServer.sh start"

    async def prepare(self) -> None:
        """Make the datacenter's node and see that this process may change it and the nodes of its types; see Directory."""
        if self._session is None:
            raise FailedPreconditionError(f"start() the directory at {self._address} first")
        session = self._session
        try:
            for path in (self._root, *(f"{self._root}/{name}" for name in await session.children(self._root))):
                await session.claim(path)
            for path in await self._revocation_nodes.folders(session):
                await session.claim(path)
        except NoAuthError:
            raise refusal(self._record, *await session.belongs(self._root)) from None
        except (ConnectionLoss, SessionExpiredError) as error:
            raise UnavailableError(f"ZooKeeper at {self._address} went away; {self._remedy}") from error

    async def register(self, node_type: str, index: int | None, *, id: str, address: str, pid: int, log: str) -> Member:
        """List this process; see Directory.

        The entry of a process on this host whose address refuses connections counts as that of a dead one, so this node's
        server must be listening already. Raises UnavailableError if ZooKeeper does not answer for 15 s; it may be listed later
        than that, so close() then.
        """
        if self._session is None or self._registration is not None:
            raise FailedPreconditionError(f"{address} must start() the directory first, and register() once")
        self._registration = Registration(node_type, index, id, address, pid, log)
        self._listed = asyncio.get_running_loop().create_future()
        self._wake.set()
        try:
            return await asyncio.wait_for(self._listed, REGISTER_TIMEOUT_S)
        except asyncio.TimeoutError:
            raise UnavailableError(
                f"ZooKeeper at {self._address} did not list {node_type} {address} within {REGISTER_TIMEOUT_S:g} s;"
                " check its servers with run_datacenter.py status"
            ) from None

    def members(self) -> tuple[Member, ...]:
        """All registered nodes as last seen, sorted by type, then sequence."""
        return self._roster.members

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` with `members()` now, and again after every change."""
        self._roster.watch(watcher)

    async def put_revocation(self, revocation: fractos_pb2.Revocation) -> None:
        """Keep a record; see Directory. Raises UnavailableError if ZooKeeper does not answer for 5 s."""
        await self._now(lambda session: self._revocation_nodes.write(session, revocation))

    async def revocations(self, service: str) -> tuple[fractos_pb2.Revocation, ...]:
        """Read all records of a service; see Directory. Raises UnavailableError if ZooKeeper does not answer for 5 s."""
        self._revocations.follow(service)
        await self._now()
        return self._revocations.of(service)

    async def watch_revocations(self, service: str, watcher: RevocationWatcher) -> None:
        """Call `watcher` with all records now, and with new ones; see Directory."""
        await self.revocations(service)
        self._revocations.watch(service, watcher)

    async def close(self) -> None:
        """End the session, which takes the entry out at once. May be called twice."""
        session, self._session = self._session, None
        if session is None or self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await session.close()

    async def _now(self, first: Callable[[ZooKeeperSession], Awaitable[None]] | None = None) -> None:
        """Do something, then have all that this process follows read again, so that it is as new as what was done."""
        if self._session is None:
            raise FailedPreconditionError(f"start() the directory at {self._address} first")
        session = self._session
        try:
            await asyncio.wait_for(self._do_and_refresh(session, first), REVOKE_TIMEOUT_S)
        except NoAuthError:
            raise refusal(self._record, *await session.belongs(self._root)) from None
        except (ConnectionLoss, SessionExpiredError, asyncio.TimeoutError) as error:
            raise UnavailableError(
                f"ZooKeeper at {self._address} went away or did not answer within {REVOKE_TIMEOUT_S:g} s; {self._remedy}",
                definite=False,
            ) from error

    async def _do_and_refresh(
        self, session: ZooKeeperSession, first: Callable[[ZooKeeperSession], Awaitable[None]] | None
    ) -> None:
        if first is not None:
            await first(session)
        refreshed = asyncio.get_running_loop().create_future()
        self._refreshes.append(refreshed)
        self._stale |= {self._root, *self._entries, *map(self._revocation_nodes.folder_of, self._revocations.services)}
        self._wake.set()
        await refreshed

    def _on_connected(self) -> None:
        self._entries.clear()  # servers that lost their data may have given a name out again
        self._own = None
        self._stale = {self._root, *map(self._revocation_nodes.folder_of, self._revocations.services)}
        self._wake.set()

    def _on_change(self, path: str) -> None:
        """What has changed is read again: at once, unless it is a long list that was read just now."""
        loop = asyncio.get_running_loop()
        due = self._read_at.get(path, 0.0) + PAUSE_S * len(self._entries.get(path, ()))
        loop.call_later(max(0.0, due - loop.time()), self._read_again, path)

    def _read_again(self, path: str) -> None:
        if self._root in (path, path.rpartition("/")[0]) or path.startswith(self._revocation_nodes.root):
            self._stale.add(path)
        elif self._own is not None and path == self._names.path_of(self._own):
            self._own = None
        self._wake.set()

    async def _follow(self, session: ZooKeeperSession) -> None:
        """Bring the members up to date whenever something has changed, and keep this process listed."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._update(session)
            except (ConnectionLoss, SessionExpiredError):
                continue  # once there is a connection again, `_on_connected` has everything read anew
            except Exception:  # whatever the servers may answer, this node goes on
                logger.exception("cannot read or write %s in ZooKeeper at %s; trying again", self._root, self._hosts)
                self._on_connected()
                await asyncio.sleep(RETRY_S)

    async def _update(self, session: ZooKeeperSession) -> None:
        try:
            await self._refresh(session)
            await self._keep_listed(session)
        except NoAuthError as error:
            refused = refusal(self._record, *await session.belongs(self._root))
            if not self._tell_waiting(refused):
                raise refused from error

    def _tell_waiting(self, error: FractosError) -> bool:
        """End the call of start() or register() that is waiting with an error. Returns whether there was one."""
        for waiting in (self._complete, self._listed):
            if waiting is not None and not waiting.done():
                self._registration = None
                waiting.set_exception(error)
                return True
        return False

    async def _refresh(self, session: ZooKeeperSession) -> None:
        refreshes = len(self._refreshes)
        while self._stale:
            path = self._stale.pop()
            if path == self._root:
                await session.ensure(self._shared, shared=True)
                await session.ensure(path)
                if self._follows:
                    types = {f"{path}/{name}" for name in await session.children(path) if name not in NO_TYPES}
                    self._stale |= types - self._entries.keys()
            elif path.startswith(self._revocation_nodes.root):
                await self._read_revocations(session, path.rpartition("/")[2])
            else:
                await self._read_entries(session, path)
        self._roster.replace(member for entries in self._entries.values() for member in entries.values() if member is not None)
        for waiting in (self._complete, *self._refreshes[:refreshes]):
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        del self._refreshes[:refreshes]

    async def _read_revocations(self, session: ZooKeeperSession, service: str) -> None:
        known = self._revocations.known(service)
        self._revocations.replace(service, await self._revocation_nodes.read(session, service, known, time.time()))

    async def _read_entries(self, session: ZooKeeperSession, path: str) -> None:
        """Read the entries of one type; only the new ones, since an entry never changes."""
        try:
            names = await session.children(path)
        except NoNodeError:
            self._entries.pop(path, None)
            return
        self._read_at[path] = asyncio.get_running_loop().time()
        known = self._entries.get(path, {})
        new = [name for name in names if name not in known]
        read = dict(zip(new, await asyncio.gather(*(_read_entry(session, path, name) for name in new)), strict=True))
        self._entries[path] = {name: known.get(name) or read.get(name) for name in names}

    async def _keep_listed(self, session: ZooKeeperSession) -> None:
        """List this process if it registered and has no entry: at first, and after its session has expired."""
        registration, listed = self._registration, self._listed
        if registration is None or listed is None or self._own is not None:
            return
        try:
            member = await self._names.claim(session, registration)
        except AlreadyExistsError as error:
            if not self._tell_waiting(error):  # someone took the name while this process was not listed
                logger.warning("this node cannot be listed again before its name is free: %s", error)
                await session.exists(self._names.path_of_name(registration))
            return
        self._registration = replace(registration, index=index_of(member))
        if not await session.exists(self._names.path_of(member)):
            self._wake.set()
            return
        self._own = member
        if self._follows:
            self._stale.add(f"{self._root}/{member.node_type}")
            await self._refresh(session)
        if not listed.done():
            listed.set_result(member)


async def _read_entry(session: ZooKeeperSession, path: str, name: str) -> Member | None:
    try:
        return decode(name, await session.content(f"{path}/{name}"))
    except NoNodeError:  # gone since its name was read; the watch has fired
        return None
    except ValueError as error:
        logger.warning("ignored in ZooKeeper under %s: %s", path, error)
        return None
