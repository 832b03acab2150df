"""How a simulated node becomes the owner of its durable state, as `ownership.py` has it: the lock, recovery, then service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from Services.fractos.errors import FractosError
from Services.fractos.events import NotOwned, Owned, OwnedElsewhere
from tests.simulation.disks import Disk, Folder

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World

PROBE_S = 0.5  # how often a silent owner is asked
SILENCE_S = 2.5  # how long it may be silent before it is killed


class Takeover:
    """The claim of one node."""

    def __init__(self, world: World, node: SimulatedNode) -> None:
        self._world = world
        self._node = node

    def begin(self) -> None:
        """Become the owner, unless there is one that lives; the engine learns which."""
        self._node.later(self._world.random.uniform(0.0005, 0.002), lambda: self._probe(0.0))

    def _probe(self, silent_s: float) -> None:
        world, node = self._world, self._node
        disk = world.disks.of_type(node.member.node_type)
        assert disk is not None  # the engine of a node without durable state does not ask
        refusal = world.refused_ownership.get(node.member.node_type)
        holder = disk.lock.holder
        if refusal is not None:
            node.feed(NotOwned(refusal))
        elif holder is None or not holder.alive:
            self._lock(disk)
        elif not holder.paused:
            node.feed(OwnedElsewhere(holder.name, holder.address, disk.lock.epoch))
        elif silent_s >= SILENCE_S:
            world.history.line(f"{node.name} kills {holder.name}, which is silent")
            world.kill(holder)
            self._lock(disk)
        else:
            node.later(PROBE_S, lambda: self._probe(silent_s + PROBE_S))

    def _lock(self, disk: Disk) -> None:
        disk.lock.holder = self._node
        disk.lock.epoch += 1
        epoch = disk.lock.epoch
        self._node.later(self._world.random.uniform(0.001, 0.05), lambda: self._recover(disk, epoch))

    def _recover(self, disk: Disk, epoch: int) -> None:
        try:
            disk.check(self._node)
            owned = self._make_whole(disk, epoch)
        except FractosError as error:
            disk.lock.holder = None
            self._node.feed(NotOwned(error))
            return
        if owned is not None:
            self._node.feed(owned)
            self._world.network.on_owner(self._node)

    def _make_whole(self, disk: Disk, epoch: int) -> Owned | None:
        """Find out what the last owner left undone. Returns None if this process dies over it."""
        if isinstance(disk, Folder):
            for step_key in disk.unmarked():
                if not self._node.write(lambda: disk.settled(step_key)):  # noqa: B023 - it is called at once
                    return None
            return Owned(epoch)
        journal = self._world.disks.journal
        return Owned(epoch, journal.unfinished(), journal.stopped(self._node.clock))
