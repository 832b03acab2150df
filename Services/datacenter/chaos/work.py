"""One run of the load: a graph, what it must answer, and what its end means for the files that it touches."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from Services.datacenter.chaos.checker import LOST, OK, Ended, Violation
from Services.datacenter.chaos.expected_files import Fate
from Services.datacenter.chaos.outages import Outages
from Services.fractos import Datacenter, FractosError, Result, Run, TaskGraph
from Services.fractos.errors import UnavailableError

TIMEOUT_S = 10.0
GRACE_S = 10.0  # so long after its deadline, or after an application node is there again, a run has its answer at the latest
STUCK_S = 10.0  # so long after its deadline a device that was stopped in the middle of a write may still complete it
POLL_S = 0.02
HOME = "application"  # the type of node that answers for every run

Judge = Callable[[Result, float], Sequence[Violation]]  # gets the monotonic time at which the run was submitted
Settle = Callable[[Fate, float, float], None]  # the same, and until when a write of unknown fate may happen


@dataclass(frozen=True)
class Work:
    """What one run is to do. Its client does one at a time."""

    kind: str
    graph: TaskGraph
    needs: frozenset[str]  # types of node
    judge: Judge  # of a result: what is wrong with it
    settle: Settle = lambda fate, asked_at, until: None  # what the end of the run means for files; not called before `judge`
    timeout_s: float = TIMEOUT_S
    cancel: bool = False  # right after it was submitted
    excused: frozenset[str] = frozenset()
    repeatable: bool = True
    pinned: bool = False
    probe: bool = False


class UnansweredError(Exception):
    """A run that nobody has answered."""


def do(work: Work, datacenter: Datacenter, outages: Outages) -> Ended:
    """Run it to its end, whatever that is."""
    asked_at = time.monotonic()
    run: Run | None = None
    try:
        run = datacenter.submit(work.graph, timeout_s=work.timeout_s)
        if work.cancel:
            run.cancel()
        result = _answer(run, work, asked_at, outages)
    except FractosError as error:
        return ended_badly(work, error, asked_at)
    except UnansweredError as unanswered:
        work.settle(Fate.UNKNOWN, asked_at, time.monotonic() + STUCK_S)
        return _ended(work, asked_at, status=LOST, definite=False, detail=str(unanswered))
    return ended_well(work, result, asked_at)


def ended_well(work: Work, result: Result, asked_at: float) -> Ended:
    """Judge an answer."""
    violations = tuple(replace(one, what=f"{one.what} (run {result.run_id})") for one in work.judge(result, asked_at))
    work.settle(Fate.DONE, asked_at, asked_at)
    return _ended(work, asked_at, violations=violations)


def ended_badly(work: Work, error: FractosError, asked_at: float) -> Ended:
    """Judge a failure."""
    work.settle(Fate.NOT_DONE if error.definite else Fate.UNKNOWN, asked_at, asked_at + work.timeout_s + STUCK_S)
    detail = "; ".join(line.strip() for line in str(error).splitlines())
    return _ended(work, asked_at, status=error.status, definite=error.definite, detail=detail)


def _ended(
    work: Work,
    asked_at: float,
    *,
    status: str = OK,
    definite: bool = True,
    detail: str = "",
    violations: tuple[Violation, ...] = (),
) -> Ended:
    return Ended(
        kind=work.kind,
        needs=work.needs | {HOME},
        submitted_at=asked_at,
        ended_at=time.monotonic(),
        status=status,
        definite=definite,
        detail=detail,
        violations=violations,
        excused=work.excused,
        repeatable=work.repeatable,
        pinned=work.pinned,
        probe=work.probe,
    )


def _answer(run: Run, work: Work, asked_at: float, outages: Outages) -> Result:
    """The answer of the datacenter. Raises UnansweredError if there is none."""
    try:
        return run.result()
    except FractosError:
        if run.done():
            raise
    while not run.done():  # the client has lost patience; the promise is longer while no application node lives
        if is_lost(asked_at + work.timeout_s, time.monotonic(), outages):
            raise UnansweredError(f"run {run.run_id}, {time.monotonic() - asked_at:.0f} s after it was submitted")
        time.sleep(POLL_S)
    return run.result()


def is_lost(deadline: float, now: float, outages: Outages) -> bool:
    """Whether a run without an answer should have had it by now."""
    return now > deadline + GRACE_S and now > outages.back_since(HOME) + GRACE_S


def run_until_done(datacenter: Datacenter, graph: TaskGraph, patience_s: float) -> Result:
    """Run what may be repeated until it succeeds. Raises the last error when `patience_s` are over."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return datacenter.run(graph, timeout_s=TIMEOUT_S)
        except FractosError as error:
            if not error.retryable and error.status != "DEADLINE_EXCEEDED":
                raise
            if time.monotonic() > deadline:
                raise UnavailableError(f"nothing worked for {patience_s:g} s: {error.message}") from error
        time.sleep(POLL_S)
