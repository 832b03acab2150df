"""What happens at one node, told to those who watch: steps that come and are done, runs that begin and end.

Costs nothing while nobody watches: a Watch observes the Controller only as long as its call is open.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence

from protos import application_pb2, fractos_pb2
from Services.fractos.events import CallDevice, DeviceDone, DropCalls, Effect, Event, FrameReceived, Recorded, RunEnded, WorkKey
from Services.fractos.records import AttemptRecord, EndRecord, RunRecord
from Services.fractos.run import state_of

MOST_WAITING = 4096  # events; who does not take them misses the next
MOST_TOGETHER = 512  # events in a message
PAUSE_S = 0.02  # what happens meanwhile travels together

Kind = fractos_pb2.NodeEvent


class Watch:
    """One who watches a node. Lives on the Controller's event loop."""

    def __init__(self, one_of: int = 1) -> None:
        """Of the runs one of so many is told of, the same at all nodes; further attempts are told of all runs."""
        self._one_of = max(1, one_of)
        self._waiting: deque[fractos_pb2.NodeEvent] = deque()
        self._missed = 0
        self._arrived = asyncio.Event()
        self._operations: dict[WorkKey, str] = {}  # of steps that are at the device

    def saw(self, event: Event, effects: Sequence[Effect], now: float) -> None:
        """Note what is worth telling of it."""
        for one in self.told(event, effects, now):
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(one)
            else:
                self._missed += 1
            self._arrived.set()

    async def take(self) -> fractos_pb2.NodeEvents:
        """Wait for events, and return those that are there."""
        await self._arrived.wait()
        await asyncio.sleep(PAUSE_S)
        together = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_TOGETHER))]
        if not self._waiting:
            self._arrived.clear()
        missed, self._missed = self._missed, 0
        return fractos_pb2.NodeEvents(events=together, missed=missed)

    def told(self, event: Event, effects: Sequence[Effect], now: float) -> Iterator[fractos_pb2.NodeEvent]:
        """What is worth telling of an event and what it led to. For all events in turn, each once."""
        ended: set[bytes] = set()
        match event:
            case FrameReceived(frame, source, size) if self._has_request(frame):
                request = frame.request
                step = request.steps[0]
                yield Kind(
                    kind=Kind.REQUEST_RECEIVED, at=now, run_id=request.run_id, attempt=request.attempt, step=step.id,
                    operation=step.operation, source=source, bytes=size,
                )  # fmt: skip
            case FrameReceived(frame, source, size) if frame.HasField("completion") and self._tells(frame.completion.run_id):
                done = frame.completion
                yield Kind(
                    kind=Kind.COMPLETION_RECEIVED, at=now, run_id=done.run_id, attempt=done.attempt, step=done.step,
                    source=source, bytes=size, detail=done.failure.message,
                )  # fmt: skip
            case DeviceDone(key, _, error, started_at, finished_at) if self._tells(key.run_id):
                yield Kind(
                    kind=Kind.STEP_DONE if error is None else Kind.STEP_FAILED, at=finished_at, run_id=key.run_id,
                    attempt=key.attempt, step=key.step, operation=self._operations.pop(key, ""),
                    started_at=started_at, detail=str(error or ""),
                )  # fmt: skip
            case Recorded(error=None):
                yield from self._recorded(event, now)
                ended = {entry.run_id for entry in event.entries if isinstance(entry, EndRecord) and self._tells(entry.run_id)}
        for effect in effects:
            match effect:
                case CallDevice(key, operation) if self._tells(key.run_id):
                    if len(self._operations) >= MOST_WAITING:
                        del self._operations[next(iter(self._operations))]
                    self._operations[key] = operation.path
                case DropCalls(run_ids):
                    self._operations = {key: path for key, path in self._operations.items() if key.run_id not in run_ids}
                case RunEnded(result) if result.run_id in ended:  # else it is the answer to who asks again
                    state = application_pb2.RunState.Name(state_of(result))
                    failure = f"{state}: {result.failure.message}" if result.HasField("failure") else state
                    yield Kind(
                        kind=Kind.RUN_ENDED, at=now, run_id=result.run_id, attempt=result.attempt, detail=failure
                    )  # fmt: skip

    def _recorded(self, event: Recorded, now: float) -> Iterator[fractos_pb2.NodeEvent]:
        """The runs that begin, and the further attempts, that the journal holds now."""
        for entry in event.entries:
            match entry:
                case RunRecord(run_id, name=name) if run_id not in event.known and self._tells(run_id):
                    yield Kind(kind=Kind.RUN_ACCEPTED, at=now, run_id=run_id, attempt=1, operation=name)
                case AttemptRecord(run_id, attempt, attempts=attempts):
                    reason = application_pb2.RunResult.FromString(attempts).attempts[-1].reason
                    yield Kind(kind=Kind.RUN_REPEATED, at=now, run_id=run_id, attempt=attempt, detail=reason)

    def _has_request(self, frame: fractos_pb2.Frame) -> bool:
        """Whether it is a Request with a step of a run that is told of."""
        return frame.HasField("request") and bool(frame.request.steps) and self._tells(frame.request.run_id)

    def _tells(self, run_id: bytes) -> bool:
        return self._one_of == 1 or int.from_bytes(run_id[-4:], "big") % self._one_of == 0
