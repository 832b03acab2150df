"""Gives each node its name and its entry in ZooKeeper. Used by the ZooKeeper directory.

Who has the name `math-3` has the ephemeral node `<root>/names/math-3`, with the content of its entry, and is given both in one
transaction. So of two that want a name at once one gets it, and those that want different names do not get in each other's way,
however many start together.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import replace

from kazoo.exceptions import BadVersionError, NodeExistsError, NoNodeError, RolledBackError, RuntimeInconsistency

from Services.fractos.directory.entry import Registration, decode, encode, entry_prefix, index_of, taken
from Services.fractos.directory.interface import Member
from Services.fractos.directory.probe import certainly_dead
from Services.fractos.directory.zookeeper_session import ZooKeeperSession

CONFLICTS = (BadVersionError, NodeExistsError, NoNodeError, RolledBackError, RuntimeInconsistency)  # someone else was faster
NAMES = "names"
RETRY_S = 0.1


class Names:
    """The names of one datacenter."""

    def __init__(self, root: str) -> None:
        """`root` is the datacenter's node."""
        self._root = root
        self._folder = f"{root}/{NAMES}"

    def path_of(self, member: Member) -> str:
        """Where the entry of a process is."""
        return f"{self._root}/{member.node_type}/{member.id}-{member.name}-{member.sequence:010}"

    def path_of_name(self, wanted: Registration) -> str:
        """Where it is said who has the name; the registration has an index."""
        return f"{self._folder}/{wanted.node_type}-{wanted.index}"

    async def claim(self, session: ZooKeeperSession, registration: Registration) -> Member:
        """Return this process's entry, created if there is none. It may be there although a creation seemed to fail.

        Raises AlreadyExistsError if a living process has the name.
        """
        for path in (self._folder, f"{self._root}/{registration.node_type}"):
            await session.ensure(path)
        alive: set[int] = set()
        while True:
            wanted = _wanted(registration, alive)
            holder = await self._holder(session, wanted)
            if holder is None:
                member = await self._create(session, wanted)
            elif holder.id == registration.id:
                member = await self._own_entry(session, wanted, holder)
            elif await certainly_dead(holder, registration.address):
                member = await self._replace(session, wanted, holder)
            elif registration.index is not None:
                raise taken(holder)
            else:
                alive.add(index_of(holder))
                continue
            if member is not None:
                return member

    async def _holder(self, session: ZooKeeperSession, wanted: Registration) -> Member | None:
        try:
            return decode("no-entry-0", await session.content(self.path_of_name(wanted)))
        except NoNodeError:
            return None

    async def _create(self, session: ZooKeeperSession, wanted: Registration, dead: tuple[str, ...] = ()) -> Member | None:
        """Take the name and create the entry; what a dead process has left goes in the same moment. None: not done."""
        assert wanted.index is not None
        content = encode(wanted, wanted.index, time.time())
        transaction = session.transaction()
        for path in dead:
            transaction.delete(path)
        transaction.create(self.path_of_name(wanted), content, ephemeral=True)
        transaction.create(self._entry(wanted), content, ephemeral=True, sequence=True)
        results = await session.commit(transaction)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, CONFLICTS):
                raise result
        return decode(str(results[-1]), content) if isinstance(results[-1], str) else None

    async def _replace(self, session: ZooKeeperSession, wanted: Registration, dead: Member) -> Member | None:
        """Take a dead process's name.

        Its entry, whose path no other process ever has, goes in the same transaction: if somebody was faster it is gone, and
        the name is not taken from whoever has it by now. One without an entry keeps its name until its session expires.
        """
        if (left := await self._find(session, dead)) is None:
            await asyncio.sleep(RETRY_S)
            return None
        return await self._create(session, wanted, (left, self.path_of_name(wanted)))

    async def _own_entry(self, session: ZooKeeperSession, wanted: Registration, own: Member) -> Member | None:
        """The entry of this process, which has the name already; created anew if somebody has deleted it."""
        content = await session.content(self.path_of_name(wanted))
        path = await self._find(session, own)
        if path is None:
            transaction = session.transaction()
            transaction.check(self.path_of_name(wanted), 0)
            transaction.create(self._entry(wanted), content, ephemeral=True, sequence=True)
            result = (await session.commit(transaction))[-1]
            if isinstance(result, Exception) and not isinstance(result, CONFLICTS):
                raise result
            path = result if isinstance(result, str) else None
        return decode(path, content) if path is not None else None

    async def _find(self, session: ZooKeeperSession, member: Member) -> str | None:
        """The path of a process's entry."""
        folder = f"{self._root}/{member.node_type}"
        names = await session.children(folder, watched=False)
        return next((f"{folder}/{name}" for name in names if name.startswith(f"{member.id}-")), None)

    def _entry(self, wanted: Registration) -> str:
        assert wanted.index is not None
        return f"{self._root}/{wanted.node_type}/{entry_prefix(wanted, wanted.index)}"


def _wanted(registration: Registration, alive: set[int]) -> Registration:
    """The registration with an index: without one it is the lowest that no process has which was found alive."""
    if registration.index is not None:
        return registration
    return replace(registration, index=next(index for index in itertools.count() if index not in alive))
