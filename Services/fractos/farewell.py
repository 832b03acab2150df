"""Tells the nodes which runs have ended, so that they forget them and do nothing of them any more. Pure."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from protos import fractos_pb2
from Services.fractos.directory.interface import Member
from Services.fractos.events import Effect, SendFrame
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.links import Links
from Services.fractos.placement import Placement
from Services.fractos.run import Run

FLUSH_S = 0.2  # how long the news of a run that succeeded waits for company
FLUSH_RUNS = 256
STOPPED_KEPT = 20_000


class Farewell:
    """The runs that have ended and of which the nodes do not know it yet."""

    def __init__(self, placement: Placement, links: Links, emit: Callable[[Effect], None]) -> None:
        self._placement = placement
        self._links = links
        self._emit = emit
        self._ended: list[Run] = []
        self._inherited: list[fractos_pb2.FinishedRun] = []  # stopped by an earlier owner of the journal
        self._stopped: OrderedDict[bytes, fractos_pb2.FinishedRun] = OrderedDict()  # while a node may still do a part of it
        self.next_due = math.inf  # when `flush` is to be called

    def add(self, run: Run, now: float) -> None:
        """Take note of a run that has ended. Does little at once, since its client waits for the answer."""
        self._ended.append(run)
        stopped = _was_stopped(run)
        if stopped:
            self._keep(_finished(run.run_id, run.deadline, stopped=True), now)
        # What is stopped is told at the next tick: others that are stopped by the same event go along.
        soon = stopped or len(self._ended) >= FLUSH_RUNS
        self.next_due = min(self.next_due, now if soon else now + FLUSH_S)

    def add_stopped(self, run_id: bytes, deadline: float, now: float) -> None:
        """Take note of a run that an earlier owner of the journal stopped: it may not have told everyone."""
        finished = _finished(run_id, deadline, stopped=True)
        self._inherited.append(finished)
        self._keep(finished, now)
        self.next_due = now

    def tell_again(self, address: str, now: float) -> None:
        """Tell a node whose channel has opened which runs were stopped: what it was told of them may have got lost."""
        stopped = [run for run in self._stopped.values() if not _is_past(run, now)]
        if stopped:
            self._emit(SendFrame(address, fractos_pb2.Frame(finished=fractos_pb2.Finished(runs=stopped))))

    def flush(self) -> None:
        """Send each node one frame that names the runs of which it may hold a part."""
        batches: dict[str, fractos_pb2.Finished] = {}
        for run in self._ended:
            finished = _finished(run.run_id, run.deadline, stopped=_was_stopped(run))
            for member in self._may_hold(run):
                batches.setdefault(member.address, fractos_pb2.Finished()).runs.append(finished)
        for member in self._placement.members() if self._inherited else ():
            batches.setdefault(member.address, fractos_pb2.Finished()).runs.extend(self._inherited)
        for address, batch in batches.items():
            self._emit(SendFrame(address, fractos_pb2.Frame(finished=batch)))
        self._ended.clear()
        self._inherited.clear()
        self.next_due = math.inf

    def _may_hold(self, run: Run) -> list[Member]:
        """The nodes that may hold a part of a run that has ended."""
        assert run.result is not None
        if run.attempt > 1 or _was_stopped(run):
            members = (member for node_type in run.plan.steps_by_type for member in self._placement.of_type(node_type))
            return [member for member in members if self._links.is_kept(member.address)]
        names = dict.fromkeys(hop.node for hop in run.result.trail)
        return [member for name in names if (member := self._placement.named(name))]

    def _keep(self, finished: fractos_pb2.FinishedRun, now: float) -> None:
        """Remember a stopped run as long as it matters."""
        self._stopped[finished.run_id] = finished
        while self._stopped and (len(self._stopped) > STOPPED_KEPT or _is_past(next(iter(self._stopped.values())), now)):
            self._stopped.popitem(last=False)


def _was_stopped(run: Run) -> bool:
    return run.result is not None and run.result.HasField("failure")


def _finished(run_id: bytes, deadline: float, *, stopped: bool) -> fractos_pb2.FinishedRun:
    return fractos_pb2.FinishedRun(run_id=run_id, deadline=deadline, drop=stopped)


def _is_past(run: fractos_pb2.FinishedRun, now: float) -> bool:
    """Whether no node accepts a Request of the run any more; of one whose end was recorded late that is so at once."""
    return run.deadline + CLOCK_BOUND_S < now
