"""Streams between simulated nodes, with what `transport/grpc_channel.py` promises: in order, at most once, losses handed back.

A stream breaks when a process dies, when it is cut, or when its receiver has been silent for too long. What was on its way
then may still arrive, in order and as late as one likes, although the sender has been told that nobody knows.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from protos import fractos_pb2
from Services.fractos.events import FrameReceived, LinkLost, LinkOpened, PeerEpoch
from tests.simulation.story import described

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode
    from tests.simulation.world import World

FINISHED = fractos_pb2.Frame(finished=fractos_pb2.Finished()).SerializeToString()[:1]  # how such a frame begins
ACKNOWLEDGE_S = 0.2
NOTICE_S = 0.002  # how long until the end of a stream shows
CONNECT_TIMEOUT_S = 2.0
SILENCE_S = 2.5
SILENCE_VARIES_S = 0.5


@dataclass(slots=True, eq=False)
class Carried:
    """A frame on a stream."""

    data: bytes
    arrived: bool = False
    acknowledged_at: float = math.inf  # when its sender knows that it has arrived


@dataclass(slots=True, eq=False)
class Stream:
    """One stream, from its opening to its loss."""

    sender: SimulatedNode
    receiver: SimulatedNode | None
    address: str
    opened: bool = False
    kept: bool = False
    free_at: float = 0.0  # keeps frames in order
    epoch: int = 0  # of the receiver, as far as the sender was told
    unsent: list[bytes] = field(default_factory=list)
    carried: deque[Carried] = field(default_factory=deque)  # not known to have arrived
    backlog: deque[Carried] = field(default_factory=deque)  # stopped by a wall
    broken_at: float = math.inf
    survivors: float = 0  # how many frames still arrive once it is broken
    lost: bool = False  # its sender has been told
    healed: int = 0  # how often it was free to go again
    watched: bool = False


class Network:
    """All streams, and the walls between nodes."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._agenda = world.agenda
        self._random = world.random
        self._streams: dict[tuple[str, str], Stream] = {}  # by the addresses of sender and receiver
        self._backlogged: list[Stream] = []
        self._walls: dict[tuple[str, str], int] = {}  # (from, to) → how many faults stop what goes there
        self.delays: dict[str, float] = {}  # node → how much longer on average what goes there takes at present
        self.echoes: dict[str, float] = {}  # node → how probable it is that what arrives there arrives once more

    # -- what a sender does -----------------------------------------------------------------------------------------------

    def send(self, sender: SimulatedNode, address: str, data: bytes) -> None:
        """Send a serialized frame."""
        if data.startswith(FINISHED):
            for run in fractos_pb2.Frame.FromString(data).finished.runs:
                self._world.history.telling.setdefault((address, run.run_id), self._agenda.now)
        stream = self._streams.get((sender.address, address)) or self._open(sender, address)
        if stream.opened:
            self._carry(stream, data)
        else:
            stream.unsent.append(data)

    def keep(self, sender: SimulatedNode, address: str) -> None:
        """Open a stream although there is nothing to send, and notice its loss."""
        stream = self._streams.get((sender.address, address)) or self._open(sender, address)
        stream.kept = True
        if self.is_stopped(stream):
            self._watch(stream)

    def release(self, sender: SimulatedNode, address: str) -> None:
        """Keep a stream no longer: it is closed at once if it carries nothing, and nobody is told."""
        stream = self._streams.get((sender.address, address))
        if stream is None:
            return
        stream.kept = False
        if stream.opened and all(carried.acknowledged_at <= self._agenda.now for carried in stream.carried):
            stream.lost = True
            del self._streams[sender.address, address]

    # -- faults -----------------------------------------------------------------------------------------------------------

    def cut(self, sender: str, receiver: str) -> None:
        """Break the stream from one living node to another, if there is one."""
        self._world.fetches.cut(sender, receiver)
        for stream in self._between(sender, receiver):
            if stream.opened:
                self._break(stream, survivors=self._random.randrange(len(stream.carried) + 1))

    def raise_wall(self, sender: str, receiver: str) -> None:
        """Let nothing from one node to another pass, until `drop_wall`."""
        self._walls[sender, receiver] = self._walls.get((sender, receiver), 0) + 1
        self._watch_all(sender, receiver)
        self._watch_all(receiver, sender)

    def drop_wall(self, sender: str, receiver: str) -> None:
        """Let pass what one wall stopped. What waited goes on."""
        self._walls[sender, receiver] -= 1
        if self._walls[sender, receiver]:
            return
        for stream in (*self._between(sender, receiver), *self._between(receiver, sender)):
            self._heal(stream)
        waiting, self._backlogged = self._backlogged, []
        for stream in waiting:
            if not self._is_walled(stream):
                backlog, stream.backlog = stream.backlog, deque()
                for carried in backlog:
                    self._agenda.after(0.0, partial(self._arrive, stream, carried))
            elif stream.backlog:
                self._backlogged.append(stream)

    def on_paused(self, node: SimulatedNode) -> None:
        """A node has stopped: whoever sends to it hears nothing."""
        for stream in self._streams.values():
            if stream.receiver is node:
                self._watch(stream)

    def on_resumed(self, node: SimulatedNode) -> None:
        """A node goes on."""
        for stream in list(self._streams.values()):
            if stream.receiver is node:
                self._heal(stream)

    def on_death(self, node: SimulatedNode) -> None:
        """The system closes a dead process's streams. Behind a wall nobody hears of it."""
        self._world.fetches.on_death(node)
        for key, stream in list(self._streams.items()):
            if stream.sender is node:
                del self._streams[key]
                stream.lost, stream.broken_at = True, self._agenda.now
                stream.survivors = self._random.randrange(len(stream.carried) + 1)
            elif stream.receiver is node:
                self._break(stream, survivors=0)

    def on_owner(self, node: SimulatedNode) -> None:
        """Whoever keeps a stream to a new owner learns of its epoch with the next heartbeat."""
        for stream in list(self._streams.values()):
            if stream.receiver is node and stream.opened and stream.kept:
                self._agenda.after(self._random.uniform(0.0, 0.7), partial(self._tell_epoch, stream))

    def is_blocked(self, one: str, other: str) -> bool:
        """Whether a wall stands between two nodes, in either direction."""
        return bool(self._walls and (self._walls.get((one, other)) or self._walls.get((other, one))))

    def is_stopped(self, stream: Stream) -> bool:
        """Whether the sender hears nothing from the receiver."""
        receiver = stream.receiver
        return receiver is not None and (
            receiver.paused or self.is_blocked(stream.sender.name, receiver.name) or (stream.opened and not receiver.alive)
        )

    # -- the life of a stream ---------------------------------------------------------------------------------------------

    def _open(self, sender: SimulatedNode, address: str) -> Stream:
        stream = Stream(sender, self._world.at(address), address)
        self._streams[sender.address, address] = stream
        self._agenda.after(NOTICE_S, partial(self._answer_opening, stream))
        return stream

    def _answer_opening(self, stream: Stream) -> None:
        sender, receiver = stream.sender, stream.receiver
        if stream.lost or not sender.alive:
            return
        if receiver is not None and self.is_stopped(stream):
            self._agenda.after(CONNECT_TIMEOUT_S, partial(self._break, stream, 0))
        elif receiver is None or not receiver.alive:
            self._break(stream, 0)
        else:
            self._world.directory.follow(receiver)
            sender.do(partial(self._opened, stream))

    def _opened(self, stream: Stream) -> None:
        if stream.lost or stream.broken_at < math.inf:
            return
        stream.opened = True
        stream.sender.feed(LinkOpened(stream.address))
        self._tell_epoch(stream)
        unsent, stream.unsent = stream.unsent, []
        for data in unsent:
            self._carry(stream, data)

    def _carry(self, stream: Stream, data: bytes) -> None:
        now = self._agenda.now
        carried = Carried(data)
        while stream.carried and stream.carried[0].acknowledged_at <= now:
            stream.carried.popleft()
        stream.carried.append(carried)
        if stream.broken_at < math.inf:
            return  # the sender does not know it yet
        latency = self._random.expovariate(1 / (self._world.conditions.latency_s + self.delays.get(stream.address, 0.0)))
        stream.free_at = max(stream.free_at, now) + latency
        self._agenda.after(stream.free_at - now, partial(self._arrive, stream, carried))
        if self.is_stopped(stream):
            self._watch(stream)

    def _arrive(self, stream: Stream, carried: Carried) -> None:
        receiver = stream.receiver
        assert receiver is not None
        if stream.broken_at < math.inf:
            if stream.survivors <= 0:
                return
            stream.survivors -= 1
        if not receiver.alive:
            return
        if stream.backlog or self._is_walled(stream):
            if stream not in self._backlogged:
                self._backlogged.append(stream)
            stream.backlog.append(carried)
        else:
            receiver.do(partial(self._deliver, stream, carried))

    def _deliver(self, stream: Stream, carried: Carried) -> None:
        receiver = stream.receiver
        assert receiver is not None
        if stream.lost and stream.survivors <= 0 and stream.broken_at < self._agenda.now - NOTICE_S:
            return  # it waited for the receiver to go on, and its stream was given up
        carried.arrived = True
        if not self.is_blocked(stream.sender.name, receiver.name):
            carried.acknowledged_at = self._agenda.now + self._random.uniform(0.0, ACKNOWLEDGE_S)
        self._receive(receiver, stream.sender.name, carried.data)
        if receiver.epoch > stream.epoch:
            self._agenda.after(ACKNOWLEDGE_S, partial(self._tell_epoch, stream))
        if self._random.random() < self.echoes.get(receiver.name, 0.0):
            again = partial(self._receive, receiver, stream.sender.name, carried.data)
            self._agenda.after(self._random.expovariate(1.0), partial(receiver.do, again))

    def _receive(self, receiver: SimulatedNode, sender: str, data: bytes) -> None:
        frame = fractos_pb2.Frame.FromString(data)
        if self._world.history.is_told:
            self._world.history.line(f"{sender} → {receiver.name}: {described(frame, self._world.history.name)}")
        if frame.HasField("finished"):
            for run in frame.finished.runs:
                self._world.history.told.setdefault((receiver.address, run.run_id), self._agenda.now)
        receiver.feed(FrameReceived(frame, sender, len(data)))

    def _break(self, stream: Stream, survivors: float) -> None:
        """End a stream; its sender learns of it soon, or by silence if a wall stands between."""
        if stream.lost or stream.broken_at < math.inf:
            return
        if stream.opened and stream.receiver and self.is_blocked(stream.sender.name, stream.receiver.name):
            self._watch(stream)
            return
        self._end(stream, survivors)

    def _end(self, stream: Stream, survivors: float) -> None:
        stream.broken_at, stream.survivors = self._agenda.now, survivors
        self._agenda.after(NOTICE_S, partial(stream.sender.do, partial(self._lose, stream)))

    def _lose(self, stream: Stream) -> None:
        """Tell the sender of a loss, and in the same moment let go of the stream."""
        if stream.lost:
            return
        stream.lost = True
        del self._streams[stream.sender.address, stream.address]
        unknown = [carried.data for carried in stream.carried if carried.acknowledged_at > stream.broken_at]
        if self._world.history.is_told:
            fate = f"{len(unknown)} frames unknown, {len(stream.unsent)} unsent"
            self._world.history.line(f"{stream.sender.name} lost its stream to {stream.address}: {fate}")
        frames = [[fractos_pb2.Frame.FromString(data) for data in group] for group in (unknown, stream.unsent)]
        stream.sender.feed(LinkLost(stream.address, stream.opened, *frames))

    # -- silence ----------------------------------------------------------------------------------------------------------

    def _watch_all(self, sender: str, receiver: str) -> None:
        for stream in self._between(sender, receiver):
            self._watch(stream)

    def _watch(self, stream: Stream) -> None:
        if stream.opened and not stream.watched:
            stream.watched = True
            delay = SILENCE_S + self._random.uniform(0.0, SILENCE_VARIES_S)
            self._agenda.after(delay, partial(self._check_silence, stream, stream.healed))

    def _check_silence(self, stream: Stream, healed: int) -> None:
        stream.watched = False
        if stream.lost or not stream.sender.alive or stream.broken_at < math.inf or not self.is_stopped(stream):
            return
        if stream.healed != healed or stream.sender.paused:
            self._watch(stream)
        elif stream.kept or any(carried.acknowledged_at > self._agenda.now for carried in stream.carried):
            # What waits in the receiver's buffers may still be read, or thrown away with the stream.
            self._end(stream, survivors=self._random.choice((0, math.inf)))

    def _heal(self, stream: Stream) -> None:
        stream.healed += 1
        receiver = stream.receiver
        if receiver is None or self.is_stopped(stream):
            return
        for carried in stream.carried:
            if carried.arrived and carried.acknowledged_at == math.inf:
                carried.acknowledged_at = self._agenda.now + ACKNOWLEDGE_S

    # -- questions --------------------------------------------------------------------------------------------------------

    def counts(self) -> Counter[str]:
        """How many streams each node has opened."""
        return Counter(stream.sender.name for stream in self._streams.values())

    def kept(self) -> int:
        """How many streams are kept though they may have nothing to carry."""
        return sum(stream.kept for stream in self._streams.values())

    def _is_walled(self, stream: Stream) -> bool:
        assert stream.receiver is not None
        return bool(self._walls and self._walls.get((stream.sender.name, stream.receiver.name)))

    def _between(self, sender: str, receiver: str) -> Iterator[Stream]:
        for stream in list(self._streams.values()):
            if stream.sender.name == sender and stream.receiver is not None and stream.receiver.name == receiver:
                yield stream

    def _tell_epoch(self, stream: Stream) -> None:
        receiver = stream.receiver
        if receiver is not None and not stream.lost and not self.is_stopped(stream) and receiver.epoch > stream.epoch:
            stream.epoch = receiver.epoch
            stream.sender.feed(PeerEpoch(stream.address, stream.epoch))
