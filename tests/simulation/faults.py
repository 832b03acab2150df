"""What each kind of fault does to a simulated datacenter, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from Services.fractos.errors import FractosError, ResourceExhaustedError, UnavailableError
from tests.simulation.disks import Disk
from tests.simulation.scenario import Fault
from tests.simulation.world import World


class Faults:
    """Has the faults of a scenario happen."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._kinds: dict[str, Callable[[Fault], None]] = {
            "crash": self._crash,
            "crash at write": self._crash_at_write,
            "pause": self._pause,
            "wall": self._wall,
            "one-way wall": self._one_way_wall,
            "island": self._island,
            "cut": self._cut,
            "slow device": self._slow_device,
            "slow network": self._slow_network,
            "echo": self._echo,
            "journal full": self._journal_full,
            "storage full": self._storage_full,
            "session lost": self._session_lost,
            "stale view": self._stale_view,
            "ownership refused": self._ownership_refused,
            "revocation": self._revocation,
        }

    def begin(self, fault: Fault) -> None:
        """Have a fault happen now. It ends by itself."""
        self._world.history.trouble(fault.kind, f"{fault.node} {fault.other}".strip() or "the disk", fault.seconds)
        self._kinds[fault.kind](fault)

    def _later(self, fault: Fault, end: Callable[[], object]) -> None:
        def act() -> None:
            end()

        self._world.agenda.after(fault.seconds, act)

    def _crash(self, fault: Fault) -> None:
        node = self._world.nodes.get(fault.node)
        if node is not None:
            self._world.kill(node, restart_s=fault.seconds)

    def _crash_at_write(self, fault: Fault) -> None:
        """The node dies right before or right after one of its next writes."""
        node = self._world.nodes.get(fault.node)
        if node is not None:
            count, after = divmod(int(fault.extra * 8), 2)
            node.crash_at_write = (count + 1, bool(after), partial(self._world.kill, node, fault.seconds))

    def _pause(self, fault: Fault) -> None:
        node = self._world.nodes.get(fault.node)
        if node is not None and not node.paused:
            self._world.pause(node)
            self._later(fault, partial(self._world.resume, node))

    def _wall(self, fault: Fault) -> None:
        self._one_way(fault, fault.node, fault.other)
        self._one_way(fault, fault.other, fault.node)

    def _one_way_wall(self, fault: Fault) -> None:
        self._one_way(fault, fault.node, fault.other)

    def _island(self, fault: Fault) -> None:
        """A node that reaches none of the others."""
        for other in list(self._world.nodes):
            if other != fault.node:
                self._one_way(fault, fault.node, other)
                self._one_way(fault, other, fault.node)

    def _one_way(self, fault: Fault, sender: str, receiver: str) -> None:
        self._world.network.raise_wall(sender, receiver)
        self._later(fault, partial(self._world.network.drop_wall, sender, receiver))

    def _cut(self, fault: Fault) -> None:
        """One stream of a node breaks, or all that it sends on."""
        for other in [fault.other] if fault.other else list(self._world.nodes):
            self._world.network.cut(fault.node, other)

    def _slow_device(self, fault: Fault) -> None:
        slowness = self._world.slowness
        slowness[fault.node] = 1.0 + 50.0 * fault.extra
        self._later(fault, partial(slowness.pop, fault.node, None))

    def _slow_network(self, fault: Fault) -> None:
        node = self._world.nodes.get(fault.node)
        if node is not None:
            delays = self._world.network.delays
            delays[node.address] = 0.3 * fault.extra
            self._later(fault, partial(delays.pop, node.address, None))

    def _echo(self, fault: Fault) -> None:
        echoes = self._world.network.echoes
        echoes[fault.node] = fault.extra
        self._later(fault, partial(echoes.pop, fault.node, None))

    def _journal_full(self, fault: Fault) -> None:
        self._full(self._world.disks.journal, fault)

    def _storage_full(self, fault: Fault) -> None:
        self._full(self._world.disks.folder, fault)

    def _full(self, disk: Disk, fault: Fault) -> None:
        disk.is_full = True
        self._later(fault, lambda: setattr(disk, "is_full", False))

    def _session_lost(self, fault: Fault) -> None:
        """The directory drops a node that lives, until it has registered anew."""
        node = self._world.nodes.get(fault.node)
        if node is not None:
            self._world.directory.drop(node.member.id)
            self._later(fault, lambda: self._world.directory.register_anew(node))

    def _stale_view(self, fault: Fault) -> None:
        self._world.directory.hide_from(fault.node)
        self._later(fault, partial(self._world.directory.show_to, fault.node))

    def _revocation(self, fault: Fault) -> None:
        """What a client may do at the nodes of a type is taken from it, for ever."""
        self._world.revoke(fault.node, fault.other)

    def _ownership_refused(self, fault: Fault) -> None:
        error: FractosError = UnavailableError("the lock cannot be read for a while")
        if fault.extra < 0.5:
            error = ResourceExhaustedError("the disk of the lock is full", retry_after_s=0.2)
        self._world.refused_ownership[fault.node] = error
        self._later(fault, partial(self._world.refused_ownership.pop, fault.node, None))
