"""What the ends of runs are worth: which failures are within the promises, and which answers break them. Pure."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from Services.datacenter.chaos.outages import Outages

Sort = Literal["lost", "wrong", "duplicated"]
OK = "OK"
LOST = "LOST"  # no answer, long after the deadline
VIOLATIONS_KEPT = 200

log = logging.getLogger("chaos")


@dataclass(frozen=True)
class Violation:
    """A broken promise. Lost: a run without an answer, or an acknowledged write that is not there. Duplicated: done twice, or
    done although it failed for certain. Wrong: anything else that must not be.
    """

    sort: Sort
    what: str


@dataclass(frozen=True)
class Ended:
    """A run as its client has seen it. Monotonic times."""

    kind: str  # of work: "chain"
    needs: frozenset[str]  # types of node
    submitted_at: float
    ended_at: float
    status: str = OK  # or LOST, or that of the error
    definite: bool = True  # it certainly did nothing, if it failed
    detail: str = ""  # the error's message
    violations: tuple[Violation, ...] = ()  # of its answer and of what it read
    excused: frozenset[str] = frozenset()  # statuses that the client asked for itself: a short deadline, a cancel
    repeatable: bool = True  # every step may be repeated
    pinned: bool = False  # to a node that may have died, for which no other may stand in
    probe: bool = False


@dataclass
class Tally:
    """What was counted."""

    runs: int = 0
    probes: int = 0
    failed: Counter[str] = field(default_factory=Counter)  # by status, and whether that is definite
    excused: Counter[str] = field(default_factory=Counter)  # failures that the client asked for
    unkept: int = 0  # runs that failed in an allowed way although a node of every needed type lived
    unkept_statuses: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)  # by sort


class Checker:
    """Judges runs as they end. Safe to use from several threads."""

    def __init__(self, outages: Outages) -> None:
        self._outages = outages
        self._lock = threading.Lock()
        self.tally = Tally()
        self.violations: list[Violation] = []  # the first VIOLATIONS_KEPT

    def judge(self, ended: Ended) -> None:
        """Count a run that has ended, and what it breaks."""
        violations = [*ended.violations, *self._broken_by(ended)]
        failed = ended.status != OK
        if failed and ended.status not in ended.excused:
            log.info("%s: %s: %s", ended.kind, _shown(ended), ended.detail)
        with self._lock:
            self.tally.probes += ended.probe
            self.tally.runs += not ended.probe
            if failed and ended.status in ended.excused:
                self.tally.excused[ended.status] += 1
            elif failed and not ended.probe:
                self.tally.failed[_shown(ended)] += 1
                if self._was_promised(ended):
                    log.warning("%s: that was not to fail: a node of every type it needs lived", ended.kind)
                    self.tally.unkept += 1
                    self.tally.unkept_statuses[_shown(ended)] += 1
        self.report(*violations)

    def report(self, *violations: Violation) -> None:
        """Count violations that were found otherwise."""
        with self._lock:
            for violation in violations:
                log.error("%s: %s", violation.sort, violation.what)
                self.tally.violations[violation.sort] += 1
                if len(self.violations) < VIOLATIONS_KEPT:
                    self.violations.append(violation)

    def _broken_by(self, ended: Ended) -> list[Violation]:
        """The violation that a failure is, if its type is not one of those that a fault may lead to."""
        shown = f"a run ({ended.kind}) ended with {ended.status}: {ended.detail}"
        if ended.status == LOST:
            return [Violation("lost", f"a run ({ended.kind}) has no answer: {ended.detail}")]
        if ended.status in {OK, "ABORTED", "UNAVAILABLE", *ended.excused}:
            return []
        if ended.status == "DEADLINE_EXCEEDED":
            if self._outages.touch(ended.needs, ended.submitted_at, ended.ended_at):
                return []
            return [Violation("wrong", f"{shown}, while nothing was out")]
        return [Violation("wrong", shown)]

    def _was_promised(self, ended: Ended) -> bool:
        """Whether a run that failed should have succeeded: see the promises in the documentation of `chaos`."""
        unknown = not ended.repeatable and not ended.definite
        if ended.status == "ABORTED" or unknown or ended.pinned:
            return False
        return self._outages.one_lived(ended.needs, ended.submitted_at, ended.ended_at)


def _shown(ended: Ended) -> str:
    return f"{ended.status} ({'nothing done' if ended.definite else 'fate unknown'})"
