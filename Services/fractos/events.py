"""What the engine is told (events) and what it asks for (effects). Plain values: the engine itself touches nothing.

They are named tuples, not dataclasses, because one of each is made for every hop and a tuple is made three times as fast.
Times are Unix times in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from google.protobuf.message import Message

from protos import application_pb2, fractos_pb2
from Services.fractos.directory.interface import Member
from Services.fractos.errors import FractosError
from Services.fractos.operations import Operation
from Services.fractos.records import Entry, RunRecord


class WorkKey(NamedTuple):
    """Names a device call."""

    run_id: bytes
    attempt: int
    step: int


class FrameReceived(NamedTuple):
    """A frame arrived over a channel. The engine owns it from now on and may change it."""

    frame: fractos_pb2.Frame
    source: str = ""  # the node that sent it
    size: int = 0  # in bytes


class DeviceDone(NamedTuple):
    """A device call has ended: with a response or with an error.

    A MemoryLostError means that the call did not begin, since what its arguments refer to is gone.
    """

    key: WorkKey
    response: Message | None
    error: BaseException | None
    started_at: float
    finished_at: float
    beside: Sequence[fractos_pb2.Argument] = ()  # outputs that are not in the response, since they are Memory
    whole: bytes | None = None  # the response with all that is Memory in it, serialized, if that was asked for
    memory_bytes: int = 0  # how much of the response is Memory
    fetched_bytes: int = 0  # how much of the arguments came from other nodes


class MemoryBrought(NamedTuple):
    """Copies of the Memory that BringMemory asked for, in the same order; or why there are none."""

    key: WorkKey
    copies: list[fractos_pb2.Memory]
    error: FractosError | None


class LinkOpened(NamedTuple):
    """The node at this address answers."""

    address: str


class LinkLost(NamedTuple):
    """The channel to this address broke or could not be opened.

    `unsent` frames were certainly not received; of the `unknown` ones nobody can tell. `opened`: it had been open.
    """

    address: str
    opened: bool
    unknown: list[fractos_pb2.Frame]
    unsent: list[fractos_pb2.Frame]


class MembersChanged(NamedTuple):
    """The directory has changed."""

    members: tuple[Member, ...]


class PeerEpoch(NamedTuple):
    """The node at this address owns what its steps work on, since that epoch."""

    address: str
    epoch: int


class Owned(NamedTuple):
    """This node owns its durable state, has made it whole, and may serve: the answer to TakeOwnership.

    An application node also gets what it finds in the journal: the runs that have not ended, and those stopped lately.
    """

    epoch: int
    unfinished: tuple[RunRecord, ...] = ()
    stopped: tuple[RunRecord, ...] = ()


class OwnedElsewhere(NamedTuple):
    """Another node owns the durable state, and lives: the answer to TakeOwnership."""

    node: str
    address: str
    epoch: int


class NotOwned(NamedTuple):
    """The durable state could not be taken over: the answer to TakeOwnership."""

    error: FractosError


class Submitted(NamedTuple):
    """A client wants a run. The ticket, which is the sender's, comes back with the answer."""

    request: application_pb2.SubmitRequest
    ticket: int
    client: str = ""  # who it is, by the capability that came along; empty: anybody


class Recorded(NamedTuple):
    """What the journal made of entries: all of them are in it, or, with an error, none.

    `known` are runs of RunRecords that the journal had already, as it has them; those entries changed nothing.
    """

    entries: list[Entry]
    known: dict[bytes, RunRecord]
    error: FractosError | None


class CancelAsked(NamedTuple):
    """A client wants a run to end."""

    run_id: bytes
    client: str = ""


class TimerDue(NamedTuple):
    """The time that `Wake` asked for has come."""


class SendFrame(NamedTuple):
    """Send a frame to a node. Whatever becomes of it is told by LinkLost, or not at all if it arrived."""

    address: str
    frame: fractos_pb2.Frame


class CallDevice(NamedTuple):
    """Call the device; answer with DeviceDone of the same key. A call whose deadline has passed need not begin."""

    key: WorkKey
    operation: Operation
    request: Message
    deadline: float
    beside: Sequence[fractos_pb2.Argument] = ()  # arguments that are not in the request, since they are Memory
    whole: bool = False  # the response is wanted as a whole
    began_at: float = 0.0  # Unix time in seconds, when the run was submitted
    links: tuple[bytes, ...] = ()  # ids of what allows it: once one is revoked the call need not begin
    leave: bool = False  # whatever can be Memory is to be Memory


class BringMemory(NamedTuple):
    """Fetch the values of a step from where they are and keep copies here; answer with MemoryBrought of the same key."""

    key: WorkKey
    memories: list[fractos_pb2.Memory]
    deadline: float
    began_at: float  # Unix time in seconds, when the run was submitted


class DropCalls(NamedTuple):
    """The calls of these runs need not begin, and if they have, need not end; no answer is wanted for any of them."""

    run_ids: frozenset[bytes]


class FreeMemory(NamedTuple):
    """Nobody needs the Memory of these runs any more, nor what is still made for them."""

    run_ids: tuple[bytes, ...]


class KeepLink(NamedTuple):
    """Open a channel to this address and report its loss, although there is nothing to send."""

    address: str


class ReleaseLink(NamedTuple):
    """The channel to this address may be closed, and nobody need hear of its loss, while there is nothing to send."""

    address: str


class TakeOwnership(NamedTuple):
    """Take over what this node works on, unless its owner lives. Answer with Owned, OwnedElsewhere or NotOwned."""


class Record(NamedTuple):
    """Write an entry into the journal; answer with Recorded. Entries are written in the order of these effects."""

    entry: Entry


class Accepted(NamedTuple):
    """The run that was submitted with this ticket is recorded: it will be answered."""

    run_id: bytes
    ticket: int


class Refused(NamedTuple):
    """What was submitted with this ticket is not accepted, and leaves nothing behind."""

    run_id: bytes
    ticket: int
    error: FractosError


class RunEnded(NamedTuple):
    """Tell whoever waits for a run how it ended: that is recorded."""

    result: application_pb2.RunResult


class Wake(NamedTuple):
    """Send TimerDue at this time. Replaces an earlier Wake."""

    at: float


class Log(NamedTuple):
    """Worth a line in the node's log."""

    level: int  # of the logging module
    text: str
    run_id: bytes = b""  # what it is about; empty: no run
    attempt: int = 0  # 0: none in particular
    step: int | None = None
    operation: str = ""


Event: TypeAlias = (
    FrameReceived
    | DeviceDone
    | MemoryBrought
    | LinkOpened
    | LinkLost
    | MembersChanged
    | PeerEpoch
    | Owned
    | OwnedElsewhere
    | NotOwned
    | Submitted
    | Recorded
    | CancelAsked
    | TimerDue
)
Effect: TypeAlias = (
    SendFrame
    | CallDevice
    | BringMemory
    | DropCalls
    | FreeMemory
    | KeepLink
    | ReleaseLink
    | TakeOwnership
    | Record
    | Accepted
    | Refused
    | RunEnded
    | Wake
    | Log
)
