"""Samples: how many are enough, and what they say. Pure: time and work are passed in.

Variants are measured in rounds, each of them once in every round, in alternating order, so that a slow moment of the machine
hits all of them. A round gives one value for each variant, the median of the samples that it took. It goes on until the 95 %
confidence interval of the median of these values is narrow enough for every variant, or a limit is reached.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

Batch = Callable[[], Sequence[float]]  # takes some samples of one variant
NORMAL = 1.96  # standard deviations that hold 95 % of a normal distribution
FEWEST = 6  # values that a 95 % interval of a median needs: two ranks of five hold it in 94 of 100 cases


@dataclass(frozen=True)
class Summary:
    """What samples of one thing say."""

    median: float  # of the medians of the rounds, where there were any
    low: float  # of the 95 % confidence interval of the median
    high: float
    q1: float
    q3: float
    p99: float
    lowest: float
    highest: float
    n: int  # samples
    converged: bool = True  # the interval is as narrow as was asked for

    def scaled(self, factor: float) -> Summary:
        """The same in another unit; `factor` is positive."""
        figures = {name: value * factor for name, value in vars(self).items() if name not in {"n", "converged"}}
        return replace(self, **figures)


@dataclass(frozen=True)
class Rules:
    """When it is enough."""

    precision: float = 0.05  # half the width of the interval, as a part of the median
    warm_up: int = 2  # rounds that do not count
    fewest: int = FEWEST  # rounds
    most: int = 200  # rounds
    least: int = 3  # rounds, whatever the limit
    limit_s: float = 30.0

    def enough(self, values: Sequence[float]) -> bool:
        """Whether the values of so many rounds are as precise as was asked for."""
        return len(values) >= self.fewest and error_of(values) <= self.precision


@dataclass(frozen=True)
class Measured:
    """The rounds of some variants."""

    samples: Mapping[str, tuple[tuple[float, ...], ...]]  # by variant, then round
    rules: Rules

    def summary(self, variant: str) -> Summary:
        """What the samples of a variant say; the median and its interval are those of the medians of the rounds."""
        samples = [sample for one in self.samples[variant] for sample in one]
        return summarize(samples, self._medians(variant), self.rules.precision)

    def derived(self, variant: str, figure: Callable[[float], float]) -> Summary:
        """What another figure says that follows from the median of a round."""
        values = [figure(value) for value in self._medians(variant)]
        return summarize(values, values, self.rules.precision)

    def ratio(self, variant: str, unit: str) -> Summary:
        """How many times another variant, the `unit`, a variant takes: each round by itself."""
        pairs = zip(self._medians(variant), self._medians(unit), strict=True)
        values = [one / other for one, other in pairs]
        return summarize(values, values, self.rules.precision)

    def _medians(self, variant: str) -> list[float]:
        return [statistics.median(one) for one in self.samples[variant]]


def measure(
    variants: Mapping[str, Batch],
    rules: Rules,
    clock: Callable[[], float],
    tell: Callable[[int, float, float], None] = lambda rounds, error, left_s: None,
) -> Measured:
    """Measure variants side by side. `clock` gives seconds.

    `tell` is called after each round: with the number of rounds, the widest interval so far and the seconds left at most.
    """
    names = list(variants)
    samples: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    end = clock() + rules.limit_s
    number = -rules.warm_up
    while number < rules.least or (number < rules.most and clock() < end and not _all_enough(samples, rules)):
        if number < 0 and clock() >= end:
            number = 0  # no time to warm up
        for name in names if number % 2 else reversed(names):
            taken = tuple(variants[name]())
            if number >= 0:
                samples[name].append(taken)
        number += 1
        tell(max(number, 0), _widest(samples), max(end - clock(), 0.0))
    return Measured({name: tuple(rounds) for name, rounds in samples.items()}, rules)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % confidence interval of the median: the values at two ranks, which supposes nothing about their distribution.

    The ranks are those of the binomial distribution, approximated by the normal one (Conover, Practical Nonparametric
    Statistics, 3.2). Fewer than FEWEST values have no such interval: the lowest and the highest are returned.
    """
    ordered, n = sorted(values), len(values)
    reach = NORMAL * math.sqrt(n) / 2
    first = max(math.floor(n / 2 - reach), 0)
    return ordered[first], ordered[n - 1 - first]


def error_of(values: Sequence[float]) -> float:
    """Half the width of the interval of the median, as a part of the median; infinite where there are too few values."""
    if len(values) < FEWEST:
        return math.inf
    low, high = interval(values)
    middle = statistics.median(values)
    if low == high:
        return 0.0
    return (high - low) / 2 / abs(middle) if middle else math.inf


def summarize(samples: Sequence[float], values: Sequence[float] = (), precision: float = math.inf) -> Summary:
    """What samples say. `values` are what the median and its interval are of: by default the samples themselves.

    Where samples come in rounds, `values` is one for each: those of a round resemble one another, so that an interval of all
    would be far too narrow.

    Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("there are no samples")
    values = values or samples
    low, high = interval(values)
    return Summary(
        median=statistics.median(values),
        low=low,
        high=high,
        q1=percentile(samples, 25),
        q3=percentile(samples, 75),
        p99=percentile(samples, 99),
        lowest=min(samples),
        highest=max(samples),
        n=len(samples),
        converged=precision == math.inf or error_of(values) <= precision,
    )


def percentile(samples: Sequence[float], part: float) -> float:
    """The value below which `part` percent of the samples lie, between two of them where it falls there."""
    ordered = sorted(samples)
    place = (len(ordered) - 1) * part / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _all_enough(samples: Mapping[str, Sequence[Sequence[float]]], rules: Rules) -> bool:
    return all(rules.enough([statistics.median(one) for one in rounds]) for rounds in samples.values())


def _widest(samples: Mapping[str, Sequence[Sequence[float]]]) -> float:
    return max((error_of([statistics.median(one) for one in rounds]) for rounds in samples.values()), default=math.inf)
