"""How many ended runs an application node remembers itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from Services.fractos.ended_runs import BYTES_KEPT, KEPT, EndedRuns
from Services.fractos.graph import default_catalogue
from Services.fractos.plan import make_plan
from Services.fractos.run import Run
from tests.unit.test_runs import power

PLAN = make_plan(power().serialized(), default_catalogue())


@pytest.mark.parametrize(
    ("result_bytes", "outline_bytes", "kept"),
    [
        (0, 0, KEPT),
        (BYTES_KEPT // 4, 0, 4),
        (0, BYTES_KEPT // 4, 4),
        (BYTES_KEPT // 8, BYTES_KEPT // 8, 4),
        (BYTES_KEPT * 2, 0, 1),
    ],
)
def test_as_many_as_fit_are_kept_with_their_results_and_outlines(result_bytes: int, outline_bytes: int, kept: int) -> None:
    plan = replace(PLAN, outline=bytes(outline_bytes))
    ended = EndedRuns()
    for number in range(KEPT + 9):
        ended.add(Run(number.to_bytes(16, "big"), plan, 0.0, 0.0, result_bytes=result_bytes))
    assert [run.run_id[-2:] for run in ended.newest_first()] == [
        number.to_bytes(2, "big") for number in range(KEPT + 8, KEPT + 8 - kept, -1)
    ]
