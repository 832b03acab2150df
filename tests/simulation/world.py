"""Many engines in one loop on one virtual clock: a datacenter without processes, sockets or threads.

A seed fixes every latency, every device time and every crash, so that a history can be replayed exactly. The engines are those
that real nodes run; only links, devices and the directory are simulated. Frames travel as bytes, as they do for real.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from google.protobuf.message import Message

from protos import application_pb2, cnn_pb2, fractos_pb2, math_pb2, storage_pb2
from Services.ComputationalNodes.MathCompute.Math_Adaptor.math_adaptor import MathAdaptor
from Services.fractos.directory.interface import Member
from Services.fractos.engine import Engine
from Services.fractos.errors import FractosError, NotFoundError
from Services.fractos.events import (
    Accepted,
    CallDevice,
    CancelAsked,
    DeviceDone,
    DropCalls,
    Effect,
    Event,
    FrameReceived,
    KeepLink,
    LinkLost,
    LinkOpened,
    Log,
    MembersChanged,
    Owned,
    OwnedElsewhere,
    PeerEpoch,
    Record,
    Recorded,
    Refused,
    RunEnded,
    SendFrame,
    Submitted,
    TakeOwnership,
    TimerDue,
    Wake,
    WorkKey,
)
from Services.fractos.graph import TaskGraph, default_catalogue
from Services.fractos.limits import Limits
from Services.fractos.placement import Identity

START = 1_700_000_000.0  # Unix time at which every simulation begins
ACKNOWLEDGE_S = 0.1
NOTICE_S = 0.002  # how long until the end of a stream shows after a crash
DIRECTORY_S = 2.0  # how long until the directory drops a node that crashed


class Files:
    """A storage device in memory, shared by all storage nodes as a folder would be."""

    def __init__(self) -> None:
        self.content: dict[tuple[str, str], fractos_pb2.BigInteger] = {}
        self.writes: list[tuple[str, str]] = []

    def call(self, name: str, request: Any) -> Message:
        """Run one operation of `storage.proto`; only integers are stored here."""
        key = (request.client_id, request.name)
        if name == "write_integer":
            self.content[key] = request.value
            self.writes.append(key)
            return storage_pb2.WriteIntegerResponse()
        if name == "read_integer":
            if key not in self.content:
                raise NotFoundError(f"no file {request.name!r}")
            return storage_pb2.ReadIntegerResponse(value=self.content[key])
        raise AssertionError(f"the simulation has no storage.{name}")


@dataclass
class SimulatedNode:
    """One engine and what surrounds it."""

    engine: Engine
    member: Member
    wake: int = 0  # the number of the Wake that is in force
    dropped: set[bytes] = field(default_factory=set)


@dataclass
class Link:
    """A stream between two nodes: its clock keeps frames in order."""

    free_at: float = START
    unacknowledged: list[bytes] = field(default_factory=list)


class World:
    """A simulated datacenter."""

    def __init__(self, seed: int, *, limits: Limits | None = None, **counts: int) -> None:
        """`counts` is how many nodes of each type there are, for example `math=2`."""
        self.random = random.Random(seed)
        self.now = START
        self.device_s = 0.001  # how long a device call takes on average
        self.files = Files()
        self.nodes: dict[str, SimulatedNode] = {}
        self.results: dict[bytes, list[application_pb2.RunResult]] = defaultdict(list)
        self.refusals: dict[bytes, FractosError] = {}
        self.executed: list[tuple[str, WorkKey]] = []  # by which node
        self.frames: list[tuple[str, str, str]] = []  # (from, to, kind)
        self._catalogue = default_catalogue()
        self._math = MathAdaptor(self._catalogue)
        self._limits = limits
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._members = 0  # that there ever were
        self._owners: dict[str, tuple[str, int]] = {}  # by type: who, since which epoch
        self._links: dict[tuple[str, str], Link] = {}
        for node_type, count in counts.items():
            for index in range(count):
                self._add(node_type, index)
        self._announce(0.0)
        self.run(0.1)

    # -- what a test does -------------------------------------------------------------------------------------------------

    def submit(self, graph: TaskGraph, *, timeout_s: float = 30.0, to: str = "application-0") -> bytes:
        """Submit a graph and return its run's id."""
        run_id = self.random.randbytes(16)
        request = application_pb2.SubmitRequest(run_id=run_id, timeout_s=timeout_s, graph=graph.serialized())
        self._feed(to, Submitted(request, ticket=0))
        return run_id

    def cancel(self, run_id: bytes, to: str = "application-0") -> None:
        """Ask for the end of a run."""
        self._feed(to, CancelAsked(run_id))

    def crash(self, name: str) -> None:
        """Kill a node: peers notice at once, the directory later."""
        del self.nodes[name]
        for (sender, receiver), link in list(self._links.items()):
            if receiver == name and sender in self.nodes:
                self._lose(sender, name, link)
        self._announce(DIRECTORY_S)

    def restart(self, name: str) -> None:
        """Start a node that crashed anew: it knows nothing of before and is the last in line."""
        node_type, _, index = name.rpartition("-")
        self._add(node_type, int(index))
        self._announce(0.0)

    def cut(self, sender: str, receiver: str) -> None:
        """Break a stream between two nodes that live on; what is on its way is lost."""
        link = self._links.get((sender, receiver))
        if link is not None:
            self._lose(sender, receiver, link)

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        until = self.now + seconds
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, action = heapq.heappop(self._agenda)
            action()
        self.now = until

    def result(self, run_id: bytes) -> application_pb2.RunResult:
        """The one answer to a run."""
        (only,) = self.results[run_id]
        return only

    # -- the machinery ----------------------------------------------------------------------------------------------------

    def _add(self, node_type: str, index: int) -> None:
        name = f"{node_type}-{index}"
        self._members += 1
        identity = Identity(node_type, name, name, id=f"id {self._members}")  # a simulated node's address is its name
        engine = Engine(
            identity,
            self._catalogue,
            limits=self._limits,
            with_runs=node_type == "application",
            durable=node_type == "storage",
        )
        self.nodes[name] = SimulatedNode(
            engine, Member(node_type, name, f"id {self._members}", self._members, name, 0, "", self.now)
        )

    def _announce(self, delay: float) -> None:
        """Have every node learn who is alive, each a little later than the other."""
        for name in self.nodes:
            self._after(delay + self.random.uniform(0, 0.01), partial(self._tell_members, name))

    def _tell_members(self, name: str) -> None:
        self._feed(name, MembersChanged(tuple(node.member for node in self.nodes.values())))

    def _after(self, delay: float, action: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._agenda, (self.now + delay, self._sequence, action))

    def _feed(self, name: str, event: Event) -> None:
        node = self.nodes.get(name)
        if node is not None:
            for effect in node.engine.handle(event, self.now):
                self._perform(node, effect)

    def _perform(self, node: SimulatedNode, effect: Effect) -> None:
        name = node.member.name
        match effect:
            case SendFrame(address, frame):
                self._send(name, address, frame.SerializeToString())
            case CallDevice():
                self._after(self.random.expovariate(1 / self.device_s), lambda: self._call_device(node, effect))
            case DropCalls(run_ids):
                node.dropped |= run_ids
            case Wake(at):
                node.wake += 1
                self._after(max(0.0, at - self.now), partial(self._wake, node, node.wake))
            case RunEnded(result):
                self.results[result.run_id].append(application_pb2.RunResult.FromString(result.SerializeToString()))
            case Refused(run_id, _, error):
                self.refusals[run_id] = error
            case Record(entry):
                self._after(0.0, lambda: self._feed(name, Recorded([entry], {}, None)))
            case TakeOwnership():
                self._after(0.001, lambda: self._take(node))
            case KeepLink(address):
                self._keep(name, address)
            case Accepted() | Log():
                pass

    def _take(self, node: SimulatedNode) -> None:
        kind, name = node.member.node_type, node.member.name
        owner, epoch = self._owners.get(kind, ("", 0))
        if owner in self.nodes and owner != name:
            self._feed(name, OwnedElsewhere(owner, owner, epoch))
            return
        self._owners[kind] = (name, epoch + 1)
        self._feed(name, Owned(epoch + 1))
        for sender, receiver in self._links:
            if receiver == name:
                self._after(NOTICE_S, partial(self._feed, sender, PeerEpoch(name, epoch + 1)))

    def _keep(self, sender: str, receiver: str) -> None:
        if receiver in self.nodes:
            self._links.setdefault((sender, receiver), Link())
            self._after(NOTICE_S, lambda: self._feed(sender, LinkOpened(receiver)))
            epoch = self.nodes[receiver].engine.tenure.epoch
            self._after(NOTICE_S, lambda: self._feed(sender, PeerEpoch(receiver, epoch)))
        else:
            self._after(NOTICE_S, lambda: self._feed(sender, LinkLost(receiver, False, [], [])))

    def _wake(self, node: SimulatedNode, wake: int) -> None:
        if node.wake == wake:
            self._feed(node.member.name, TimerDue())

    def _send(self, sender: str, receiver: str, data: bytes) -> None:
        kind = fractos_pb2.Frame.FromString(data).WhichOneof("body")
        self.frames.append((sender, receiver, str(kind)))
        if receiver not in self.nodes:
            self._after(
                NOTICE_S, lambda: self._feed(sender, LinkLost(receiver, False, [], [fractos_pb2.Frame.FromString(data)]))
            )
            return
        link = self._links.setdefault((sender, receiver), Link())
        link.free_at = max(link.free_at, self.now) + self.random.expovariate(5000)
        link.unacknowledged.append(data)
        self._after(link.free_at - self.now, lambda: self._deliver(sender, receiver, link, data))

    def _deliver(self, sender: str, receiver: str, link: Link, data: bytes) -> None:
        if self._links.get((sender, receiver)) is link and receiver in self.nodes:
            self._feed(receiver, FrameReceived(fractos_pb2.Frame.FromString(data)))
            self._after(ACKNOWLEDGE_S, lambda: link.unacknowledged.remove(data) if data in link.unacknowledged else None)

    def _lose(self, sender: str, receiver: str, link: Link) -> None:
        del self._links[sender, receiver]
        unknown = [fractos_pb2.Frame.FromString(data) for data in link.unacknowledged]
        self._after(NOTICE_S, lambda: self._feed(sender, LinkLost(receiver, True, unknown, [])))

    def _call_device(self, node: SimulatedNode, call: CallDevice) -> None:
        name = node.member.name
        if self.nodes.get(name) is not node or call.key[0] in node.dropped:
            return
        started_at = self.now
        self.executed.append((name, call.key))
        try:
            response = self._respond(call)
        except FractosError as error:
            self._feed(name, DeviceDone(call.key, None, error, started_at, self.now))
        else:
            self._feed(name, DeviceDone(call.key, response, None, started_at, self.now))

    def _respond(self, call: CallDevice) -> Message:
        if call.operation.node_type == "storage":
            return self.files.call(call.operation.name, call.request)
        if call.operation.path == "cnn.train":  # the one operation that may not be repeated
            return cnn_pb2.TrainResponse()
        return self._math.call(call.operation, call.request)


def integer(result: application_pb2.RunResult, step: int) -> int:
    """The integer that a math step or `read_integer` answered."""
    (hop,) = [hop for hop in result.trail if hop.step == step]
    value = math_pb2.PowerResponse.FromString(hop.output).value
    return int.from_bytes(value.magnitude, "big") * (-1 if value.negative else 1)
