"""The revocations of a directory as last seen, who wants to hear of new ones, and the JSON that they are kept in.

Used by every kind of directory. A record's name is its id in hexadecimal digits.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping

from protos import fractos_pb2
from Services.fractos.directory.interface import RevocationWatcher
from Services.fractos.ledger import CLOCK_BOUND_S

ID_BYTES = 16

logger = logging.getLogger(__name__)


class Revocations:
    """The records of the services that somebody wants to know of."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, fractos_pb2.Revocation]] = {}  # service → name → record
        self._watchers: dict[str, list[RevocationWatcher]] = {}

    @property
    def services(self) -> tuple[str, ...]:
        """Those whose records are to be read."""
        return tuple(self._known)

    def follow(self, service: str) -> None:
        """Have the records of a service read from now on."""
        self._known.setdefault(service, {})

    def known(self, service: str) -> Mapping[str, fractos_pb2.Revocation]:
        """What has been read, by name: a record never changes."""
        return self._known[service]

    def of(self, service: str) -> tuple[fractos_pb2.Revocation, ...]:
        """What has been read, the first to expire first."""
        return tuple(sorted(self._known[service].values(), key=lambda one: (one.expires_at, one.id)))

    def watch(self, service: str, watcher: RevocationWatcher) -> None:
        """Call `watcher` with all records now, and with new ones when they are read."""
        self._watchers.setdefault(service, []).append(watcher)
        watcher(self.of(service))

    def replace(self, service: str, records: Iterable[fractos_pb2.Revocation]) -> None:
        """Take what was read just now; tell the watchers of new ones."""
        before = self._known[service]
        self._known[service] = after = {name_of(record): record for record in records}
        new = tuple(record for name, record in after.items() if name not in before)
        for watcher in self._watchers.get(service, ()) if new else ():
            try:
                watcher(new)
            except Exception:  # one watcher's defect must not keep the news from the others
                logger.exception("a watcher of revocations failed")


def name_of(revocation: fractos_pb2.Revocation) -> str:
    """The name of a record."""
    return revocation.id.hex()


def has_expired(revocation: fractos_pb2.Revocation, now: float) -> bool:
    """Whether no clock of the datacenter takes what was revoked for valid any more, so that the record can go."""
    return revocation.expires_at + CLOCK_BOUND_S < now


def lost(known: Mapping[str, fractos_pb2.Revocation], names: Iterable[str], now: float) -> list[fractos_pb2.Revocation]:
    """Those that were read before and are not among `names` any more, but have to be: whoever kept them has lost them.

    Not those that expire soon, which a reader whose clock is ahead may have deleted.
    """
    there = set(names)
    return [one for name, one in known.items() if name not in there and one.expires_at - 2 * CLOCK_BOUND_S > now]


def encode(revocation: fractos_pb2.Revocation) -> bytes:
    """The content of a record."""
    return json.dumps({"service": revocation.service, "id": name_of(revocation), "expiresAt": revocation.expires_at}).encode()


def decode(service: str, name: str, content: bytes) -> fractos_pb2.Revocation:
    """The revocation in a record. Raises ValueError if it is none, or not what its place says."""
    try:
        record = json.loads(content)
        revocation = fractos_pb2.Revocation(
            service=record["service"], id=bytes.fromhex(record["id"]), expires_at=record["expiresAt"]
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is no revocation: {error!r} in {content[:200]!r}") from error
    proper = len(revocation.id) == ID_BYTES and math.isfinite(revocation.expires_at)
    if not proper or (revocation.service, name_of(revocation)) != (service, name):
        raise ValueError(f"{name} is no revocation of {service}: {content[:200]!r}")
    return revocation
