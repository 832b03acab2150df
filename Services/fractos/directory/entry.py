"""The form in which a node stands in a directory: the name of its entry and the JSON in it. Used by every kind of directory.

An entry is named `<id>-<node>-<sequence>`. Its JSON has the layout of Apache Curator's ServiceInstance (the service is the
node type), so that tools which know Curator's service discovery can read it.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass

from Services.fractos.directory.interface import Member
from Services.fractos.errors import AlreadyExistsError


@dataclass(frozen=True)
class Registration:
    """What a node says of itself when it registers; without an index it takes the lowest that is free."""

    node_type: str
    index: int | None
    id: str
    address: str  # "host:port"
    pid: int
    log: str

    def competes(self, entry_name: str) -> bool:
        """Whether an entry of that name may have the node's name that this one wants."""
        node = entry_name.removesuffix(entry_name.rpartition("-")[2])
        return f"-{self.node_type}-" in node if self.index is None else node.endswith(f"-{self.node_type}-{self.index}-")


def index_of(member: Member) -> int:
    """The number in a member's name: 1 for `math-1`."""
    return int(member.name.rpartition("-")[2])


def entry_prefix(registration: Registration, index: int) -> str:
    """The name of the entry up to its sequence number."""
    return f"{registration.id}-{registration.node_type}-{index}-"


def encode(registration: Registration, index: int, registered_at: float) -> bytes:
    """The content of the entry. `registered_at` is a Unix time in seconds; it is kept to the millisecond."""
    host, _, port = registration.address.rpartition(":")
    name = f"{registration.node_type}-{index}"
    instance = {
        "name": registration.node_type,
        "id": registration.id,
        "address": host,
        "port": int(port),
        "payload": {"node": name, "pid": registration.pid, "log": registration.log.replace("{node}", name)},
        "registrationTimeUTC": round(registered_at * 1000),
        "serviceType": "DYNAMIC",
    }
    return json.dumps(instance).encode()


def decode(entry_name: str, content: bytes) -> Member:
    """The member that an entry stands for. Raises ValueError if the entry is not one of ours."""
    try:
        instance = json.loads(content)
        payload = instance["payload"]
        node_type, _, index = payload["node"].rpartition("-")
        return Member(
            node_type=node_type,
            name=f"{node_type}-{int(index)}",
            id=instance["id"],
            sequence=int(entry_name.rpartition("-")[2]),
            address=f"{instance['address']}:{instance['port']}",
            pid=int(payload["pid"]),
            log=payload["log"],
            registered_at=instance["registrationTimeUTC"] / 1000,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{entry_name} is not the entry of a node: {error!r} in {content[:200]!r}") from error


def choose_index(registration: Registration, living: Iterable[Member]) -> int:
    """The index that a node gets among those that are alive.

    Raises AlreadyExistsError, naming the holder's pid and address, if it asked for one that is taken.
    """
    holders = {index_of(member): member for member in living if member.node_type == registration.node_type}
    if registration.index is None:
        return next(index for index in itertools.count() if index not in holders)
    holder = holders.get(registration.index)
    if holder is not None:
        raise taken(holder)
    return registration.index


def taken(holder: Member) -> AlreadyExistsError:
    """The error for a name that a living process has."""
    return AlreadyExistsError(
        f"{holder.name} is running already: pid {holder.pid} at {holder.address}, log {holder.log};"
        " stop it first, or start this node under another number"
    )
