"""The threads that carry out a node's device calls: fair to runs, and alive though a call hangs. Used by the Controller.

Runs take turns: a run's first call waits for one call of each other run at the most, however many these have. A call whose run
was stopped or whose deadline has passed is interrupted (see `interruption.py`); one that does not react is abandoned: another
thread takes the place of its own, and its late answer is ignored. Python cannot end a thread, so there is a limit to that.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

from Services.fractos.errors import DeadlineExceededError, ResourceExhaustedError, UnavailableError
from Services.fractos.interruption import Interruption, enter
from Services.fractos.log_lines import about

log = logging.getLogger(__name__)

GRACE_S = 1.0  # how long a call may take to end after its deadline or its run's end, before it is abandoned
MOST_ABANDONED = 16  # calls that hang; with so many the device takes no more
WATCH_S = 0.25  # how often running calls are looked after
CLOSE_S = 5.0  # how long `close` waits for them


class Outcome(NamedTuple):
    """How a call ended: with an answer or with an error. Times are Unix times in seconds."""

    answer: object  # what the work returned; None beside an error
    error: BaseException | None
    started_at: float
    finished_at: float


Work = Callable[[], object]
Done = Callable[[Outcome], None]


class Call:
    """One device call, waiting or running."""

    __slots__ = ("done", "interruption", "over_at", "run", "started_at", "thread", "wanted", "work")

    def __init__(self, run: bytes, interruption: Interruption, work: Work, done: Done) -> None:
        self.run = run
        self.interruption = interruption
        self.work = work
        self.done = done
        self.wanted = True  # its answer
        self.over_at = interruption.deadline  # from then on it is not
        self.started_at = 0.0  # until it runs
        self.thread: threading.Thread | None = None

    def answer(self, outcome: Outcome) -> None:
        """Tell how it ended, if that is wanted."""
        try:
            if self.wanted:
                self.done(outcome)
        except Exception:
            operation = self.interruption.operation
            log.exception("could not tell how %s ended", operation, extra=about(self.run, operation=operation))


class DeviceThreads:
    """At most `threads` calls run at once. Safe to use from any thread; threads begin when they are needed."""

    def __init__(
        self,
        threads: int,
        clock: Callable[[], float] = time.time,
        *,
        grace_s: float = GRACE_S,
        most_abandoned: int = MOST_ABANDONED,
    ) -> None:
        self._most_threads = threads
        self._clock = clock
        self._grace_s = grace_s
        self._most_abandoned = most_abandoned
        self._lock = threading.Lock()  # guards all that follows
        self._waiting: OrderedDict[bytes, deque[Call]] = OrderedDict()  # by run, the one whose turn it is first
        self._waiting_count = 0
        self._running: set[Call] = set()
        self._abandoned: set[Call] = set()
        self._threads: set[threading.Thread] = set()
        # As many as calls wait. A worker blocks here, since waking it takes a fraction of what a Condition's takes.
        self._tickets: SimpleQueue[None] = SimpleQueue()
        self._watcher: threading.Thread | None = None
        self._watching = threading.Event()  # set while calls run
        self._closed = threading.Event()

    def submit(self, run: bytes, operation: str, deadline: float, work: Work, done: Done) -> Call:
        """Have a thread carry out `work`, which may ask for its Interruption, by `deadline` (Unix time in seconds).

        `done` is called once, in some thread, unless the call is dropped before: then not at all. Raises ResourceExhaustedError
        while so many calls hang that the device takes no more, and UnavailableError once it is closed.
        """
        call = Call(run, Interruption(operation, deadline, self._clock), work, done)
        with self._lock:
            if self._closed.is_set():
                raise UnavailableError(f"the node is stopping; it does not begin {operation} any more")
            if len(self._abandoned) >= self._most_abandoned:
                raise self._exhausted()
            queue = self._waiting.get(run)
            if queue is None:
                self._waiting[run] = deque((call,))
            else:
                queue.append(call)
            self._waiting_count += 1
            self._grow()
        self._tickets.put(None)  # not earlier: who is woken by it needs the lock
        return call

    @property
    def load(self) -> tuple[int, int]:
        """How many calls wait, and how many run."""
        with self._lock:
            return self._waiting_count, len(self._running)

    def drop(self, runs: Collection[bytes]) -> None:
        """Forget the waiting calls of these runs and interrupt those that run."""
        with self._lock:
            for run in runs:
                for _ in self._waiting.pop(run, ()):
                    self._forget()
            for call in self._running:
                if call.run in runs:
                    self._interrupt(call)

    def cancel(self, call: Call) -> None:
        """Forget or interrupt one call. One that has ended is none of its business."""
        with self._lock:
            if call in self._running:
                self._interrupt(call)
            elif call in (queue := self._waiting.get(call.run, deque())):
                queue.remove(call)
                if not queue:
                    del self._waiting[call.run]
                self._forget()

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Forget what waits, interrupt what runs, and wait for it to end, but no longer than `timeout_s`. May be repeated.

        Returns whether all has ended.
        """
        with self._lock:
            self._closed.set()
            self._watching.set()
            runs = {*self._waiting, *(call.run for call in self._running)}
            threads = [*self._threads, *([self._watcher] if self._watcher else ())]
        self.drop(runs)
        for _ in threads:
            self._tickets.put(None)
        ends_at = time.monotonic() + timeout_s
        for thread in threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        with self._lock:
            left = sorted(call.interruption.operation for call in self._running | self._abandoned)
        if left:
            log.warning("left behind in the device, since they did not end: %s", ", ".join(left))
        return not left

    # -- with the lock held -----------------------------------------------------------------------------------------------

    def _grow(self) -> None:
        """Begin a thread if there are more calls than threads, and may be more of these."""
        if len(self._threads) >= min(self._waiting_count + len(self._running), self._most_threads):
            return
        try:
            if self._watcher is None:
                self._watcher = _begin_thread("device watch", self._watch)
            self._threads.add(_begin_thread("device", self._serve))
        except RuntimeError as error:  # the system has none left: the threads that there are go on
            log.error("could not begin a thread for the device: %s", error)

    def _forget(self) -> None:
        """Count one call less that waits, since it was taken out of the line."""
        self._waiting_count -= 1
        with suppress(Empty):  # then a worker has its ticket in hand already, and will find nothing
            self._tickets.get_nowait()

    def _interrupt(self, call: Call) -> None:
        call.wanted = False
        call.over_at = min(call.over_at, self._clock())
        call.interruption.cancel()

    def _abandon(self, call: Call) -> None:
        """Write off the thread of a running call, and begin another."""
        self._running.discard(call)
        self._abandoned.add(call)
        if call.thread is not None:
            self._threads.discard(call.thread)
        self._grow()

    def _take_all(self) -> list[Call]:
        """All calls that wait, taken out of the line."""
        taken = [call for queue in self._waiting.values() for call in queue]
        self._waiting.clear()
        for _ in taken:
            self._forget()
        return taken

    def _exhausted(self) -> ResourceExhaustedError:
        return ResourceExhaustedError(
            f"{len(self._abandoned)} calls hang in the device, which is the limit; it takes no more until one of them ends:"
            " if none does, restart the node"
        )

    # -- the device's threads ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        thread = threading.current_thread()
        while self._serve_one(thread):
            pass

    def _serve_one(self, thread: threading.Thread) -> bool:
        """Carry out the next call. Returns whether this thread goes on."""
        self._tickets.get()
        call = self._take(thread)
        if call is None:
            return not self._closed.is_set()
        outcome = self._carry_out(call)
        with self._lock:
            if call in self._abandoned:
                self._abandoned.discard(call)
                return False  # another thread took this one's place
            self._running.discard(call)
        call.answer(outcome)
        return True

    def _take(self, thread: threading.Thread) -> Call | None:
        """The next call of the run whose turn it is; the run goes to the end of the line."""
        with self._lock:
            if not self._waiting:
                return None
            run, queue = self._waiting.popitem(last=False)
            call = queue.popleft()
            if queue:
                self._waiting[run] = queue
            self._waiting_count -= 1
            self._running.add(call)
            call.started_at = self._clock()
            call.thread = thread
            if not self._watching.is_set():
                self._watching.set()
            return call

    def _carry_out(self, call: Call) -> Outcome:
        interruption = call.interruption
        try:
            if call.started_at > interruption.deadline:
                raise DeadlineExceededError(f"the deadline passed while {interruption.operation} waited for the device")
            enter(interruption)
            answer = call.work()
        except BaseException as error:  # the edge of the thread; whatever it is, a device's sys.exit() too, ends one call only
            return Outcome(None, error, call.started_at, self._clock())
        return Outcome(answer, None, call.started_at, self._clock())

    # -- the thread that watches over them --------------------------------------------------------------------------------

    def _watch(self) -> None:
        while self._watching.wait() and not self._closed.wait(min(WATCH_S, self._grace_s)):
            self._look_after()

    def _look_after(self) -> None:
        """Abandon the calls that hang, and refuse those that wait if these are too many."""
        with self._lock:
            now = self._clock()
            hanging = [call for call in self._running if now > call.over_at + self._grace_s]
            hanging = hanging[: self._most_abandoned - len(self._abandoned)]
            for call in hanging:
                self._abandon(call)
            exhausted = self._exhausted()
            refused = self._take_all() if len(self._abandoned) >= self._most_abandoned else []
            if not self._running:
                self._watching.clear()
        for call in hanging:
            name = call.interruption.operation
            told = "%s hangs and is abandoned; the device may have %d such calls"
            log.warning(told, name, self._most_abandoned, extra=about(call.run, operation=name))
            text = f"{name} did not return within {self._grace_s:g} s after the deadline, and was abandoned"
            call.answer(Outcome(None, DeadlineExceededError(text, definite=False), call.started_at, now))
        for call in refused:
            call.answer(Outcome(None, exhausted, now, now))


def _begin_thread(name: str, target: Callable[[], None]) -> threading.Thread:
    """A daemon: a call that hangs must not keep the process from ending."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread
