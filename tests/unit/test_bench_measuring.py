"""When a benchmark has measured enough, and what its samples say."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from Services.datacenter.bench.measuring import FEWEST, Rules, error_of, interval, measure, percentile, summarize

SAMPLES = st.lists(st.floats(0.001, 1e6), min_size=1, max_size=80)
pure = settings(deadline=None, database=None)


class Clock:
    """Time that passes only as work is done."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, durations: Callable[[], float]) -> Callable[[], Sequence[float]]:
        """A variant that takes as long as it says."""

        def batch() -> list[float]:
            taken = durations()
            self.now += taken
            return [taken]

        return batch


@pure
@given(SAMPLES)
def test_a_summary_is_in_order(samples: list[float]) -> None:
    one = summarize(samples)
    assert one.lowest <= one.q1 <= one.median <= one.q3 <= one.p99 <= one.highest
    assert one.lowest <= one.low <= one.median <= one.high <= one.highest
    assert one.n == len(samples)
    assert one.median == statistics.median(samples)


@pure
@given(SAMPLES, st.floats(0.01, 100))
def test_another_unit_changes_nothing_else(samples: list[float], factor: float) -> None:
    scaled = summarize(samples).scaled(factor)
    again = summarize([sample * factor for sample in samples])
    assert vars(scaled) == pytest.approx(vars(again), rel=1e-9)


@pure
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=60))
def test_percentiles_are_those_of_the_standard_library(samples: list[int]) -> None:
    quartiles = statistics.quantiles(samples, n=4, method="inclusive")
    assert [percentile(samples, part) for part in (25, 50, 75)] == pytest.approx(quartiles)
    assert (percentile(samples, 0), percentile(samples, 100)) == (min(samples), max(samples))


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    """Of a distribution with a long tail, as durations are; the median of exp(N(0, 1)) is 1."""
    rng = random.Random(1)
    for size in (FEWEST, 15, 60):
        held = 0
        for _ in range(2000):
            low, high = interval([math.exp(rng.gauss(0, 1)) for _ in range(size)])
            held += low <= 1 <= high
        assert 0.93 < held / 2000 < 0.995, size


def test_too_few_values_are_not_precise_whatever_they_are() -> None:
    assert error_of([1.0] * (FEWEST - 1)) == math.inf
    assert error_of([1.0] * FEWEST) == 0
    assert not summarize([1.0], precision=0.5).converged
    assert error_of([-1.0, -1.0, -1.0, 1.0, 1.0, 1.0]) == math.inf


def test_without_samples_there_is_no_summary() -> None:
    with pytest.raises(ValueError, match="no samples"):
        summarize([])


def test_it_stops_when_it_is_precise_enough() -> None:
    clock = Clock()
    measured = measure({"a": clock.work(lambda: 1.0)}, Rules(warm_up=2, limit_s=100), clock)
    assert measured.summary("a").converged
    assert measured.summary("a").n == FEWEST
    assert clock.now == FEWEST + 2  # the warm-up is not among the samples


def test_it_goes_on_while_it_is_not_and_stops_at_the_limit() -> None:
    clock, rng = Clock(), random.Random(2)
    told: list[tuple[int, float, float]] = []
    variants = {"steady": clock.work(lambda: 0.1), "wild": clock.work(lambda: rng.uniform(0.1, 2.0))}
    measured = measure(variants, Rules(precision=0.001, limit_s=30), clock, lambda *state: told.append(state))
    assert 30 <= clock.now < 33
    assert measured.summary("steady").converged
    assert not measured.summary("wild").converged
    assert measured.summary("steady").n == measured.summary("wild").n
    assert told[-1][0] == measured.summary("wild").n
    assert told[-1][2] == 0
    assert [left for _, _, left in told] == sorted((left for _, _, left in told), reverse=True)


def test_precision_needs_fewer_rounds_where_less_is_asked_for() -> None:
    def rounds(precision: float) -> int:
        clock, rng = Clock(), random.Random(3)
        variants = {"a": clock.work(lambda: rng.uniform(1.0, 1.5))}
        return measure(variants, Rules(precision, limit_s=1e9, most=1000), clock).summary("a").n

    assert rounds(0.2) < rounds(0.05) < rounds(0.02) < 1000


@pytest.mark.parametrize("limit_s", [0.0, 0.5, 3.0])
def test_a_few_rounds_are_done_whatever_the_limit(limit_s: float) -> None:
    clock = Clock()
    measured = measure({"a": clock.work(lambda: 1.0)}, Rules(warm_up=5, limit_s=limit_s), clock)
    assert measured.summary("a").n == 3
    assert not measured.summary("a").converged


def test_no_more_rounds_than_that() -> None:
    clock, rng = Clock(), random.Random(4)
    measured = measure({"a": clock.work(rng.random)}, Rules(precision=1e-9, most=20, limit_s=1e9), clock)
    assert measured.summary("a").n == 20


def test_variants_take_turns_and_neither_is_always_first() -> None:
    order: list[str] = []

    def variant(name: str) -> Callable[[], list[float]]:
        def batch() -> list[float]:
            order.append(name)
            return [float(len(order))]

        return batch

    clock = Clock()
    measure({"a": variant("a"), "b": variant("b")}, Rules(warm_up=0, precision=0.0, most=4), clock)
    assert "".join(order) in {"abbaabba", "baabbaab"}


def test_ratios_are_of_rounds_so_that_a_slow_machine_does_not_show() -> None:
    clock = Clock()
    slow = iter([1.0, 1.0, 50.0, 50.0, 2.0, 2.0] + [1.0, 1.0] * 20)
    variants = {"double": clock.work(lambda: 2 * next(slow)), "unit": clock.work(lambda: next(slow))}
    measured = measure(variants, Rules(warm_up=0, precision=0.0, most=10, limit_s=1e9), clock)
    ratio = measured.ratio("double", "unit")
    assert (ratio.lowest, ratio.highest) == (2, 2)
    assert measured.summary("double").highest == 100


def test_rounds_may_have_many_samples() -> None:
    clock = Clock()
    measured = measure({"a": lambda: [1.0, 2.0, 9.0]}, Rules(warm_up=0), clock)
    one = measured.summary("a")
    assert (one.n, one.median, one.highest) == (3 * FEWEST, 2, 9)
    assert (one.low, one.high) == (2, 2)  # of the medians of rounds


def test_the_interval_lies_evenly_about_the_middle() -> None:
    for n in range(1, 300):
        low, high = interval([float(value) for value in range(n)])
        assert low + high == n - 1


def test_the_median_lies_in_its_own_interval_however_uneven_rounds_are() -> None:
    rounds = iter([[5.0] * 99] + [[1.0]] * 20)
    one = measure({"a": lambda: next(rounds)}, Rules(warm_up=0), Clock()).summary("a")
    assert one.low <= one.median <= one.high
    assert one.median == 1


def test_a_derived_figure_is_as_precise_as_the_rounds_are() -> None:
    values = iter([1.0, 2.0, 4.0, 8.0])
    rules = Rules(warm_up=0, precision=0.0, most=4, limit_s=1e9)
    measured = measure({"a": lambda: [next(values)] * 1000}, rules, Clock())
    rate = measured.derived("a", lambda took: 8 / took)
    assert (rate.low, rate.median, rate.high, rate.n) == (1, 3, 8, 4)
    assert not rate.converged
