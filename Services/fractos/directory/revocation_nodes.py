"""Revocations in ZooKeeper: `<root>/<service>/<id>`, a permanent node each. Used by the ZooKeeper directory.

Whoever reads a record that has expired deletes it, and whoever knows of one that the servers have lost writes it again, if the
rights allow.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

from kazoo.exceptions import NoAuthError, NoNodeError

from protos import fractos_pb2
from Services.fractos.directory.revocations import decode, encode, has_expired, lost, name_of
from Services.fractos.directory.zookeeper_session import ZooKeeperSession

logger = logging.getLogger(__name__)


class RevocationNodes:
    """The records of one datacenter."""

    def __init__(self, root: str) -> None:
        """`root` ends with a slash."""
        self.root = root
        self._ignored: set[str] = set()  # what is no record, so that it is read and logged once

    def folder_of(self, service: str) -> str:
        """The node above the records of a service."""
        return f"{self.root}{service}"

    async def folders(self, session: ZooKeeperSession) -> list[str]:
        """Those nodes that are there."""
        try:
            return [self.folder_of(service) for service in await session.children(self.root[:-1])]
        except NoNodeError:
            return []

    async def write(self, session: ZooKeeperSession, revocation: fractos_pb2.Revocation) -> None:
        """Create a record, unless it is there. Raises kazoo's exceptions."""
        await session.create(f"{self.folder_of(revocation.service)}/{name_of(revocation)}", encode(revocation))

    async def read(
        self, session: ZooKeeperSession, service: str, known: Mapping[str, fractos_pb2.Revocation], now: float
    ) -> list[fractos_pb2.Revocation]:
        """Read the records of a service, whose next change is reported; those that are `known` are taken from there."""
        await session.ensure(self.folder_of(service))  # else there is nothing whose change could be reported
        names = [name for name in await session.children(self.folder_of(service)) if name not in self._ignored]
        new = [name for name in names if name not in known]
        read = dict(zip(new, await asyncio.gather(*(self._read(session, service, name) for name in new)), strict=True))
        records = [record for name in names if (record := known.get(name) or read.get(name)) is not None]
        for record in (missing := lost(known, names, now)):
            with contextlib.suppress(NoAuthError):
                await self.write(session, record)
        for record in records:
            if has_expired(record, now):
                with contextlib.suppress(NoAuthError):
                    await session.delete(f"{self.folder_of(service)}/{name_of(record)}")
        return [*missing, *(record for record in records if not has_expired(record, now))]

    async def _read(self, session: ZooKeeperSession, service: str, name: str) -> fractos_pb2.Revocation | None:
        try:
            return decode(service, name, await session.content(f"{self.folder_of(service)}/{name}"))
        except NoNodeError:
            return None  # deleted since its name was read
        except ValueError as error:
            self._ignored.add(name)
            logger.warning("ignored in ZooKeeper under %s: %s", self.folder_of(service), error)
            return None
