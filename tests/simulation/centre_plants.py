"""Defects of the centre of stars, planted like those of `plants.py`, which lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from Services.fractos.events import Effect, FreeMemory
from Services.fractos.run import Run
from Services.fractos.runs import Runs
from tests.simulation.memory_plants import replaced


def gather_across_attempts(runs: Runs) -> None:
    def send(original: Callable[..., None], run: Run, now: float) -> None:
        gathered = run.gathered
        original(run, now)
        run.gathered = gathered

    replaced(runs._attempts, "send", send)


def wait_for_one_of_all(runs: Runs) -> None:
    """Send a step as soon as the first of its arguments has come."""

    def take(original: Callable[..., None], run: Run, *rest: Any) -> None:
        run.plan = replace(run.plan, needs=dict.fromkeys(run.plan.needs, 1))
        original(run, *rest)

    replaced(runs._centre, "take", take)


def keep_what_was_brought(runs: Runs) -> None:
    def emit(original: Callable[..., None], effect: Effect) -> None:
        if not isinstance(effect, FreeMemory):
            original(effect)

    replaced(runs, "_emit", emit)


def ignore_departures(runs: Runs) -> None:
    runs._repeat_at = lambda member, trouble, now: None  # type: ignore[method-assign]
