"""Runs many seeds, in several processes, up to the first one that goes wrong. Used by the command and by a test."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from tests.simulation.plants import PLANTS
from tests.simulation.scenario import draw
from tests.simulation.shrinking import shrink
from tests.simulation.simulation import simulate

LOT = 25  # seeds that one process runs before it reports


class Failure(NamedTuple):
    """A seed that goes wrong."""

    seed: int
    violations: list[str]


def first_failure(
    seeds: range, *, jobs: int = 1, plant: str = "", progress: Callable[[int], None] = lambda done: None
) -> Failure | None:
    """The lowest seed that goes wrong, if there is one. `progress` gets the number of seeds that are done."""
    lots = [seeds[start : start + LOT] for start in range(0, len(seeds), LOT)]
    if jobs == 1:
        return _first(((lot, run_lot(lot, plant)) for lot in lots), progress)
    # Started anew rather than forked: whoever calls this may have threads.
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        failure = _first(zip(lots, pool.map(run_lot, lots, [plant] * len(lots)), strict=True), progress)
        pool.shutdown(cancel_futures=True)
    return failure


def run_lot(seeds: range, plant: str) -> Failure | None:
    """The first of some seeds that goes wrong."""
    for seed in seeds:
        violations = simulate(draw(seed), plant=PLANTS[plant])
        if violations:
            return Failure(seed, violations)
    return None


def shortest(seed: int, plant: str) -> list[int]:
    """The numbers of the runs and faults that are needed for a seed to go wrong."""
    return shrink(draw(seed), lambda scenario: bool(simulate(scenario, plant=PLANTS[plant])))


def _first(lots: Iterable[tuple[range, Failure | None]], progress: Callable[[int], None]) -> Failure | None:
    done = 0
    for lot, failure in lots:
        if failure is not None:
            return failure
        done += len(lot)
        progress(done)
    return None
