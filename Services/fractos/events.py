"""What the engine is told (events) and what it asks for (effects). Plain values: the engine itself touches nothing.

They are named tuples, not dataclasses, because one of each is made for every hop and a tuple is made three times as fast.
Times are Unix times in seconds.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from google.protobuf.message import Message

from protos import application_pb2, fractos_pb2
from Services.fractos.directory.interface import Member
from Services.fractos.errors import FractosError
from Services.fractos.operations import Operation


class WorkKey(NamedTuple):
    """Names a device call."""

    run_id: bytes
    attempt: int
    step: int


class FrameReceived(NamedTuple):
    """A frame arrived over a channel. The engine owns it from now on and may change it."""

    frame: fractos_pb2.Frame


class DeviceDone(NamedTuple):
    """A device call has ended: with a response or with an error."""

    key: WorkKey
    response: Message | None
    error: BaseException | None
    started_at: float
    finished_at: float


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


class Submitted(NamedTuple):
    """A client wants a run."""

    request: application_pb2.SubmitRequest


class CancelAsked(NamedTuple):
    """A client wants a run to end."""

    run_id: bytes


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


class DropCalls(NamedTuple):
    """The calls of these runs need not begin, and if they have, need not end; no answer is wanted for any of them."""

    run_ids: frozenset[bytes]


class KeepLink(NamedTuple):
    """Open a channel to this address and report its loss, although there is nothing to send."""

    address: str


class Accepted(NamedTuple):
    """The run that was just submitted will be answered."""

    run_id: bytes


class Refused(NamedTuple):
    """The run that was just submitted is not accepted."""

    run_id: bytes
    error: FractosError


class RunEnded(NamedTuple):
    """Tell the client how its run ended."""

    result: application_pb2.RunResult


class Wake(NamedTuple):
    """Send TimerDue at this time. Replaces an earlier Wake."""

    at: float


class Log(NamedTuple):
    """Worth a line in the node's log."""

    level: int  # of the logging module
    text: str


Event: TypeAlias = FrameReceived | DeviceDone | LinkOpened | LinkLost | MembersChanged | Submitted | CancelAsked | TimerDue
Effect: TypeAlias = SendFrame | CallDevice | DropCalls | KeepLink | Accepted | Refused | RunEnded | Wake | Log
