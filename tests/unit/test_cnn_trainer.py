"""How a training ends, as the Device sees it: a state that says so, whatever goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from Services.ComputationalNodes.CNN.Node import trainer
from Services.ComputationalNodes.CNN.Node.trainer import State, Training
from Services.ComputationalNodes.CNN.Node.training import Options
from tests.waiting import until


@pytest.fixture(autouse=True)
def program(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that prints what it is told to."""
    monkeypatch.setattr(trainer, "MODULE", "tests.unit.training_program")


def ended(folder: Path, prints: str, when_complete: Callable[[], None] = lambda: None) -> Training:
    said = folder / "said"
    said.write_text(prints)
    training = Training(Options(said, folder, epochs=3), when_complete)
    until(lambda: not training.running)
    return training


def fail() -> None:
    raise MemoryError("no room for the model")


def test_a_training_that_is_done_is_complete(tmp_path: Path) -> None:
    told: list[str] = []
    training = ended(tmp_path, '{"event": "epoch", "epoch": 2}\n{"event": "done"}', lambda: told.append("complete"))
    assert training.progress.state is State.COMPLETE
    assert (training.progress.epoch, told) == (2, ["complete"])


@pytest.mark.parametrize(
    ("prints", "says"),
    [
        ('{"event": "done"}', "MemoryError: no room for the model"),
        ('{"event": "epoch", "speed": 2}', "TypeError: .*speed"),
        ('{"event": "error", "message": "a bad picture"}', "a bad picture"),
        ("nothing", "the process of the training ended with code 0"),
    ],
)
def test_a_training_of_which_anything_fails_has_failed_and_says_why(tmp_path: Path, prints: str, says: str) -> None:
    training = ended(tmp_path, prints, fail)
    assert training.progress.state is State.FAILED
    assert re.match(says, training.progress.error)
    assert not training.cancel()
