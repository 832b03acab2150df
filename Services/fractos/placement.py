"""Which node a step goes to: the leader of its type, unless it is pinned or the leader seems dead. Pure.

A preference, never what safety rests on: two nodes may well disagree about who leads.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from protos import fractos_pb2
from Services.fractos.directory.interface import Member
from Services.fractos.errors import UnavailableError

DEPARTED_KEPT = 1000
SUSPICION_S = 5.0  # how long a node that broke its channel is avoided while the directory still lists it


@dataclass(frozen=True)
class Identity:
    """What a node knows of itself."""

    node_type: str
    name: str
    address: str
    log: str = ""
    id: str = ""  # the Member's: of this process


class Owner(NamedTuple):
    """The node that owns what the nodes of its type work on."""

    member: Member
    epoch: int


class Placement:
    """One node's view of the others.

    A directory that was away for long drops nodes before they register anew, and losing the directory makes no node dead. So a
    node that is listed no longer lingers until its channel breaks: it is asked if it is the owner, or if no other is listed.
    """

    def __init__(self) -> None:
        self._by_type: dict[str, list[Member]] = {}
        self._by_name: dict[str, Member] = {}
        self._by_address: dict[str, Member] = {}
        self._lingering: OrderedDict[str, Member] = OrderedDict()  # by address; no longer listed, but its channel holds
        self._departed: OrderedDict[str, Member] = OrderedDict()  # by address; what is left is the name
        self._suspected: dict[str, float] = {}  # address → until when
        self._epochs: dict[str, int] = {}  # address → since which epoch the node there is an owner
        self._owners: dict[str, list[Owner]] = {}  # those that are listed by type, the latest first

    def update(self, members: tuple[Member, ...]) -> list[Member]:
        """Take over the directory's list. Returns the members that have departed: listed no longer, their channel broken."""
        before = self._by_address
        self._by_type, self._by_name, self._by_address = {}, {}, {}
        for member in sorted(members, key=attrgetter("sequence")):
            self._by_type.setdefault(member.node_type, []).append(member)
            # Two entries of one name: the older one is about to expire.
            self._by_name[member.name] = member
            self._by_address[member.address] = member
        departed = []
        for address, member in before.items():
            if address in self._by_address:
                continue
            if address in self._suspected:
                self._departed[address] = member
                departed.append(member)
            else:
                self._lingering[address] = member
        for gone in (self._lingering, self._departed):
            for address in [address for address in gone if address in self._by_address]:
                del gone[address]
            while len(gone) > DEPARTED_KEPT:
                gone.popitem(last=False)
        self._suspected = {address: until for address, until in self._suspected.items() if self.is_known(address)}
        self._epochs = {address: epoch for address, epoch in self._epochs.items() if self.is_known(address)}
        self._find_owners()
        return departed

    def suspect(self, address: str, now: float) -> Member | None:
        """Avoid a node whose channel broke. Returns the node, if the directory lists it or did so lately."""
        self._suspected[address] = now + SUSPICION_S
        if (member := self._lingering.pop(address, None)) is not None:
            self._departed[address] = member
            self._find_owners()
        return self._by_address.get(address) or self._departed.get(address)

    def trust(self, address: str) -> None:
        """The node answers: no longer avoid it."""
        self._suspected.pop(address, None)

    def learn(self, address: str, epoch: int) -> bool:
        """Take note that a node owns what its steps work on. Returns whether that is news."""
        news = self._epochs.get(address, 0) < epoch
        if news:
            self._epochs[address] = epoch
            self._find_owners()
        return news

    def owner(self, node_type: str, now: float) -> Owner | None:
        """The latest owner of a type that is not suspected; None for a type without, and if it is not known."""
        owners = self._owners.get(node_type)
        return next((one for one in owners if not self.is_suspected(one.member, now)), None) if owners else None

    def owners(self, node_types: Iterable[str], now: float) -> dict[str, Owner]:
        """The owners that are known of some types."""
        return {one: owner for one in node_types if (owner := self.owner(one, now))} if self._owners else {}

    def leader(self, node_type: str, now: float) -> Member | None:
        """The node that unpinned steps of a type go to: its owner, or else the first that is not suspected."""
        owner = self.owner(node_type, now)
        if owner is not None:
            return owner.member
        members = self.of_type(node_type)
        return next((member for member in members if not self.is_suspected(member, now)), members[0] if members else None)

    def choose(self, step: fractos_pb2.Step, now: float, *, trusted_only: bool = False) -> Member:
        """Return the node for a step: the one it is pinned to, else the leader of its type.

        With `trusted_only` a suspected node is no choice. Raises UnavailableError if there is none.
        """
        pinned = step.node
        member = self.named(pinned) if pinned else self.leader(_type_of(step), now)
        if member is None or (trusted_only and self.is_suspected(member, now)):
            raise UnavailableError(self._why_none(pinned, _type_of(step)))
        return member

    def members(self) -> list[Member]:
        """All nodes."""
        return list(self._by_address.values())

    def of_type(self, node_type: str) -> list[Member]:
        """All nodes of a type, the leader by sequence first: those that are listed, or else those that linger."""
        listed = self._by_type.get(node_type)
        return listed if listed is not None else [one for one in self._lingering.values() if one.node_type == node_type]

    def named(self, name: str) -> Member | None:
        """The node of that name."""
        return self._by_name.get(name) or next((one for one in self._lingering.values() if one.name == name), None)

    def is_suspected(self, member: Member, now: float) -> bool:
        """Whether the channel to a node broke lately and has not opened again."""
        return self._suspected.get(member.address, 0.0) > now

    def name_at(self, address: str) -> str:
        """The name of the node at an address; empty if none is known there."""
        member = self._by_address.get(address) or self._lingering.get(address) or self._departed.get(address)
        return member.name if member else ""

    def is_known(self, address: str) -> bool:
        """Whether a node is there, or was until lately."""
        return address in self._by_address or address in self._lingering or address in self._departed

    def was_suspected(self, member: Member) -> bool:
        """Whether the channel to a node broke and has not opened again since, however long ago that was."""
        return member.address in self._suspected

    def is_at(self, address: str) -> bool:
        """Whether the directory lists a node there."""
        return address in self._by_address

    def owners_of(self, node_type: str) -> list[Member]:
        """The owners that are known of a type, suspected or not, the latest first."""
        return [owner.member for owner in self._owners.get(node_type, ())]

    def _find_owners(self) -> None:
        self._owners = {}
        for address, epoch in sorted(self._epochs.items(), key=lambda item: -item[1]):
            if member := self._by_address.get(address) or self._lingering.get(address):
                self._owners.setdefault(member.node_type, []).append(Owner(member, epoch))

    def _why_none(self, node: str, node_type: str) -> str:
        listed = ", ".join(member.name for member in self.of_type(node_type)) or "none"
        wanted = f"node {node}" if node else f"node of type {node_type}"
        return f"no {wanted} can be reached (listed of that type: {listed}); see `python3 run_datacenter.py status`"


def _type_of(step: fractos_pb2.Step) -> str:
    return step.operation.partition(".")[0]
