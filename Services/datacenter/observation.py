"""What there is to see of a datacenter at one moment: its nodes and ZooKeeper servers, and the state of each.

A node is ready when the directory lists it and its gRPC health service says SERVING at the listed address.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import TracebackType
from typing import Any, Literal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from Services.datacenter import ensemble
from Services.datacenter.ensemble import Server
from Services.datacenter.processes import SUPERVISOR, ProcessEntry, Processes, is_node
from Services.datacenter.server_mode import NO_FIGURES, ServerFigures, report_of
from Services.datacenter.system import pid_is_alive
from Services.datacenter.vitals import UNKNOWN, Examination, Vitals
from Services.fractos.config import Configuration
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import Directory, DirectoryRecord, Member
from Services.fractos.errors import UnavailableError
from Services.fractos.oversight import Oversight

State = Literal["starting", "ready", "stopping", "restarting", "dead"]
Health = Literal["serving", "not serving", "silent"]
SERVER_ROLES = {"leader", "follower", "standalone", "observer", "read-only", "answers"}  # of one that serves
ANSWER_S = 2.0  # how long a node may take to answer
TRUST_S = 1.0  # how long a node that said SERVING is not asked again
CHANNEL_OPTIONS = [("grpc.enable_http_proxy", 0)]


@dataclass(frozen=True)
class NodeStatus:
    """One node: planned, started or listed. The fields are those of `status --json`."""

    node: str
    type: str
    role: Literal["leader", "standby"]
    state: State
    address: str | None  # None: not listed
    pid: int | None  # None: no process
    log: str
    restarts: int = 0  # how often the supervisor has started it again
    vitals: Vitals = UNKNOWN  # beside the others in `status --json`


@dataclass(frozen=True)
class SupervisorStatus:
    """The process that starts crashed nodes again. The fields are those of `status --json`."""

    state: Literal["ready", "dead"]
    pid: int | None  # None: no process
    log: str


@dataclass(frozen=True)
class ServerStatus:
    """One ZooKeeper server. The fields are those of `status --json`."""

    server: str  # "zookeeper0", or "external0" if others run it
    role: str  # one of SERVER_ROLES when it serves, else "starting", "restarting" or "dead"
    address: str
    pid: int | None  # None: no process, or others run it
    figures: ServerFigures = NO_FIGURES  # beside the others in `status --json`


@dataclass(frozen=True)
class Observation:
    """A datacenter at one moment."""

    nodes: tuple[NodeStatus, ...]
    zookeeper: tuple[ServerStatus, ...]
    supervisor: SupervisorStatus | None = None  # None: there is nothing to supervise

    @property
    def unready(self) -> tuple[str, ...]:
        """The names of the servers and nodes that are not ready."""
        return (
            *(server.server for server in self.zookeeper if server.role not in SERVER_ROLES),
            *(node.node for node in self.nodes if node.state != "ready"),
            *((SUPERVISOR,) if self.supervisor and self.supervisor.state == "dead" else ()),
        )

    @property
    def dead(self) -> tuple[str, ...]:
        """The names of the servers and nodes of which no process runs."""
        return (
            *(server.server for server in self.zookeeper if server.role in {"dead", "restarting"}),
            *(node.node for node in self.nodes if node.state in {"dead", "restarting"}),
        )

    def as_json(self) -> dict[str, Any]:
        """What `status --json` prints."""
        content = asdict(self)
        for node in content["nodes"]:
            node.update(node.pop("vitals"))
        for server in content["zookeeper"]:
            server.update(server.pop("figures"))
        return content


class Observer:
    """Observes one datacenter; an asynchronous context manager, since it keeps connections to it."""

    def __init__(self, configuration: Configuration, record: DirectoryRecord | None, processes: Processes) -> None:
        """Without a record of the directory, only processes are seen."""
        self._configuration = configuration
        self._record = record
        self._processes = processes
        self._servers: list[Server] = []
        self._external: list[str] = []  # the addresses of the servers that others run
        if record and record.external:
            self._external = record.address.partition("/")[0].split(",")
        elif record and record.kind == "zookeeper":
            self._servers = ensemble.read_servers(configuration.root)
        self._directory: Directory | None = None
        self._oversight: Oversight | None = None  # once the nodes have been asked how they fare
        self._examination: Examination | None = None
        self._opening: asyncio.Task[None] | None = None
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._served_at: dict[str, float] = {}  # member id → monotonic time

    async def __aenter__(self) -> Observer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opening:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self._oversight:
            await self._oversight.close()
        if self._directory:
            await self._directory.close()
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))

    async def observe(self, patience_s: float, *, closely: bool = False) -> Observation:
        """Look once, waiting for the directory at most `patience_s` if it has not been read yet.

        `closely`: the nodes are asked how they fare, too, which takes some tenths of a second the first time.
        """
        living = self._processes.living()
        answering = self._ask_servers(living)
        members = await self._members(patience_s, reachable=not answering or await _any_serves(answering))
        healths, fares = await asyncio.gather(
            asyncio.gather(*(self._health(member) for member in members)), self._examine(members if closely else ())
        )
        servers = await asyncio.gather(*answering)
        supervisor = supervisor_status(self._configuration, living)
        nodes = node_statuses(self._configuration, members, healths, living, self._processes.entries, supervisor)
        told = (replace(node, vitals=fares.get((node.node, node.address), UNKNOWN)) for node in nodes)
        return Observation(tuple(told), tuple(servers), supervisor)

    async def servers(self) -> tuple[ServerStatus, ...]:
        """The ZooKeeper servers, if the datacenter uses any."""
        return tuple(await asyncio.gather(*self._ask_servers(self._processes.living())))

    def _ask_servers(self, living: Mapping[str, ProcessEntry]) -> list[asyncio.Future[ServerStatus]]:
        asked = [self._server_status(server, living) for server in self._servers]
        asked += [_external_status(number, address) for number, address in enumerate(self._external)]
        return [asyncio.ensure_future(one) for one in asked]

    async def _server_status(self, server: Server, living: Mapping[str, ProcessEntry]) -> ServerStatus:
        pid: int | None
        if server.name in living:
            pid = living[server.name].pid
        else:
            pid = ensemble.running_servers(self._configuration.root).get(server.name)  # started by hand
        entry = self._processes.entries.get(server.name)
        again = SUPERVISOR in living and entry is not None and entry.supervised
        if not pid:
            return ServerStatus(server.name, "restarting" if again else "dead", server.address, pid)
        role, figures = await report_of(server.address)
        return ServerStatus(server.name, role or "starting", server.address, pid, figures)

    async def _members(self, patience_s: float, *, reachable: bool) -> tuple[Member, ...]:
        """The nodes that are listed, once the directory has been read."""
        if self._opening is None and self._record and reachable:
            self._opening = asyncio.create_task(self._open(self._record))
        if self._opening is None:
            return ()
        await asyncio.wait({self._opening}, timeout=patience_s)
        if not self._opening.done():
            return ()
        if isinstance(self._opening.exception(), UnavailableError):
            self._opening = None  # the servers went away meanwhile; the next look tries again
            return ()
        self._opening.result()
        return self._directory.members() if self._directory else ()

    async def _open(self, record: DirectoryRecord) -> None:
        directory = open_directory(record)
        try:
            await directory.start()
        except BaseException:
            await directory.close()
            raise
        self._directory = directory

    async def _examine(self, members: Sequence[Member]) -> dict[tuple[str, str | None], Vitals]:
        """How these nodes fare, by name and address."""
        if self._directory is None or not members:
            return {}
        if self._oversight is None or self._examination is None:
            self._oversight = Oversight(self._configuration, self._directory)
            self._examination = Examination(self._oversight)
        fares = await self._examination.ask(members)
        return {(member.name, member.address): one for member, one in zip(members, fares, strict=True)}

    async def _health(self, member: Member) -> Health:
        """What a node says of itself; asked again a second after it said SERVING."""
        if time.monotonic() - self._served_at.get(member.id, -TRUST_S) < TRUST_S and pid_is_alive(member.pid):
            return "serving"
        channel = self._channels.get(member.address) or grpc.aio.insecure_channel(member.address, options=CHANNEL_OPTIONS)
        self._channels[member.address] = channel
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its methods are made at run time
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=ANSWER_S)
        except grpc.aio.AioRpcError:
            return "silent"
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            return "not serving"
        self._served_at[member.id] = time.monotonic()
        return "serving"


def node_statuses(
    configuration: Configuration,
    members: Iterable[Member],
    healths: Iterable[Health],
    living: Mapping[str, ProcessEntry],
    recorded: Mapping[str, ProcessEntry],
    supervisor: SupervisorStatus | None,
) -> list[NodeStatus]:
    """Put together what the plan, the directory, the nodes themselves and the record of processes say.

    Nodes of the plan come first, in its order, then others that are listed or run. `members` are sorted by type and sequence,
    `healths` are theirs, `recorded` are all processes that were started, dead or alive. Pure but
    for asking whether a listed process id lives.
    """
    listed = {}
    for one, its_health in zip(members, healths, strict=True):
        # The entry of a process that died may stay for some seconds; another node may have its address by now.
        if (living[one.name].pid if one.name in living else one.pid) == one.pid:
            listed[one.name] = one, its_health
    types = {node.name: node.node_type for node in configuration.nodes}
    types |= {name: name.rpartition("-")[0] for name in living if is_node(name)}
    types |= {name: member.node_type for name, (member, _) in listed.items()}
    serving = [member for member, health in listed.values() if health == "serving"]
    leaders = {member.node_type: member.name for member in reversed(serving)}  # the lowest sequence of those that can be used
    statuses = []
    watched = supervisor is not None and supervisor.state == "ready"
    for name, node_type in types.items():
        member, health = listed.get(name, (None, None))
        pid = living[name].pid if name in living else member.pid if member and pid_is_alive(member.pid) else None
        entry = recorded.get(name)
        again = watched and pid is None and entry is not None and entry.supervised
        statuses.append(
            NodeStatus(
                node=name,
                type=node_type,
                role="leader" if leaders.get(node_type) == name else "standby",
                state="restarting" if again else _state(pid, health),
                address=member.address if member else None,
                pid=pid,
                log=str(configuration.logs_path / f"{name}.log") if member is None else member.log,
                restarts=entry.restarts if entry else 0,
            )
        )
    return statuses


def supervisor_status(configuration: Configuration, living: Mapping[str, ProcessEntry]) -> SupervisorStatus | None:
    """The state of the supervisor; it is missed only while a node lives that it should watch."""
    log = str(configuration.logs_path / f"{SUPERVISOR}.log")
    if SUPERVISOR in living:
        return SupervisorStatus("ready", living[SUPERVISOR].pid, log)
    if any(entry.supervised for entry in living.values()):
        return SupervisorStatus("dead", None, log)
    return None


def _state(pid: int | None, health: Health | None) -> State:
    """The state of a node with that process, if it has one, that answers `health`, if it is listed."""
    if pid is None:
        return "dead"
    if health == "serving":
        return "ready"
    # Nodes are listed just before they serve, and say NOT_SERVING when they begin to stop.
    return "stopping" if health == "not serving" else "starting"


async def _any_serves(answering: Sequence[asyncio.Future[ServerStatus]]) -> bool:
    """Whether any server serves. Does not wait for the others."""
    for answer in asyncio.as_completed(answering):
        if (await answer).role in SERVER_ROLES:
            return True
    return False


async def _external_status(number: int, address: str) -> ServerStatus:
    role, figures = await report_of(address)
    return ServerStatus(f"external{number}", role or "dead", address, None, figures)
