"""Many engines in one loop on one virtual clock: a datacenter without processes, sockets or threads.

A seed fixes every latency, every device time and every fault, so that a history can be replayed exactly. The engines are those
that real nodes run; only links, disks, devices and the directory are simulated. Frames travel as bytes, as they do for real.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from google.protobuf.message import Message

from protos import application_pb2, fractos_pb2, math_pb2
from Services.fractos.directory.interface import Member
from Services.fractos.engine import Engine
from Services.fractos.errors import FractosError
from Services.fractos.events import CancelAsked, WorkKey
from Services.fractos.following import FIRST
from Services.fractos.graph import TaskGraph, default_catalogue
from Services.fractos.guard import Guard
from Services.fractos.limits import Limits
from Services.fractos.placement import Identity
from Services.fractos.topology import RING
from tests.simulation.agenda import Agenda
from tests.simulation.directory import Directory
from tests.simulation.disks import Disks, Folder
from tests.simulation.fetching import Fetches
from tests.simulation.history import History, Tell
from tests.simulation.keys import Keys
from tests.simulation.network import Network
from tests.simulation.node import SimulatedNode, Waiting
from tests.simulation.rights import why_not_call

SETTLED_S = 1.0  # after which every node knows the others and the owners
REVOKED_S = 0.01  # within which the nodes are told of a revocation
RESTART_S = 1.0  # how long the supervisor takes to start a killed node anew


@dataclass(frozen=True)
class Conditions:
    """What does not change during a simulation."""

    directory_s: float = 2.0  # how long until the directory drops a node that crashed
    sync_s: float = 0.0  # how long a commit takes on average; 0: nothing waits for the disk
    skew_s: float = 0.0  # how far clocks may be off, either way
    latency_s: float = 0.0002  # how long a frame takes on average
    transfer_s: float = 0.0  # how much longer Memory takes on its way, on average
    inline_limit: int = 1 << 20  # values of more bytes become Memory
    memory_bytes: int = 1 << 30  # how much Memory a node has room for
    first: int = FIRST  # so many of each type follow the directory from their start, and have channels without being named


EngineMaker = Callable[..., Engine]


class World:
    """A simulated datacenter. `nodes` are the processes that live, by name."""

    def __init__(
        self,
        seed: int,
        nodes: Mapping[str, int] | None = None,
        *,
        limits: Limits | None = None,
        conditions: Conditions | None = None,
        tell: Tell | None = None,
        make_engine: EngineMaker = Engine,
        **counts: int,
    ) -> None:
        """`nodes` or `counts` is how many there are of each type, for example `math=2`. `tell` gets the story, line by line."""
        self.random = random.Random(seed)
        self.agenda = Agenda()
        self.history = History(self.agenda, tell)
        self.conditions = conditions or Conditions()
        self.device_s = 0.001  # how long a device call takes on average
        self.slowness: dict[str, float] = {}  # node → how many times longer its device takes at present
        self.refused_ownership: dict[str, FractosError] = {}  # type → why nobody can become the owner at present
        self.disks = Disks(self.history)
        self.keys = Keys(seed, lambda: self.now)
        self.revocations: list[fractos_pb2.Revocation] = []
        self.fetches = Fetches(self)
        self.network = Network(self)
        self.directory = Directory(self)
        self.nodes: dict[str, SimulatedNode] = {}
        self.on_death: list[Callable[[SimulatedNode], None]] = []
        self.results: dict[bytes, list[application_pb2.RunResult]] = defaultdict(list)  # of `submit`
        self.refusals: dict[bytes, FractosError] = {}
        self.executed: list[tuple[str, WorkKey]] = []  # by which node
        self.frames: list[tuple[str, str, str]] = []  # (from, to, kind)
        self._graphs: dict[bytes, bytes] = {}  # as tests wrote them → as they are submitted
        self._by_address: dict[str, SimulatedNode] = {}
        self._skews: dict[str, float] = {}
        self._limits = replace(limits or Limits(), links_per_type=self.conditions.first)
        self._make_engine = make_engine
        for node_type, count in {**(nodes or {}), **counts}.items():
            for index in range(count):
                self._add(f"{node_type}-{index}")
        self.run(SETTLED_S)

    @property
    def now(self) -> float:
        """The true time."""
        return self.agenda.now

    # -- what a test does -------------------------------------------------------------------------------------------------

    def submit(
        self,
        graph: TaskGraph,
        *,
        timeout_s: float = 30.0,
        to: str = "application-0",
        run_id: bytes | None = None,
        topology: str = RING,
    ) -> bytes:
        """Submit a graph, under the id of an earlier run if one is given, and return its run's id."""
        run_id = run_id or self.random.randbytes(16)
        authority = self.keys.authority("the test")
        plain = graph.serialized()
        serialized = self._graphs[plain] = self._graphs.get(plain) or authority.graph(graph)
        self.history.submitted(run_id, serialized)
        request = application_pb2.SubmitRequest(run_id=run_id, timeout_s=timeout_s, graph=serialized, topology=topology)
        self.nodes[to].submit(request, self.tester(), authority.capability("application"))
        return run_id

    def tester(self) -> Waiting:
        """Whoever submits directly and gets `results` and `refusals`."""
        return _Tester(self)

    def cancel(self, run_id: bytes, to: str = "application-0") -> None:
        """Ask for the end of a run."""
        self.nodes[to].feed(CancelAsked(run_id))

    def crash(self, name: str) -> None:
        """Kill a node: peers notice at once, the directory later."""
        self.kill(self.nodes[name], restart_s=None)

    def restart(self, name: str) -> None:
        """Start a node that crashed anew: it knows nothing of before and is the last in line."""
        if name not in self.nodes:
            self._add(name)

    def cut(self, sender: str, receiver: str) -> None:
        """Break a stream between two nodes that live on; what is on its way may be lost."""
        self.network.cut(sender, receiver)

    def revoke(self, client: str, service: str) -> None:
        """End what a client may do at the nodes of a type, those that are started later included."""
        revocation = self.keys.revocation(client, service)
        self.revocations.append(revocation)
        for node in list(self.nodes.values()):
            if node.member.node_type == service:
                node.later(self.random.uniform(0.0, REVOKED_S), partial(node.revoke, [revocation]))

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.agenda.run(seconds)

    def result(self, run_id: bytes) -> application_pb2.RunResult:
        """The one answer to a run."""
        (only,) = self.results[run_id]
        return only

    # -- the machinery ----------------------------------------------------------------------------------------------------

    @property
    def files(self) -> Folder:
        """The storage folder."""
        return self.disks.folder

    def at(self, address: str) -> SimulatedNode | None:
        """The process at an address, dead or alive."""
        return self._by_address.get(address)

    def kill(self, node: SimulatedNode, restart_s: float | None = RESTART_S) -> None:
        """End a process. The supervisor starts the node anew after a while, unless there is none."""
        if not node.alive:
            return
        node.alive = node.paused = False
        self.history.trouble("down", node.name, restart_s or 0.0)
        if self.nodes.get(node.name) is node:
            del self.nodes[node.name]
        self.network.on_death(node)
        self.agenda.after(self.conditions.directory_s, lambda: self.directory.drop(node.member.id))
        for notify in self.on_death:
            notify(node)
        if restart_s is not None:
            self.agenda.after(restart_s, lambda: self.restart(node.name))

    def pause(self, node: SimulatedNode) -> None:
        """Stop a process; its lock stays held."""
        node.pause()
        self.network.on_paused(node)

    def resume(self, node: SimulatedNode) -> None:
        """Have a process go on, unless somebody has killed it meanwhile."""
        if node.alive:
            self.history.line(f"{node.name} goes on")
            node.resume()
            self.network.on_resumed(node)

    def device_time(self, node: SimulatedNode) -> float:
        """How long the next device call of a node takes."""
        return self.random.expovariate(1 / self.device_s) * self.slowness.get(node.name, 1.0)

    def note_execution(self, node: SimulatedNode, key: WorkKey, path: str) -> None:
        """Take note that a device begins a step."""
        self.executed.append((node.name, key))
        self.history.execution(node.name, node.address, key, path)

    def check_right(self, node: SimulatedNode, key: WorkKey, request: Message, handed_at: tuple[float, float]) -> None:
        """Take note of a step that its client had no right to.

        `handed_at` is the time when the device got it: the true one, and by its node's clock.
        """
        step = self.history.asked.get((key.run_id, key.step))
        at, clock = handed_at
        revoked = [id for id, since in self.history.revoked[node.address].items() if since < at]
        why_not = "nobody asked for it"
        if step is not None:
            why_not = why_not_call(self.keys.of(node.member.node_type), step, request, node.name, clock, revoked)
        if why_not:
            what = f"{node.name} does step {key.step} of {self.history.name(key.run_id)}"
            self.history.violated(f"{what} without a right to it: {why_not}")

    def note_frame(self, sender: str, address: str, frame: fractos_pb2.Frame) -> None:
        """Take note that a frame was sent."""
        receiver = self._by_address.get(address)
        self.frames.append((sender, receiver.name if receiver else address, str(frame.WhichOneof("body"))))

    def _add(self, name: str) -> None:
        node_type, _, _ = name.rpartition("-")
        sequence = self.directory.next_sequence()
        address = f"{name}:{sequence}"  # a process that is started anew gets another port
        engine = self._make_engine(
            Identity(node_type, name, address, id=f"id {sequence}"),
            default_catalogue(),
            limits=self._limits,
            with_runs=node_type == "application",
            durable=node_type == "storage",
            guard=Guard(node_type, self.keys.of(node_type), self.keys.of(address)),
        )
        member = Member(node_type, name, f"id {sequence}", sequence, address, 0, "", self.now)
        if name not in self._skews:
            self._skews[name] = self.random.uniform(-self.conditions.skew_s, self.conditions.skew_s)
        node = SimulatedNode(self, engine, member, self._skews[name])
        self.nodes[name] = self._by_address[address] = node
        node.revoke([revocation for revocation in self.revocations if revocation.service == node_type])
        self.history.line(f"{name} starts at {address}")
        self.directory.register(member)


class _Tester:
    """A test that submits directly, without a client that could get into trouble."""

    def __init__(self, world: World) -> None:
        self._world = world

    def accepted(self, run_id: bytes) -> None:
        pass

    def refused(self, run_id: bytes, error: FractosError) -> None:
        self._world.refusals[run_id] = error

    def ended(self, result: application_pb2.RunResult) -> None:
        self._world.results[result.run_id].append(application_pb2.RunResult.FromString(result.SerializeToString()))


def integer(result: application_pb2.RunResult, step: int) -> int:
    """The integer that a math step or `read_integer` answered."""
    (hop,) = [hop for hop in result.trail if hop.step == step]
    assert hop.HasField("output"), f"step {step} answered Memory, and its output was not asked for"
    value = math_pb2.PowerResponse.FromString(hop.output).value
    return int.from_bytes(value.magnitude, "big") * (-1 if value.negative else 1)
