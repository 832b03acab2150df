"""What the launcher tells of models and of a training, from the files and events of the CNN node."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from Services.ComputationalNodes.CNN.Node.models import Model, Models
from Services.datacenter import layout, training
from Services.datacenter.command_line import parse
from Services.datacenter.commands import Task, _status
from Services.datacenter.models import read_models
from Services.datacenter.screen import Screen
from Services.fractos.config import Configuration, load
from Services.fractos.errors import FailedPreconditionError

MODEL = Model(("Cat", "[b]Dog"), 128, 128, 0.975, 0.0612, 1600, 400, ("Cat/7.jpg",), 1, network="")


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    """A datacenter that never ran, of one CNN node."""
    (tmp_path / "data_center_setup.cfg").write_text(
        "[DataCenter]\n[Controllers]\ncontroller_names = cnn_controller\n"
        "[cnn_controller]\npaths_to_controller = node.py\nzookeeper = False\n"
    )
    (tmp_path / "node.py").touch()
    return load(tmp_path)


@pytest.fixture
def folder(configuration: Configuration) -> Path:
    """Two models as trainings leave them, one that is damaged and one that is not finished."""
    folder = layout.models(configuration)
    for name in ("default", "birds"):
        with Models(folder).unfinished(name) as unfinished:
            (unfinished / "network").mkdir()
            Models(folder).publish(name, unfinished / "network", MODEL)
    for name in ("damaged", ".unfinished"):
        (folder / name).mkdir()
        (folder / name / "model.json").write_text('{"classes": 3}')
    return folder


def test_the_models_of_a_folder(folder: Path) -> None:
    birds, default = read_models(folder)
    assert (birds.model, default.model) == ("birds", "default")
    assert default.folder == str(folder / "default")
    known = dataclasses.asdict(MODEL)
    figures = [name for name in dataclasses.asdict(default) if name not in {"model", "folder"}]
    assert {name: getattr(default, name) for name in figures} == {name: known[name] for name in figures}
    assert read_models(folder / "nowhere") == []


@pytest.mark.usefixtures("folder")
def test_status_shows_the_models(configuration: Configuration, capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(Task(parse(["status"], configuration.root), configuration.root, Screen())) == 1
    shown = capsys.readouterr().out
    assert "default  Cat, [b]Dog  97.5%     0.061  400       1,600         1" in shown
    assert max(map(len, shown.split("model  ")[1].partition("not ready")[0].splitlines())) <= 80


@pytest.mark.usefixtures("folder")
def test_status_lists_the_models_for_programs(configuration: Configuration, capsys: pytest.CaptureFixture[str]) -> None:
    _status(Task(parse(["status", "--json"], configuration.root), configuration.root, Screen()))
    known = json.loads(capsys.readouterr().out)
    assert list(known) == ["nodes", "zookeeper", "supervisor", "models"]
    assert [(model["model"], model["validation_accuracy"]) for model in known["models"]] == [
        ("birds", 0.975),
        ("default", 0.975),
    ]


def test_a_datacenter_without_models_shows_none(configuration: Configuration, capsys: pytest.CaptureFixture[str]) -> None:
    _status(Task(parse(["status"], configuration.root), configuration.root, Screen()))
    assert "model" not in capsys.readouterr().out


def play(monkeypatch: pytest.MonkeyPatch, *events: dict[str, Any], failing: bool = False) -> None:
    """Let a training print these events."""

    def run(module: str, arguments: list[str], environment: Any, each_line: Any) -> None:
        for event in events:
            each_line(json.dumps(event) + "\n")
        each_line("a message of TensorFlow\n")
        if failing:
            raise FailedPreconditionError("the process ended with exit code 1")

    monkeypatch.setattr(training, "run_module", run)


def test_a_training_is_told_line_by_line(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"accuracy": 0.5, "loss": 0.7, "validation_accuracy": 0.6, "validation_loss": 0.69}
    play(
        monkeypatch,
        *({"event": "reading", "read": read, "pictures": 2000} for read in (*range(128, 2000, 128), 2000)),
        {"event": "skipped", "skipped_by_reason": [{"reason": "empty", "files": 7, "names": ["Cat/1.jpg", "Cat/2.jpg"]}]},
        {"event": "batch", "batch": 3, "batches": 9},
        {"event": "epoch", "epoch": 1, "epochs": 15, **figures},
        {"event": "done", **dataclasses.asdict(MODEL), "figures": ["/models/default/curves.png"]},
    )
    training.train(configuration, Path("/pets.zip"), "default", Screen(), {})
    lines = capsys.readouterr().out.splitlines()
    read = [line for line in lines if line.endswith("files read")]
    assert len(read) == training.READING_STEPS
    assert read[-1] == "training model 'default': 2000/2000 files read"
    assert lines[-4:] == [
        "skipped 7, empty: Cat/1.jpg, Cat/2.jpg, ...",
        "training model 'default': 1/15 epochs, accuracy 50.0%, validation accuracy 60.0%",
        "model 'default' (Cat, [b]Dog): validation accuracy 97.5%, loss 0.061, on 400 pictures held out from the training",
        "see /models/default/curves.png",
    ]


def test_a_training_that_fails_says_why(configuration: Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, {"event": "error", "status": "DATA_LOSS", "message": "the zip is cut off"}, failing=True)
    with pytest.raises(FailedPreconditionError, match="model 'default' could not be trained: the zip is cut off"):
        training.train(configuration, Path("/pets.zip"), "default", Screen(), {})
