"""Looks at the datacenter while somebody looks at the page, and tells all pages what there is to see.

Nothing is open to the datacenter otherwise: no connection, no stream, no place in its directory. A datacenter that is down, or
comes back with other nodes or another directory, is found by looking again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

from Services.datacenter import launcher, logs
from Services.datacenter.dashboard import notices
from Services.datacenter.dashboard.activity import Activity
from Services.datacenter.dashboard.audience import Audience
from Services.datacenter.dashboard.faults import processes_of
from Services.datacenter.dashboard.mailbox import Json
from Services.datacenter.dashboard.node_watch import NodeWatch
from Services.datacenter.dashboard.picture import Process, Said, picture
from Services.datacenter.dashboard.run_view import listed, shown
from Services.datacenter.observation import SERVER_ROLES, Observer, ServerStatus, node_statuses, supervisor_status
from Services.datacenter.processes import ProcessEntry, Processes
from Services.datacenter.tracing.trace import Trace
from Services.fractos.config import Configuration, load, read_directory_record
from Services.fractos.directory.interface import DirectoryRecord, Member
from Services.fractos.errors import FractosError, NotFoundError, UnavailableError
from Services.fractos.network_changes import read_state
from Services.fractos.oversight import Oversight, overseeing

MOVES_EVERY_S = 0.1
STATE_EVERY_S = 1.0
RUNS_EVERY_S = 1.0
AGAIN_S = 1.0  # after it could not be looked at
RUNS = 40  # in the list
SHOWN_RUNS_S = 30  # runs a second that the nodes tell of
LOG_LINES = 60


class Looking:
    """Looks at the datacenter in one folder. Lives on an event loop: `run` it, and cancel that when nobody looks any more."""

    def __init__(self, root: Path, audience: Audience) -> None:
        self._root = root
        self._audience = audience
        self._activity = Activity()
        self._watches: dict[str, NodeWatch] = {}  # by member id
        self._stack = AsyncExitStack()
        self._oversight: Oversight | None = None
        self._opening: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()  # held while the connections are used: what hangs up waits for it
        self._changed = asyncio.Event()
        self._picture: Json | None = None
        self._one_of = 1  # of the runs so many are watched: all

    async def run(self) -> None:
        """Look until this is cancelled."""
        others = [asyncio.create_task(self._tell_moves()), asyncio.create_task(self._tell_runs())]
        try:
            while True:
                try:
                    await self._look()
                except (
                    FractosError,
                    OSError,
                ) as error:  # for a person to mend: a mistake in the configuration
                    self._audience.put(
                        "state", {"up": False, "known": True, "trouble": str(error), "nodes": [], "servers": [], "links": []}
                    )
                await self._let_go()
                await asyncio.sleep(AGAIN_S)
        finally:
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await self._let_go()

    async def detail(self, look: Mapping[str, str]) -> Json | None:
        """More of the node or the run that a page looks at; None if it looks at neither."""
        if name := look.get("node"):
            return {"node": name, "recent": self._activity.recent(name), "log": self._log_of(name)}
        if run := look.get("run"):
            return await self.run_detail(run)
        return None

    async def run_detail(self, run: str) -> Json:
        """All that is shown of a run, or the trouble with that."""
        try:
            async with self._asking:
                if self._oversight is None:
                    return {"run": run, "trouble": "the datacenter does not run"}
                described = await self._oversight.describe_run(bytes.fromhex(run))
        except (NotFoundError, ValueError):
            return {"run": run, "trouble": "the journal does not have this run, or not any more"}
        except FractosError as error:
            return {"run": run, "trouble": str(error)}
        return shown(Trace.of(described, time.time()))

    async def _look(self) -> None:
        """Tell how the datacenter stands, until it is another one."""
        configuration = launcher.as_running(load(self._root))
        record = read_directory_record(configuration)
        processes = Processes(self._root)
        async with Observer(configuration, record, processes) as observer:
            while record == read_directory_record(configuration):
                processes.read()
                living = processes.living()
                servers = await observer.servers()
                self._connect(configuration, record, servers)
                await self._follow()
                self._tell(configuration, processes, living, servers)
                self._changed.clear()
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), STATE_EVERY_S)

    def _connect(self, configuration: Configuration, record: DirectoryRecord | None, servers: Sequence[ServerStatus]) -> None:
        """Begin to look into the directory once it can be reached; that may take a while, and the page must not wait for it."""
        if self._opening is not None and self._opening.done():
            failed, self._opening = self._opening.exception(), None
            if failed is not None and not isinstance(failed, UnavailableError):
                raise failed
        reachable = record is not None and (not servers or any(one.role in SERVER_ROLES for one in servers))
        if self._oversight is None and self._opening is None and reachable:
            self._opening = asyncio.create_task(self._open(configuration))

    async def _open(self, configuration: Configuration) -> None:
        self._oversight = await self._stack.enter_async_context(overseeing(configuration, only_looks=True))
        self._oversight.directory.watch(lambda members: self._changed.set())

    def _members(self) -> tuple[Member, ...]:
        return self._oversight.nodes() if self._oversight else ()

    async def _follow(self) -> None:
        """Watch whoever is listed, and nobody else."""
        members = {member.id: member for member in self._members()}
        for id in self._watches.keys() - members.keys():
            watch = self._watches.pop(id)
            await watch.close()
            self._activity.forget(watch.member.name)
        if self._oversight:
            for id in members.keys() - self._watches.keys():
                self._watches[id] = NodeWatch(self._oversight, members[id], self._activity.saw, self._changed.set)

    def _tell(
        self,
        configuration: Configuration,
        processes: Processes,
        living: Mapping[str, ProcessEntry],
        servers: Sequence[ServerStatus],
    ) -> None:
        members = self._members()
        watches = {member.id: self._watches.get(member.id) for member in members}
        said = {member.id: watch.said for member in members if (watch := watches[member.id])}
        statuses = node_statuses(
            configuration,
            members,
            ["serving" if said.get(member.id) else "silent" for member in members],
            living,
            processes.entries,
            supervisor_status(configuration, living),
        )
        self._choose(one for one in said.values() if one)
        pids = {status.node: status.pid for status in statuses}
        heard = {one.name: last for one in members if (last := said.get(one.id)) and pids.get(one.name) == one.pid}
        rules = read_state(configuration).rules
        after = picture(statuses, servers, heard, self._processes(living), rules, str(configuration.root))
        known = self._opening is None and all(watch.is_known for watch in self._watches.values())
        if known:
            self._audience.note(notices.changes(self._picture, after))
            self._picture = after
        up = any(status.state == "ready" for status in statuses)
        self._audience.put("state", {"name": configuration.name, "up": up, "known": known, **after})

    def _processes(self, living: Mapping[str, ProcessEntry]) -> dict[str, Process]:
        """What is known of the nodes' processes."""
        silent = {watch.member.name for watch in self._watches.values() if watch.is_silent}
        seen = processes_of(living)
        return {name: replace(seen.get(name, Process()), silent=name in silent) for name in seen.keys() | silent}

    def _choose(self, said: Iterable[Said]) -> None:
        """Have the nodes tell of so many runs as can be shown: they have other things to do."""
        rate = sum(one.rate("runs_ended") for one in said)
        if not self._one_of / 2 <= rate / SHOWN_RUNS_S <= self._one_of * 2:
            self._one_of = max(1, round(rate / SHOWN_RUNS_S))
        for watch in self._watches.values():
            watch.listen_to(self._one_of)

    async def _tell_moves(self) -> None:
        while True:
            moves, repeated = self._activity.take(time.time())
            self._audience.move(moves)
            self._audience.note(notices.repetitions(repeated))
            await asyncio.sleep(MOVES_EVERY_S)

    async def _tell_runs(self) -> None:
        told: list[Json] = []
        while True:
            async with self._asking:
                with suppress(FractosError):  # no application node answers: the nodes show that
                    found = await self._oversight.runs(RUNS) if self._oversight else []
                    runs = [listed(one) for one in found]
                    if runs != told:
                        self._audience.put("runs", runs)
                        told = runs
            await asyncio.sleep(RUNS_EVERY_S)

    def _log_of(self, name: str) -> list[str]:
        nodes = self._picture["nodes"] if self._picture else []
        path = next((node["log"] for node in nodes if node["name"] == name), "")
        try:
            return logs.tail(Path(path), LOG_LINES) if path else []
        except OSError as error:
            return [f"{path}: {error.strerror}"]

    async def _let_go(self) -> None:
        """Close all that is open to the datacenter."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
            self._opening = None
        watches, self._watches = self._watches, {}
        await asyncio.gather(*(watch.close() for watch in watches.values()))
        async with self._asking:
            stack, self._stack, self._oversight = self._stack, AsyncExitStack(), None
            with suppress(FractosError):
                await stack.aclose()
