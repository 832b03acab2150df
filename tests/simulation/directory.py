"""The simulated directory: who is registered, and who has heard of it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from Services.fractos.directory.interface import Member
from Services.fractos.events import MembersChanged

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World

SPREAD_S = 0.01  # some learn of a change that much later than others


class Directory:
    """Entries in the order of their sequence numbers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sequence = 0
        self._entries: list[Member] = []
        self._announcing = False
        self._stale: dict[str, int] = {}  # node → how many faults keep it from hearing of changes

    def next_sequence(self) -> int:
        """The number of the next entry."""
        self._sequence += 1
        return self._sequence

    def register(self, member: Member) -> None:
        """List a node. All that register at the same moment are announced together."""
        if not self._announcing:
            self._announcing = True
            self._world.agenda.after(0.0, self.announce)
        self._entries.append(member)

    def register_anew(self, node: SimulatedNode) -> None:
        """List a node once more whose entry was dropped although it lives."""
        if node.alive and all(entry.id != node.member.id for entry in self._entries):
            node.member = replace(node.member, sequence=self.next_sequence())
            self.register(node.member)

    def drop(self, member_id: str) -> None:
        """Remove the entry of a process."""
        self._entries = [entry for entry in self._entries if entry.id != member_id]
        self.announce()

    def of_type(self, node_type: str) -> list[Member]:
        """What somebody finds who reads the directory now."""
        return [entry for entry in self._entries if entry.node_type == node_type]

    def announce(self) -> None:
        """Have every node learn who is listed, each a little later than the other."""
        self._announcing = False
        for name in [name for name, node in self._world.nodes.items() if node.follows]:
            self._world.agenda.after(self._world.random.uniform(0.0, SPREAD_S), partial(self._tell, name))

    def follow(self, node: SimulatedNode) -> None:
        """Have a node that is used for the first time know the others, now and from now on."""
        if not node.follows:
            node.follows = True
            self._tell(node.name)

    def hide_from(self, name: str) -> None:
        """Keep a node from hearing of changes, until `show_to`."""
        self._stale[name] = self._stale.get(name, 0) + 1

    def show_to(self, name: str) -> None:
        """Have a node catch up."""
        self._stale[name] -= 1
        self._tell(name)

    def _tell(self, name: str) -> None:
        node = self._world.nodes.get(name)
        if node is not None and node.follows and not self._stale.get(name):
            node.feed(MembersChanged(tuple(self._entries)))
