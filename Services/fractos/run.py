"""One run as its application node sees it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from protos import application_pb2, fractos_pb2
from Services.fractos.errors import AlreadyExistsError, RunCancelledError
from Services.fractos.plan import Plan
from Services.fractos.records import Place


@dataclass(slots=True)
class Run:
    """One run, from its submission until it is forgotten."""

    run_id: bytes
    plan: Plan
    submitted_at: float
    deadline: float
    client: str = ""  # whose run it is; empty: anybody's
    pending: set[int] = field(default_factory=set)  # steps whose Completion is awaited
    placed: dict[int, Place] = field(default_factory=dict)  # the processes of those steps that have got one
    tickets: list[int] = field(default_factory=list)  # submissions that are not answered yet, since nothing is recorded
    trail: Sequence[fractos_pb2.Hop] = ()  # of each step once; that of a chain in the order of its steps
    attempt: int = 1
    first_attempt: int = 1  # of this owner of the journal
    repeat_until: float = 0.0  # a next attempt is due, and nodes that are missing are waited for until then; 0: none is due
    trouble: str = ""  # what went wrong first
    ended_at: float = 0.0
    result: application_pb2.RunResult | None = None
    result_bytes: int = 0

    @property
    def state(self) -> application_pb2.RunState:
        """Where the run stands."""
        return application_pb2.RUNNING if self.result is None else state_of(self.result)


def is_for(owner: str, client: str) -> bool:
    """Whether a client may see and end a run of `owner`; the client without a name may see all."""
    return client in ("", owner)


def check_same(run_id: bytes, known: tuple[str, bytes], asked: tuple[str, bytes]) -> None:
    """Raise AlreadyExistsError unless client and graph are those that are known under the same id."""
    if known != asked:
        different = "with another graph" if known[0] == asked[0] else "by another client"
        raise AlreadyExistsError(
            f"run {run_id.hex()} was submitted before {different}; a new run needs a new id", field="run_id"
        )


def state_of(result: application_pb2.RunResult) -> application_pb2.RunState:
    """How a run ended."""
    if not result.HasField("failure"):
        return application_pb2.SUCCEEDED
    return application_pb2.CANCELLED if result.failure.status == RunCancelledError.status else application_pb2.FAILED
