"""The nodes of one type that may honour a capability: those that are listed, and those that were until lately.

A node that was dropped from the directory may be paused or cut off, and go on later. Used by the servicer of `Capabilities`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from Services.fractos.directory.interface import Directory, Member
from Services.fractos.directory.probe import refuses

REMEMBERED_S = 300.0  # how long a node that is no longer listed has to be asked


class Fencing:
    """What this process's directory has told of one type of node. Lives on one event loop, as the directory does."""

    def __init__(self, directory: Directory, node_type: str, own_id: str, clock: Callable[[], float]) -> None:
        """`own_id` is this process's in the directory: it is not among the others. `clock` is a monotonic one, in seconds."""
        self._node_type = node_type
        self._own_id = own_id
        self._clock = clock
        self._listed: dict[str, Member] = {}  # by id
        self._dropped: dict[str, tuple[Member, float]] = {}  # by id, with the time
        self._change = asyncio.Event()
        directory.watch(self._see)

    def others(self) -> dict[str, Member]:
        """Those that may run, by id."""
        oldest = self._clock() - REMEMBERED_S
        self._dropped = {id: dropped for id, dropped in self._dropped.items() if dropped[1] >= oldest}
        return {**{id: member for id, (member, _) in self._dropped.items()}, **self._listed}

    async def is_fenced(self, member: Member, timeout_s: float) -> bool:
        """Whether a node certainly no longer runs: its address refuses connections, and it is not listed any more.

        If it still is, wait for the directory. A firewall between two hosts that refuses instead of dropping looks the same.
        """
        if not await refuses(member.address):
            return False
        try:
            await asyncio.wait_for(self._is_dropped(member.id), timeout_s)
        except asyncio.TimeoutError:
            return False
        self._dropped.pop(member.id, None)  # a process that is dead stays so
        return True

    async def _is_dropped(self, id: str) -> None:
        while id in self._listed:
            await self._change.wait()

    def _see(self, members: tuple[Member, ...]) -> None:
        now = self._clock()
        listed = {one.id: one for one in members if one.node_type == self._node_type and one.id != self._own_id}
        for id, member in self._listed.items():
            if id not in listed:
                self._dropped[id] = member, now
        for id in listed:
            self._dropped.pop(id, None)
        self._listed = listed
        self._change.set()
        self._change = asyncio.Event()
