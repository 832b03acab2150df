"""Which calls go together, that each gets its own answer, and that none disturbs the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from Services.ComputationalNodes.CNN.Node.batching import Batcher
from Services.fractos.errors import RunCancelledError, UnavailableError
from tests.waiting import TIMEOUT_S, until

SIZES = (1, 2, 4, 8)


class Squares:
    """A model that squares numbers, the first batch not before it is let; it fails at batches with a 13."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.threads: list[threading.Thread] = []
        self.go_on = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        self.threads.append(threading.current_thread())
        assert self.go_on.wait(TIMEOUT_S)
        if 13 in numbers:
            raise ValueError("13")
        return [number * number for number in numbers]


class Calls:
    """Calls of one Batcher, each in a thread of its own."""

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self.model = Squares()
        self.batcher: Batcher[int, int] = Batcher(self.model, SIZES)
        self._executor = executor

    def begin(self, number: int, check: Callable[[], None] = lambda: None) -> Future[int]:
        """Begin a call and return when it waits, or is computed."""
        before = self._begun()
        call = self._executor.submit(self.batcher.call, number, check)
        until(lambda: self._begun() > before)
        return call

    def begin_first(self) -> Future[int]:
        """Begin the call that all others have to wait for."""
        first = self.begin(1)
        until(lambda: self.model.batches)
        return first

    def _begun(self) -> int:
        return sum(map(len, self.model.batches)) + len(self.batcher._waiting)


@pytest.fixture
def calls() -> Iterator[Calls]:
    """Calls, all of which have ended in the end."""
    with ThreadPoolExecutor(16) as executor:
        begun = Calls(executor)
        yield begun
        begun.model.go_on.set()
    assert not begun.batcher._waiting
    assert begun.batcher.call(7, lambda: None) == 49  # it is idle again, whatever happened


def unwanted() -> None:
    raise RunCancelledError("stopped")


def test_a_call_that_finds_nobody_at_work_is_computed_at_once_in_its_own_thread(calls: Calls) -> None:
    calls.model.go_on.set()
    assert [calls.batcher.call(number, lambda: None) for number in (2, 3)] == [4, 9]
    assert calls.model.batches == [[2], [3]]
    assert set(calls.model.threads) == {threading.current_thread()}


@pytest.mark.parametrize(
    ("waiting", "batches"),
    [
        (1, [1]),
        (2, [2]),
        (3, [3]),
        (4, [4]),
        (5, [4, 1]),
        (6, [4, 2]),
        (7, [4, 3]),
        (8, [8]),
        (9, [8, 1]),
        (11, [8, 3]),
        (13, [8, 4, 1]),
    ],
)
def test_calls_that_wait_go_together_in_batches_that_are_nearly_full(calls: Calls, waiting: int, batches: list[int]) -> None:
    first = calls.begin_first()
    others = [calls.begin(number) for number in range(20, 20 + waiting)]
    calls.model.go_on.set()
    assert [call.result(TIMEOUT_S) for call in others] == [number * number for number in range(20, 20 + waiting)]
    assert first.result(TIMEOUT_S) == 1
    assert [len(batch) for batch in calls.model.batches] == [1, *batches]
    assert [number for batch in calls.model.batches for number in batch] == [1, *range(20, 20 + waiting)]


def test_an_error_goes_to_each_call_of_its_batch_and_to_no_other(calls: Calls) -> None:
    first = calls.begin_first()
    failing, healthy = [calls.begin(number) for number in (2, 3, 4, 5, 6, 7, 8, 13)], calls.begin(9)
    calls.model.go_on.set()
    for call in failing:
        with pytest.raises(ValueError, match="13"):
            call.result(TIMEOUT_S)
    assert (first.result(TIMEOUT_S), healthy.result(TIMEOUT_S)) == (1, 81)


def test_a_model_that_answers_too_few_fails_the_batch(calls: Calls) -> None:
    batcher: Batcher[int, int] = Batcher(lambda numbers: [], SIZES)
    with pytest.raises(ValueError, match="shorter"):
        batcher.call(1, lambda: None)


def test_a_call_that_is_stopped_while_it_waits_ends_at_once_and_the_others_are_answered(calls: Calls) -> None:
    stop = threading.Event()
    first = calls.begin_first()
    stopped, other = calls.begin(2, lambda: unwanted() if stop.is_set() else None), calls.begin(3)
    stop.set()
    with pytest.raises(RunCancelledError):
        stopped.result(TIMEOUT_S)
    assert not first.done()
    calls.model.go_on.set()
    assert (first.result(TIMEOUT_S), other.result(TIMEOUT_S)) == (1, 9)
    assert calls.model.batches == [[1], [3]]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_call_that_is_stopped_as_its_turn_comes_is_left_out(calls: Calls, place: int) -> None:
    calls.begin_first()
    stop = threading.Event()
    others = [calls.begin(n, lambda n=n: unwanted() if n == place and stop.is_set() else None) for n in range(3)]  # type: ignore[misc]
    calls.batcher._lock.acquire()  # none of them can leave the line by itself
    stop.set()
    calls.model.go_on.set()
    calls.batcher._lock.release()
    for number, call in enumerate(others):
        if number == place:
            with pytest.raises(RunCancelledError):
                call.result(TIMEOUT_S)
        else:
            assert call.result(TIMEOUT_S) == number * number
    assert [number for batch in calls.model.batches[1:] for number in batch] == [n for n in range(3) if n != place]


def test_a_call_that_is_stopped_just_as_it_is_to_compute_does_so_for_the_others(calls: Calls) -> None:
    looks, may_answer = threading.Event(), threading.Event()

    def check() -> None:
        looks.set()
        assert may_answer.wait(TIMEOUT_S)
        unwanted()

    first = calls.begin_first()
    stopped, other = calls.begin(2, check), calls.begin(3)
    assert looks.wait(TIMEOUT_S)
    calls.model.go_on.set()
    assert first.result(TIMEOUT_S) == 1  # it has handed over to the second, which looks whether it is wanted
    may_answer.set()
    with pytest.raises(RunCancelledError):
        stopped.result(TIMEOUT_S)
    assert other.result(TIMEOUT_S) == 9
    assert calls.model.batches == [[1], [3]]


def test_while_a_batch_hangs_nobody_waits_for_it_and_afterwards_all_is_well(calls: Calls) -> None:
    now = [0.0]
    calls.batcher = Batcher(calls.model, SIZES, hangs_s=60, clock=lambda: now[0])
    hanging, waiting = calls.begin_first(), calls.begin(2)
    now[0] = 61.0
    with pytest.raises(UnavailableError, match=r"computing for 61 s and seems to hang; .* restart the node"):
        waiting.result(TIMEOUT_S)
    with pytest.raises(UnavailableError, match="seems to hang"):
        calls.batcher.call(3, lambda: None)  # at once
    assert not hanging.done()
    calls.model.go_on.set()
    assert hanging.result(TIMEOUT_S) == 1
    assert calls.batcher.call(4, lambda: None) == 16
    assert calls.model.batches == [[1], [4]]


def test_each_of_many_calls_gets_its_own_answer(calls: Calls) -> None:
    calls.model.go_on.set()
    with ThreadPoolExecutor(24) as executor:
        answers = list(executor.map(lambda number: calls.batcher.call(number, lambda: None), range(100, 2100)))
    assert answers == [number * number for number in range(100, 2100)]
    assert sum(map(len, calls.model.batches)) == 2000
    assert all(len(batch) <= SIZES[-1] for batch in calls.model.batches)
