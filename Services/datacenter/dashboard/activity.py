"""What is shown of all that happens at the nodes: some runs on their whole way, and the last steps of each node. Pure.

Nodes tell up to tens of thousands of events a second; a page can show some dozens. So a run is followed from its beginning to
its end or not at all, and only so many at once. Events of different nodes arrive in any order: they are put in that of their
times, which for nodes of one host is the right one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from protos import fractos_pb2

MOST_FOLLOWED = 10  # runs at once
MOST_HELD = 20_000  # events that wait to be put in order
RECENT = 12  # steps of a node that are remembered
SETTLE_S = 0.08  # until events of other nodes have come that were before
LINGER_S = 0.6  # how long a run that has ended keeps its place: so many new ones are shown in a second
SILENT_S = 120.0  # a run of which so long nothing was heard gives its place away

Kind = fractos_pb2.NodeEvent
Json = dict[str, Any]
KINDS = {
    Kind.REQUEST_RECEIVED: "request",
    Kind.COMPLETION_RECEIVED: "completion",
    Kind.STEP_DONE: "done",
    Kind.STEP_FAILED: "failed",
    Kind.RUN_ACCEPTED: "accepted",
    Kind.RUN_REPEATED: "repeated",
    Kind.RUN_ENDED: "ended",
}


class Activity:
    """Of one datacenter."""

    def __init__(self) -> None:
        self._held: list[tuple[float, str, fractos_pb2.NodeEvent]] = []
        self._followed: dict[bytes, float] = {}  # run → when it gives its place away
        self._accepted_at = float("-inf")
        self._recent: dict[str, deque[Json]] = {}

    def saw(self, node: str, events: Iterable[fractos_pb2.NodeEvent]) -> None:
        """Take what a node has told. Past a bound it is left out."""
        if len(self._held) < MOST_HELD:
            self._held += [(event.at, node, event) for event in events if event.kind in KINDS]

    def take(self, now: float) -> tuple[list[Json], Counter[str]]:
        """The moves of the runs that are followed, and why how many runs were repeated, up to a moment ago."""
        self._held.sort(key=lambda one: one[0])
        due = [one for one in self._held if one[0] <= now - SETTLE_S]
        # A clock that is ahead, of a node on another host, must not hold its events for ever.
        late = [one for one in self._held[len(due) :] if one[0] > now + SETTLE_S]
        self._held = self._held[len(due) : len(self._held) - len(late)]
        moves: list[Json] = []
        repeated: Counter[str] = Counter()
        for at, node, event in (*due, *late):
            if event.kind in {Kind.STEP_DONE, Kind.STEP_FAILED}:
                self._remember(node, event)
            elif event.kind == Kind.RUN_REPEATED:
                repeated[event.detail] += 1
            if self._follows(event, at, now):
                moves.append(_move(node, event))
        self._followed = {run: until for run, until in self._followed.items() if until > now}
        return moves, repeated

    def recent(self, node: str) -> list[Json]:
        """The last steps that a node has done, the newest first."""
        return list(reversed(self._recent.get(node, ())))

    def forget(self, node: str) -> None:
        """A node is no longer listed."""
        self._recent.pop(node, None)

    def _follows(self, event: fractos_pb2.NodeEvent, at: float, now: float) -> bool:
        """Whether the run of an event is followed. A new one is if there is room; one that had begun, if no other begins."""
        run = event.run_id
        accepted = event.kind == Kind.RUN_ACCEPTED
        if accepted:
            self._accepted_at = at
        if run not in self._followed:
            begins = accepted or (event.kind == Kind.REQUEST_RECEIVED and at - self._accepted_at > 1.0)
            if not begins or len(self._followed) >= MOST_FOLLOWED:
                return False
        if event.kind == Kind.RUN_ENDED:
            self._followed[run] = now + LINGER_S
        elif self._followed.get(run, now + SILENT_S) > now + LINGER_S:  # it has not ended
            self._followed[run] = now + SILENT_S
        return True

    def _remember(self, node: str, event: fractos_pb2.NodeEvent) -> None:
        steps = self._recent.setdefault(node, deque(maxlen=RECENT))
        steps.append(
            {
                "run": event.run_id.hex(),
                "operation": event.operation,
                "at": event.at,
                "ms": max(0.0, (event.at - event.started_at) * 1e3),
                "failed": event.detail if event.kind == Kind.STEP_FAILED else "",
            }
        )


def _move(node: str, event: fractos_pb2.NodeEvent) -> Json:
    move = {"run": event.run_id.hex(), "kind": KINDS[event.kind], "node": node, "at": event.at}
    if event.source:
        move["source"] = event.source
    if event.operation:
        move["operation"] = event.operation
    if event.bytes:
        move["bytes"] = event.bytes
    if event.detail:
        move["detail"] = event.detail[:200]
    return move
