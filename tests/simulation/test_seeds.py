"""The simulator on many seeds, and on defects that were planted to see that it finds them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from Services.fractos.config import CODE_ROOT
from tests.simulation.__main__ import main
from tests.simulation.plants import NO_PLANT, PLANTS, Plant
from tests.simulation.runner import first_failure
from tests.simulation.scenario import draw
from tests.simulation.shrinking import shrink
from tests.simulation.simulation import simulate

SEEDS = range(1000)
PLANTED = [plant for plant in PLANTS.values() if plant is not NO_PLANT]


def test_no_seed_breaks_a_promise() -> None:
    failure = first_failure(SEEDS, jobs=2)
    assert failure is None, f"{failure}; to see more: python -m tests.simulation --seed {failure.seed}"


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.name)
def test_a_planted_defect_is_found(plant: Plant) -> None:
    scenario = draw(plant.seed)
    again = f"the seed no longer fits; to find one: python -m tests.simulation --plant {plant.name} --seeds 0:5000"
    assert simulate(scenario, plant=plant), again
    assert not simulate(scenario)


def test_a_failing_seed_is_told_with_the_shortest_schedule_and_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    plant = PLANTS["skip-redo-recovery"]
    assert main(["--seed", str(plant.seed), "--plant", plant.name]) == 1
    *_, replay = capsys.readouterr().out.splitlines()
    assert replay.startswith("To replay it: python -m tests.simulation ")
    arguments = replay.partition("tests.simulation ")[2].split()
    kept = arguments[arguments.index("--keep") + 1].split(",")
    assert 2 <= len(kept) < len(draw(plant.seed).numbers)
    assert main(arguments) == 1
    story = capsys.readouterr().out
    assert "records: run" in story
    assert "VIOLATED" in story


def test_shrinking_keeps_what_is_needed_and_nothing_else() -> None:
    scenario = draw(next(seed for seed in range(100) if len(draw(seed).numbers) > 20))
    needed = {3, 4, 17}
    assert set(shrink(scenario, lambda shorter: needed <= set(shorter.numbers))) == needed


def story(seed: int, hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--story"]
    return subprocess.run(command, cwd=CODE_ROOT, env=environment, capture_output=True, text=True, check=True).stdout


def test_the_same_seed_is_the_same_history_in_any_process() -> None:
    assert story(7, "1") == story(7, "2")
    assert story(7, "1") != story(8, "1")
