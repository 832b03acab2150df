"""What an application node's journal holds: plain values that the engine makes and `journal.py` writes and reads.

A run is recorded before it is acknowledged, each further attempt before it is sent, and the end before the client is told: so
whoever takes the journal over knows of every run that somebody waits for, and uses no attempt's number twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from protos import application_pb2
from Services.fractos.errors import FractosError
from Services.fractos.topology import RING


class Place(NamedTuple):
    """The process that a step was given to: a node that was started anew is another one."""

    node: str
    id: str  # the Member's


class RunRecord(NamedTuple):
    """A run that was accepted; as it is read from a journal also with how far it got."""

    run_id: bytes
    digest: bytes  # of the graph and its topology
    graph: bytes  # serialized; of a run that has ended what is left to be shown of it
    submitted_at: float  # Unix times in seconds
    deadline: float
    placed: Mapping[int, Place]  # by step
    attempt: int = 1  # the latest that may have been sent
    result: bytes | None = None  # a serialized RunResult; None: it has not ended
    client: str = ""  # whose run it is; empty: anybody's
    topology: str = RING
    attempts: bytes = b""  # a serialized RunResult with those that were sent, and with the traceparent
    name: str = ""  # of the graph; not read from a journal


class AttemptRecord(NamedTuple):
    """A run is about to be sent again."""

    run_id: bytes
    attempt: int
    placed: Mapping[int, Place]
    attempts: bytes = b""  # as in RunRecord, this one among them


class EndRecord(NamedTuple):
    """A run has ended."""

    run_id: bytes
    result: bytes  # a serialized RunResult
    failed: bool
    forget_at: float  # when the record may be cleared
    outline: bytes = b""  # of the graph
    state: application_pb2.RunState = application_pb2.RUN_STATE_UNSPECIFIED  # then only `failed` is known
    ended_at: float = 0.0  # Unix time in seconds; 0: not known


class EndedRun(NamedTuple):
    """What a list shows of a run that has ended, as it is read from a journal."""

    run_id: bytes
    outline: bytes
    submitted_at: float  # Unix times in seconds
    deadline: float
    ended_at: float  # 0: not known
    attempt: int
    state: application_pb2.RunState
    client: str
    topology: str


NEWEST = 2**63 - 1  # a place behind the last record of a journal


class Lot(NamedTuple):
    """What was found in one part of a journal."""

    ended: list[EndedRun]  # the newest first
    first: int | None  # the place where the part begins; None: it is empty, since there are no older records


class Inquiry(NamedTuple):
    """Nothing to write: does the journal know the run? Asked before one is refused that may have been accepted long ago."""

    run_id: bytes
    digest: bytes = b""  # of the graph that was submitted, and its topology
    ticket: int = 0  # of its submission
    refusal: FractosError | None = None  # the answer if the journal does not know it
    client: str = ""  # who asks


Entry: TypeAlias = RunRecord | AttemptRecord | EndRecord | Inquiry
