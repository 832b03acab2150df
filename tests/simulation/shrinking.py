"""Finds the shortest part of a scenario that still goes wrong: runs and faults are left out one by one, as long as it does."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.scenario import Scenario


def shrink(scenario: Scenario, goes_wrong: Callable[[Scenario], bool]) -> list[int]:
    """The numbers of the runs and faults to keep of a scenario that goes wrong. Ends when nothing more can be left out."""
    kept = scenario.numbers
    size = len(kept) // 2
    while size:
        kept, shorter = _without_some(scenario, kept, size, goes_wrong)
        if not shorter or size > len(kept):
            size //= 2
    return kept


def _without_some(
    scenario: Scenario, kept: list[int], size: int, goes_wrong: Callable[[Scenario], bool]
) -> tuple[list[int], bool]:
    """Leave out every `size` neighbours that can be. Returns what is left and whether that is less."""
    shorter = False
    for start in reversed(range(0, len(kept), size)):
        fewer = kept[:start] + kept[start + size :]
        if fewer and goes_wrong(scenario.keeping(fewer)):
            kept, shorter = fewer, True
    return kept, shorter
