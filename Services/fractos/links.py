"""The channels that an application node keeps, so that it notices at once when a node dies that may hold a part of a run. Pure.

Which nodes those are: of each type the owners, the first few, and the first few that are not suspected, since steps that are
not pinned go to one of them; and the nodes that runs name. So the channels grow with what is used and not with the datacenter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter

from Services.fractos.directory.interface import Member
from Services.fractos.events import Effect, KeepLink, ReleaseLink
from Services.fractos.placement import Placement
from Services.fractos.schedule import Schedule

REOPEN_S = 1.0  # how often a channel is tried again to a node that is listed but does not answer
RELEASE_S = 10.0  # how much longer a channel is kept than the last run that may need it


class Links:
    """The channels of one application node."""

    def __init__(self, placement: Placement, node_types: Iterable[str], first: int, emit: Callable[[Effect], None]) -> None:
        """Keep channels to `first` nodes of each of these types."""
        self._placement = placement
        self._node_types = tuple(sorted(node_types))
        self._first = first
        self._emit = emit
        self._standing: dict[str, None] = {}  # addresses, as long as the nodes are among the first of their type, or owners
        self._until: dict[str, float] = {}  # the others: until when
        self._absent: dict[str, None] = {}  # those of them whose channel broke and that are not listed at present
        self._latest = 0.0  # when the run that lasts longest ends
        self._reopenings: Schedule[str] = Schedule(tick_s=0.1)
        self._releases: Schedule[str] = Schedule(tick_s=1.0)

    @property
    def next_due(self) -> float:
        """When `on_timer_due` has something to do."""
        return min(self._reopenings.next_due, self._releases.next_due)

    def is_kept(self, address: str) -> bool:
        """Whether runs may have been at the node there."""
        return address in self._standing or address in self._until

    def refresh(self) -> None:
        """Take note that nodes have come or gone, or are suspected, or own what their type works on."""
        members = [member for node_type in self._node_types for member in self._first_of(node_type)]
        standing = {member.address: None for member in sorted(members, key=attrgetter("sequence"))}
        for address in self._standing:
            if address not in standing:  # a run that is under way may have gone there
                self._keep_until(address, self._latest)
        for address in standing:
            if address not in self._standing:
                self._until.pop(address, None)
                self._absent.pop(address, None)
                self._emit(KeepLink(address))
        self._standing = standing
        for address in [address for address in self._absent if self._placement.is_at(address)]:
            del self._absent[address]
            self._emit(KeepLink(address))

    def use(self, members: Iterable[Member], deadline: float) -> None:
        """Keep channels to the nodes that a run needs, until its deadline."""
        self._latest = max(self._latest, deadline)
        for member in members:
            address = member.address
            if address not in self._standing:
                if address not in self._until:
                    self._emit(KeepLink(address))
                self._keep_until(address, deadline)

    def on_lost(self, address: str, now: float, *, opened: bool) -> None:
        """Try a channel again that broke, or that could not be `opened`, if it is needed still."""
        self.refresh()
        if not self.is_kept(address):
            return
        if not self._placement.is_at(address):
            self._absent[address] = None
        elif opened:
            self._emit(KeepLink(address))
        else:
            self._reopenings.add(address, now + REOPEN_S)

    def on_timer_due(self, now: float) -> None:
        """Try channels again; let go of those that no run needs any more."""
        for address in self._reopenings.pop_due(now):
            if self.is_kept(address):
                self._emit(KeepLink(address))
        for address in self._releases.pop_due(now):
            until = self._until.get(address)
            if until is None:
                continue
            if until + RELEASE_S > now:
                self._releases.add(address, until + RELEASE_S)
            elif self._placement.is_at(address) or address in self._absent:
                del self._until[address]
                self._absent.pop(address, None)
                self._emit(ReleaseLink(address))
            else:
                self._releases.add(address, now + RELEASE_S)  # not listed: its channel alone tells whether it lives

    def _first_of(self, node_type: str) -> list[Member]:
        """The nodes of a type that steps may go to which are not pinned."""
        members = self._placement.of_type(node_type)
        trusted: list[Member] = []
        for member in members:
            if len(trusted) == self._first:
                break
            if not self._placement.was_suspected(member):
                trusted.append(member)
        owners = self._placement.owners_of(node_type)
        return [*members[: self._first], *trusted, *owners]

    def _keep_until(self, address: str, deadline: float) -> None:
        before = self._until.get(address)
        self._until[address] = deadline if before is None else max(before, deadline)
        if before is None:
            self._releases.add(address, deadline + RELEASE_S)
