"""What a node remembers of the runs that pass through it: steps begun, joins half full, runs that are over. Pure.

It makes a Request that arrives twice, or after its run has ended, do nothing. An entry lasts until the run's deadline and
`CLOCK_BOUND_S` beyond it, since later no node accepts a Request of the run anyway. It never forgets early: a full ledger
refuses.
"""

from __future__ import annotations

from protos import fractos_pb2
from Services.fractos.errors import AlreadyExistsError, ResourceExhaustedError
from Services.fractos.schedule import Schedule

CLOCK_BOUND_S = 5.0  # channels refuse a peer whose clock is further off than this


class _Run:
    """What passed through of a run that is not over."""

    __slots__ = ("begun", "joins")

    def __init__(self) -> None:
        self.begun: set[int] = set()
        self.joins: dict[int, dict[int, fractos_pb2.Request]] = {}  # step → sender → Request


class Ledger:
    """Runs by id, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._runs: dict[bytes, _Run | None] = {}  # None: the run is over
        self._expiry: Schedule[bytes] = Schedule(tick_s=1.0)

    def __len__(self) -> int:
        return len(self._runs)

    def admit(self, request: fractos_pb2.Request) -> list[fractos_pb2.Request] | None:
        """Take note of a Request. Returns all that its step was waiting for, this one included.

        Returns None if there is nothing to do: the step waits for more, was begun before, or its run is over.
        Raises ResourceExhaustedError if the ledger is full.
        """
        run = self._run(request.run_id, request.deadline)
        step = request.steps[0]
        step_id = step.id
        if run is None or step_id in run.begun:
            return None
        arrived = [request]
        if step.needs > 1:
            joined = run.joins.setdefault(step_id, {})
            joined.setdefault(request.sender, request)
            if len(joined) < step.needs:
                return None
            arrived = list(run.joins.pop(step_id).values())
        run.begun.add(step_id)
        return arrived

    def finish(self, run_id: bytes, deadline: float) -> None:
        """The run is over: keep nothing of it but its id."""
        if run_id not in self._runs:
            self._expiry.add(run_id, deadline + CLOCK_BOUND_S)
        self._runs[run_id] = None

    def check_new(self, run_id: bytes) -> None:
        """Raise AlreadyExistsError if the run is known, ResourceExhaustedError if there is no room for it."""
        if run_id in self._runs:
            raise AlreadyExistsError(f"run {run_id.hex()} was submitted before", field="run_id")
        self._check_room()

    def is_over(self, run_id: bytes) -> bool:
        """Whether the run is known to have ended."""
        return self._runs.get(run_id, self) is None

    def expire(self, now: float) -> None:
        """Forget the runs whose time is over."""
        for run_id in self._expiry.pop_due(now):
            self._runs.pop(run_id, None)

    @property
    def next_due(self) -> float:
        """When `expire` has something to do."""
        return self._expiry.next_due

    def _run(self, run_id: bytes, deadline: float) -> _Run | None:
        if run_id in self._runs:
            return self._runs[run_id]
        self._check_room()
        self._expiry.add(run_id, deadline + CLOCK_BOUND_S)
        run = self._runs[run_id] = _Run()
        return run

    def _check_room(self) -> None:
        if len(self._runs) >= self._limit:
            raise ResourceExhaustedError(
                f"this node remembers {self._limit} runs, which is its limit; use shorter timeouts or submit more slowly",
                retry_after_s=1.0,
            )
