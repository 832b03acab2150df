"""Calls that go together: those that come while a batch is computed are the next one. Used by the Device, for each model.

There is no thread of its own. The call that finds nobody at work computes at once, alone, in its own thread; when it is done,
the first of those that wait by then does the same for as many of them as make a good batch. So nobody waits while there is
nothing to wait for, and the busier the device, the larger the batches. Waiting for more, up to 2 ms, gained nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from Services.fractos.errors import UnavailableError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Check = Callable[[], None]  # raises what a call ends with whose answer is not wanted any more
# Of a batch: if fewer wait, a smaller one is computed, since what fills it up costs as much as calls do. The largest has to be
# full: what it gains is little, and if all that are under way were answered at once, there would be nothing to compute next.
FULL = 0.75
HANGS_S = 60.0  # a batch takes some tenths of a second, the first one seconds; one that takes longer will not end
LOOK_S = 0.1  # how often a call that waits asks whether its answer is still wanted


class Batcher(Generic[Item, Answer]):
    """Has `compute` answer items together. Safe in several threads; `compute` is called by one at a time."""

    def __init__(
        self,
        compute: Callable[[Sequence[Item]], Sequence[Answer]],
        sizes: Sequence[int],
        *,
        hangs_s: float = HANGS_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`compute` gives an answer for each of its items, in their order.

        It computes batches of `sizes`, which ascend from 1; it fills up one in between, and never gets more than the last.
        Once it has taken `hangs_s` for one, nobody waits for it any more.
        """
        self._compute = compute
        self._sizes = sizes
        self._hangs_s = hangs_s
        self._clock = clock
        self._lock = threading.Lock()  # guards all that follows
        self._waiting: list[_Call[Item, Answer]] = []  # the one that came first is first
        self._at_work = False  # a call computes, or was told to
        self._since = 0.0  # when it began to, or was told

    def call(self, item: Item, check: Check) -> Answer:
        """The answer to one item. Raises what `check` does once it does, and what `compute` did if the batch failed.

        Raises UnavailableError while the computation before it hangs.
        """
        call: _Call[Item, Answer] = _Call(item, check)
        with self._lock:
            if self._at_work:
                self._check_hangs()
            else:
                call.leads, self._at_work, self._since = True, True, self._clock()
            self._waiting.append(call)
        if call.leads or self._wait(call):
            self._lead()
        if call.error is not None:
            raise call.error
        return call.answers[0]

    def _wait(self, call: _Call[Item, Answer]) -> bool:
        """Wait until there is an answer, or until it is this call's turn to compute; returns whether it is that."""
        while not call.woken.acquire(timeout=LOOK_S):
            try:
                call.check()
                self._check_hangs()
            except BaseException:
                with self._lock:
                    if call.leads:
                        return True  # others rely on it by now; its own item is left out
                    if call in self._waiting:
                        self._waiting.remove(call)
                raise
        return call.leads

    def _check_hangs(self) -> None:
        if (taken_s := self._clock() - self._since) > self._hangs_s:
            raise UnavailableError(
                f"the model has been computing for {taken_s:.0f} s and seems to hang; calls fail until it ends: if it does not,"
                " restart the node"
            )

    def _lead(self) -> None:
        """Compute for those that wait, this thread's own call among them, then hand over to the next."""
        with self._lock:
            count = self._good_size(len(self._waiting))
            batch = self._waiting[:count]
            del self._waiting[:count]
        try:
            self._answer([call for call in batch if call.is_wanted()])
        finally:
            with self._lock:
                self._at_work = bool(self._waiting)
                if self._waiting:
                    self._since = self._clock()
                    self._waiting[0].leads = True
                    self._waiting[0].woken.release()
        for call in batch:
            if not call.leads:
                call.woken.release()

    def _good_size(self, waiting: int) -> int:
        """How many of those that wait to compute now."""
        holding = next((size for size in self._sizes if size >= waiting), self._sizes[-1])
        if waiting >= holding * (1.0 if holding == self._sizes[-1] else FULL):
            return min(waiting, holding)
        return max(size for size in self._sizes if size < waiting)

    def _answer(self, batch: Sequence[_Call[Item, Answer]]) -> None:
        try:
            answers = self._compute([call.item for call in batch]) if batch else ()
            for call, answer in zip(batch, answers, strict=True):
                call.answers.append(answer)
        except BaseException as error:  # all of them share it, whatever it is: none may wait for ever
            for call in batch:
                call.error = error


class _Call(Generic[Item, Answer]):
    """One call that waits or is computed."""

    __slots__ = ("answers", "check", "error", "item", "leads", "woken")

    def __init__(self, item: Item, check: Check) -> None:
        self.item = item
        self.check = check
        self.leads = False  # its thread computes
        self.answers: list[Answer] = []  # one, in the end
        self.error: BaseException | None = None
        self.woken = threading.Lock()  # locked until then: an Event takes ten times as long to make
        self.woken.acquire()

    def is_wanted(self) -> bool:
        """Whether the answer still is; if not, the call ends with what `check` raises."""
        try:
            self.check()
        except BaseException as error:
            self.error = error
            return False
        return True
