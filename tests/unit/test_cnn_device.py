"""Answers and the models in memory, with networks that are a number in a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest

from Services.ComputationalNodes.CNN.Node import device as device_module
from Services.ComputationalNodes.CNN.Node import loaded_models
from Services.ComputationalNodes.CNN.Node.device import Device
from Services.ComputationalNodes.CNN.Node.loaded_models import MAX_LOADED
from Services.ComputationalNodes.CNN.Node.models import Model, Models
from Services.fractos.errors import DataLossError, FailedPreconditionError, InvalidArgumentError, RunCancelledError
from tests.waiting import TIMEOUT_S, until

OLD = 0.75  # the probability that a network gives which was saved before there were embeddings
IMAGE = np.zeros((8, 16, 3), np.uint8)
MODEL = Model(("Cat", "Dog"), 16, 8, 1.0, 0.0, 80, 20, (), 0, network="")


class Answer(NamedTuple):
    """What such a network gives."""

    probability: float
    embedding: np.ndarray[Any, Any] | None


class NumberNetwork:
    """Stands for a TensorFlow network: always gives the probability that its file holds."""

    loaded: ClassVar[list[str]] = []
    may_load: ClassVar[threading.Event] = threading.Event()

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        try:
            self._probability = float((folder / "probability").read_text())
        except OSError as error:
            raise DataLossError(f"{folder} is damaged") from error
        self.loaded.append(f"{self._probability} {shape}")
        self.may_load.wait(TIMEOUT_S)

    def answer(self, images: Sequence[np.ndarray[Any, Any]]) -> list[Answer]:
        embedding = None if self._probability == OLD else np.array([image[0, 0, 0] for image in images], np.float32)
        return [Answer(self._probability, embedding) for _ in images]


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Device]:
    """A Device without models."""
    NumberNetwork.loaded.clear()
    NumberNetwork.may_load.set()
    monkeypatch.setattr(loaded_models, "tensorflow", lambda: SimpleNamespace(Network=NumberNetwork, SIZES=(1, 2, 4)))
    started = Device(tmp_path, tmp_path / "TrainingData")
    yield started
    started.stop()


def publish(folder: Path, probability: float, name: str = "default") -> Path:
    models = Models(folder)
    with models.unfinished(name) as unfinished:
        (unfinished / "network").mkdir()
        (unfinished / "network" / "probability").write_text(str(probability))
        return models.network(name, models.publish(name, unfinished / "network", MODEL))


@pytest.mark.parametrize(
    ("second", "label", "probability"), [(0.9, "Dog", 0.9), (0.5, "Dog", 0.5), (0.49, "Cat", 0.51), (0.0, "Cat", 1.0)]
)
def test_the_label_and_its_own_probability(
    device: Device, tmp_path: Path, second: float, label: str, probability: float
) -> None:
    publish(tmp_path, second)
    answer = device.predict(IMAGE)
    assert answer.label == label
    assert answer.probability == pytest.approx(probability)


@pytest.mark.parametrize("array", [np.zeros((16, 8, 3), np.uint8), np.zeros((8, 16, 3), np.int64), np.zeros((8, 16), np.uint8)])
def test_another_shape_or_type_is_refused_and_both_are_named(
    device: Device, tmp_path: Path, array: np.ndarray[Any, Any]
) -> None:
    publish(tmp_path, 0.9)
    with pytest.raises(InvalidArgumentError) as caught:
        device.predict(array)
    assert f"image is {array.shape} {array.dtype}, but model 'default' takes (8, 16, 3) uint8" in caught.value.message
    assert "width=16, height=8" in caught.value.message


def test_a_model_is_loaded_once_and_serves_until_a_newer_one_is_ready(device: Device, tmp_path: Path) -> None:
    publish(tmp_path, 0.9)
    device.start()
    assert [device.predict(IMAGE).label for _ in range(3)] == ["Dog"] * 3
    NumberNetwork.may_load.clear()
    publish(tmp_path, 0.1)
    assert device.predict(IMAGE).label == "Dog"
    until(lambda: len(NumberNetwork.loaded) == 2)
    assert [device.predict(IMAGE).label for _ in range(3)] == ["Dog"] * 3
    NumberNetwork.may_load.set()
    until(lambda: device.predict(IMAGE).label == "Cat")
    assert [device.predict(IMAGE).label for _ in range(3)] == ["Cat"] * 3
    assert NumberNetwork.loaded == ["0.9 (8, 16, 3)", "0.1 (8, 16, 3)"]


def test_a_newer_model_is_loaded_before_anybody_asks(device: Device, tmp_path: Path) -> None:
    publish(tmp_path, 0.9)
    device.start()
    publish(tmp_path, 0.1)
    until(lambda: len(NumberNetwork.loaded) == 2)
    until(lambda: device._loaded._loaded["default"].model == device.describe().model)
    assert device.predict(IMAGE).label == "Cat"


def test_a_newer_model_that_is_damaged_is_told_of(device: Device, tmp_path: Path) -> None:
    publish(tmp_path, 0.9)
    device.predict(IMAGE)
    (publish(tmp_path, 0.1) / "probability").unlink()

    def is_damaged() -> bool:
        try:
            device.predict(IMAGE)
        except DataLossError:
            return True
        return False

    until(is_damaged)
    with pytest.raises(DataLossError, match="is damaged"):
        device.predict(IMAGE)


def test_a_vector_from_models_that_give_one(device: Device, tmp_path: Path) -> None:
    publish(tmp_path, 0.9)
    assert device.embed(IMAGE + np.uint8(7)).tolist() == [7.0]
    publish(tmp_path, OLD, "old")
    assert device.predict(IMAGE, "old").label == "Dog"
    with pytest.raises(FailedPreconditionError, match=r"model 'old' was saved by an earlier version.*train it again"):
        device.embed(IMAGE, "old")


def test_a_call_that_nobody_wants_any_more_ends_as_it_is_told(device: Device, tmp_path: Path) -> None:
    def check() -> None:
        raise RunCancelledError("stopped")

    publish(tmp_path, 0.9)
    with pytest.raises(RunCancelledError, match="stopped"):
        device.predict(IMAGE, check=check)
    with pytest.raises(RunCancelledError, match="stopped"):
        device.embed(IMAGE, check=check)


def test_what_a_killed_training_left_is_removed_at_the_start_and_what_goes_on_is_not(device: Device, tmp_path: Path) -> None:
    (tmp_path / ".default-unfinished-x").mkdir()
    with Models(tmp_path).unfinished("birds") as goes_on:
        device.start()
        assert goes_on.exists()
        assert not (tmp_path / ".default-unfinished-x").exists()


def test_a_model_that_was_removed_is_gone(device: Device, tmp_path: Path) -> None:
    publish(tmp_path, 0.9)
    device.predict(IMAGE)
    (tmp_path / "default/model.json").unlink()
    with pytest.raises(FailedPreconditionError):
        device.predict(IMAGE)


def test_a_damaged_network_fails_the_prediction_and_not_the_start(device: Device, tmp_path: Path) -> None:
    (publish(tmp_path, 0.9) / "probability").unlink()
    device.start()
    with pytest.raises(DataLossError, match="is damaged"):
        device.predict(IMAGE)


def test_a_look_for_newer_models_that_fails_is_not_the_last_one(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[str] = []
    look = device._loaded.look

    def fail_at_first() -> None:
        looks.append("")
        if len(looks) <= 2:
            raise OSError("the disk is slow")
        look()

    monkeypatch.setattr(device_module, "LOOK_S", 0.01)
    monkeypatch.setattr(device._loaded, "look", fail_at_first)
    publish(tmp_path, 0.9)
    device.start()
    publish(tmp_path, 0.1)
    until(lambda: len(NumberNetwork.loaded) == 2)
    assert caplog.text.count("could not look for newer models") == 1
    assert "the disk is slow" in caplog.text


def test_the_model_unused_for_longest_makes_room(device: Device, tmp_path: Path) -> None:
    names = [f"model-{number}" for number in range(MAX_LOADED)]
    for name in [*names, "one-more"]:
        publish(tmp_path, 0.9, name)
    for name in [*names, names[0], "one-more", names[0]]:
        device.predict(IMAGE, name)
    assert len(NumberNetwork.loaded) == MAX_LOADED + 1
    device.predict(IMAGE, names[1])
    assert len(NumberNetwork.loaded) == MAX_LOADED + 2
    assert device.describe(names[1]).models == [*names, "one-more"]
