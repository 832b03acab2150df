"""A few of the cycles of cycles.py; many are run by hand."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from tests.cluster.conftest import zookeeper_or_skip
from tests.cluster.cycles import Cycles, cleaned_up


@pytest.mark.parametrize(("directory", "count"), [("files", 2), ("zookeeper", 1)])
def test_random_kills_leave_nothing_behind_and_no_start_fails(tmp_path: Path, directory: str, count: int) -> None:
    if directory == "zookeeper":
        zookeeper_or_skip()
    with cleaned_up(tmp_path):
        cycles = Cycles(tmp_path, directory, Random(20))
        for _ in range(count):
            cycles.cycle()
    assert cycles.done["cycles"] == count
