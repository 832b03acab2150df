"""A client's connection to its datacenter: it outlives the sessions with single application nodes.

What is unanswered when a session breaks is submitted again, under the same run_id, to whichever application node answers
then; the nodes take the same run_id for the same run. Other threads hand submissions over and wait for their outcomes;
everything else happens on one event loop in the background. Used by `client.py`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

import uvloop

from protos import application_pb2
from Services.fractos.admission import PATIENCE
from Services.fractos.candidates import Candidates
from Services.fractos.errors import (
    Context,
    DeadlineExceededError,
    FractosError,
    ResourceExhaustedError,
    RunCancelledError,
    UnavailableError,
)
from Services.fractos.pacing import Pacing
from Services.fractos.session import SILENCE_S, Metadata, Session

log = logging.getLogger(__name__)

ANSWER_GRACE_S = 5.0  # the application node answers by the run's deadline; this much later it has to be gone
RETRY_S = (0.1, 0.5)  # between two attempts to connect again
TICK_S = 0.1  # how often limits are looked at while submissions wait
SHORTEST_S = 0.001
MAX_SILENCE_S = 40.0
# A run that travels alone costs every process on its way two to four times what one in company does: so half of the best rate
# would keep all processors busy. While so many are unanswered, what is handed over within a moment leaves in one message.
MANY = 8
GATHER_S = 0.001

Outcome: TypeAlias = Future[application_pb2.RunResult]


@cache
def background_loop() -> asyncio.AbstractEventLoop:
    """The event loop of this process's clients, in a thread of its own.

    One for all and never closed: gRPC's poller serves all loops of a process and goes on calling one that was closed.
    """
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, name="mock datacenter client", daemon=True).start()
    return loop


@dataclass(slots=True, eq=False)
class _Submission:
    """A run that is not answered yet."""

    request: application_pb2.SubmitRequest
    ends_at: float  # by the connection's clock: when its timeout is over
    waits_until: float  # for room, if there is none; -inf: not at all
    outcome: Outcome = field(default_factory=Future)
    is_sent: bool = False  # it may have arrived
    is_cancelled: bool = False  # which may have got lost on the way
    refusal: str = ""  # the last one

    @property
    def waits(self) -> bool:
        """Whether it may wait for room."""
        return self.waits_until > -math.inf

    def fail(self, error: FractosError) -> None:
        """End it with an error."""
        self.outcome.set_exception(error.within(Context(run_id=self.request.run_id.hex(), attempt=1)))


class Connection:
    """One client's connection. `submit` and `cancel` are for any thread, the coroutines for the background loop."""

    def __init__(
        self,
        candidates: Candidates,
        *,
        metadata: Metadata = (),
        clock: Callable[[], float] = time.monotonic,
        randomness: random.Random | None = None,
    ) -> None:
        """`metadata` says what allows the client to run graphs."""
        self._candidates = candidates
        self._metadata = metadata
        self._clock = clock
        self._randomness = randomness or random.Random()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._handed: list[_Submission | bytes] = []  # by other threads: to submit, or a run to cancel
        self._is_closed = False
        self._unanswered: dict[bytes, _Submission] = {}
        self._pacing = Pacing(self._randomness)
        self._session: Session | None = None
        self._silence_s = SILENCE_S
        self.address = ""  # of the application node used last
        self._opened_at = -math.inf
        self._expired_at = -math.inf
        self._collected_at = -math.inf
        self._trouble = ""  # why there is no session
        self._attempts = ""  # what has been tried since
        self._reconnecting: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._ticking: asyncio.TimerHandle | None = None

    # -- from any thread --------------------------------------------------------------------------------------------------

    def submit(self, request: application_pb2.SubmitRequest, *, wait: bool) -> Outcome:
        """Submit a run, as often as it takes. With `wait` also if there is no room, for half its timeout.

        Returns its future result: what the application node says, or the error that kept it from being asked.
        """
        now = self._clock()
        submission = _Submission(request, now + request.timeout_s, now + PATIENCE * request.timeout_s if wait else -math.inf)
        if not self._hand(submission):
            raise UnavailableError("this connection was closed; connect() again")
        return submission.outcome

    def cancel(self, run_id: bytes) -> None:
        """Ask for a run to be ended."""
        self._hand(run_id)

    def _hand(self, request: _Submission | bytes) -> bool:
        with self._lock:
            if self._is_closed:
                return False
            self._handed.append(request)
            first = len(self._handed) == 1  # else the loop has been woken already
        if first:
            self._loop.call_soon_threadsafe(self._collect_soon)
        return True

    # -- on the loop ------------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect. Raises UnavailableError if no application node answers."""
        self._use(await self._candidates.open(self._open_session))

    async def close(self) -> None:
        """Send what was handed over and disconnect. What is unanswered a second later fails; if it was sent, it goes on."""
        with self._lock:
            self._is_closed = True
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._collect()
        if self._reconnecting is not None:
            self._reconnecting.cancel()
            await asyncio.wait([self._reconnecting])
        if self._session is not None:
            await self._session.close()
        unanswered, self._unanswered = self._unanswered, {}
        for submission in unanswered.values():
            submission.fail(UnavailableError("this client closed the connection", definite=not submission.is_sent))

    def is_waiting(self) -> bool:
        """Whether something is unanswered."""
        return bool(self._unanswered)

    def take(self, results: Sequence[application_pb2.RunResult]) -> None:
        """Hand results to those who wait for them."""
        if results and self._silence_s > SILENCE_S and self._session is not None:  # it is slow no longer
            self._silence_s = self._session.silence_s = SILENCE_S
        for result in results:
            submission = self._unanswered.pop(result.run_id, None)
            if submission is None or (submission.waits and self._was_refused(submission, result)):
                continue
            submission.outcome.set_result(result)
        if self._pacing:
            self._pace()

    def lost(self, session: Session, reason: str) -> None:
        """Look for another application node, or the same one again."""
        if session is not self._session:
            return  # it ended before it was used
        self._session = None
        self._trouble = f"lost the application node at {session.address}: {reason}"
        self._attempts = ""
        log.info("%s; unanswered: %d", self._trouble, len(self._unanswered))
        self._candidates.failed(session.address)
        # A node that is only slow to answer, with a large result on a slow link, must not be left again and again for that.
        self._silence_s = min(2 * self._silence_s, MAX_SILENCE_S) if session.was_silent else SILENCE_S
        self._pacing.lost()
        self._seek()

    def _collect_soon(self) -> None:
        """Take what other threads have handed over; if much is under way, with what they hand over in the next moment."""
        if len(self._unanswered) < MANY or self._clock() >= self._collected_at + GATHER_S:
            self._collect()
        else:
            self._loop.call_later(GATHER_S, self._collect)

    def _collect(self) -> None:
        """Take what other threads have handed over."""
        self._collected_at = self._clock()
        with self._lock:
            handed, self._handed = self._handed, []
        for request in handed:
            if isinstance(request, bytes):
                self._cancel(request)
                continue
            run_id = request.request.run_id
            self._unanswered[run_id] = request
            if request.waits:
                self._pacing.add(run_id)
            elif self._session is not None:
                self._send(self._session, request)
        if self._pacing:
            self._pace()
        if self._session is not None:
            self._session.flush()
        elif self._unanswered:
            self._seek()

    def _cancel(self, run_id: bytes) -> None:
        submission = self._unanswered.get(run_id)
        if submission is None:
            return  # it has ended
        submission.is_cancelled = True
        if not submission.is_sent:
            del self._unanswered[run_id]
            submission.fail(RunCancelledError("the run was cancelled before it began"))
        elif self._session is not None:
            self._session.put(_cancellation(run_id))

    def _send(self, session: Session, submission: _Submission) -> None:
        submission.is_sent = True
        session.put(application_pb2.SessionRequest(submit=submission.request))

    def _send_late(self, session: Session, submission: _Submission, now: float) -> None:
        """Send a submission that had to wait, or one that may have arrived before: that one as it was."""
        left_s = submission.ends_at - now
        if not submission.is_sent and left_s < submission.request.timeout_s - TICK_S:
            submission.request.timeout_s = max(left_s, SHORTEST_S)
        self._send(session, submission)

    # -- finding an application node --------------------------------------------------------------------------------------

    def _seek(self) -> None:
        """Look for an application node in the background, if that is not under way."""
        if self._session is None and self._reconnecting is None and not self._is_closed:
            self._reconnecting = asyncio.create_task(self._reconnect(), name="client that connects again")
        self._tick_soon()

    async def _reconnect(self) -> None:
        """Try until an application node answers; once only if nobody waits for it."""
        since, attempts = self._clock(), 0
        try:
            if since - self._opened_at < RETRY_S[1]:
                await self._pause()  # a node that breaks again and again is not to be overrun
            while self._session is None:
                try:
                    self._use(await self._candidates.open(self._open_session))
                except Exception as error:
                    if not isinstance(error, FractosError):
                        log.exception("could not look for an application node")
                    attempts += 1
                    took_s = self._clock() - since
                    self._attempts = f"; tried {attempts} times in {took_s:.1f} s to connect again, the last time: {error}"
                    if not self._unanswered:
                        break
                    await self._pause()
        finally:
            self._reconnecting = None

    async def _pause(self) -> None:
        await asyncio.sleep(self._randomness.uniform(*RETRY_S))

    async def _open_session(self, address: str) -> Session:
        return await Session.open(address, self, self._silence_s, self._metadata)

    def _use(self, session: Session) -> None:
        """Use a new session, and send it all that is unanswered."""
        now = self._clock()
        if not session.is_open:
            self._candidates.failed(session.address)
            raise UnavailableError(f"the application node at {session.address} closed the session at once")
        self._expire(now)
        self._session, self.address, self._opened_at = session, session.address, now
        log.info("connected to the application node at %s", self.address)
        for run_id, submission in self._unanswered.items():
            if submission.waits and not submission.is_sent:
                continue  # it is queued
            self._send_late(session, submission, now)
            if submission.is_cancelled:
                session.put(_cancellation(run_id))
        self._pace()

    # -- waiting ----------------------------------------------------------------------------------------------------------

    def _pace(self) -> None:
        """Send queued submissions, as many as it is time for."""
        now = self._clock()
        if self._session is not None:
            for run_id in self._pacing.due(now, self._unanswered.__contains__):
                self._send_late(self._session, self._unanswered[run_id], now)
            self._session.flush()
        self._tick_soon()

    def _was_refused(self, submission: _Submission, result: application_pb2.RunResult) -> bool:
        """Whether a submission found no room. It is queued again then."""
        failure = result.failure
        # A run that has begun has an attempt: what was exhausted then is no room, and it may not begin anew.
        if failure.status != ResourceExhaustedError.status or failure.retry_after_s <= 0 or failure.attempt:
            self._pacing.answered(result.run_id)
            return False
        self._pacing.refused(result.run_id, failure.retry_after_s, self._clock())
        if submission.is_cancelled:
            submission.fail(RunCancelledError("the run was cancelled before it began"))
        else:
            submission.is_sent, submission.refusal = False, failure.message
            self._unanswered[result.run_id] = submission
        return True

    def _tick_soon(self) -> None:
        """Look again soon, as long as a submission waits here for room or for an application node."""
        if self._ticking is None and self._unanswered and (self._pacing or self._session is None):
            now = self._clock()
            due_s = self._pacing.next_due(now) - now if self._session is not None else TICK_S
            self._ticking = self._loop.call_later(min(max(due_s, SHORTEST_S), TICK_S), self._tick)

    def _tick(self) -> None:
        self._ticking = None
        self._expire(self._clock())
        self._pace()

    def _expire(self, now: float) -> None:
        """End the submissions whose limit has passed while they waited here. Not too often: there may be many."""
        if now < self._expired_at + TICK_S:
            return
        self._expired_at = now
        for run_id, submission in list(self._unanswered.items()):
            if submission.is_sent and self._session is not None:
                continue  # the application node ends it
            if now >= self._limit(submission):
                del self._unanswered[run_id]
                self._pacing.forget(run_id)
                submission.fail(self._expiry(submission))

    def _limit(self, submission: _Submission) -> float:
        """Until when a submission waits here."""
        if submission.is_sent:
            return submission.ends_at + ANSWER_GRACE_S
        # What is left of its time then would not do: the first in the queue would be let in too late, one after the other.
        return submission.waits_until if submission.waits and self._session is not None else submission.ends_at

    def _expiry(self, submission: _Submission) -> FractosError:
        if self._session is None:
            return UnavailableError(self._trouble + self._attempts, definite=not submission.is_sent)
        reason = submission.refusal or "those that were submitted before are waiting still"
        return DeadlineExceededError(f"the run found no room within half its timeout: {reason}")


def _cancellation(run_id: bytes) -> application_pb2.SessionRequest:
    return application_pb2.SessionRequest(cancel=application_pb2.CancelRequest(run_id=run_id))
