"""The device that a CNN node stands for: classifies pictures, and trains models meanwhile. Called by the Adaptor."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from Services.ComputationalNodes.CNN.Node import dataset, training
from Services.ComputationalNodes.CNN.Node.models import DEFAULT, Model, Models
from Services.ComputationalNodes.CNN.Node.trainer import Progress, Training
from Services.fractos.errors import DataLossError, FailedPreconditionError, FractosError, InvalidArgumentError

if TYPE_CHECKING:
    from types import ModuleType

    from Services.ComputationalNodes.CNN.Node.prediction import Network

log = logging.getLogger(__name__)

THRESHOLD = 0.5  # from this probability of the second class on, it is the answer
MAX_LOADED = 8  # models in memory, some 30 MB each; the one not used for longest gives way


@dataclass(frozen=True)
class Prediction:
    """The class of a picture."""

    label: str
    probability: float  # of that class, 0.5 to 1


@dataclass(frozen=True)
class Description:
    """What is known of the model of one name."""

    model: Model | None  # None: there is no complete one
    training: Progress | None  # the last training that this Device started, if it was of that model
    models: list[str]  # the names of all complete models
    figures: list[str]  # paths of pictures of the training of the model, as PNG files


@dataclass(frozen=True)
class _Loaded:
    model: Model
    network: Network


class Device:
    """Models in one folder, in memory as they are used. Safe in several threads."""

    def __init__(self, models: Path, training_data: Path) -> None:
        """`models` is where models are kept, `training_data` the data set that is trained with if no other is given."""
        self._folder = models
        self._training_data = training_data
        self._models = Models(models)
        self._lock = threading.Lock()
        self._loaded: dict[str, _Loaded] = {}  # the one used last is last
        self._training_lock = threading.Lock()
        self._training: Training | None = None

    def start(self) -> None:
        """Import TensorFlow, then load the default model if there is one. Takes some seconds.

        Removes what trainings left that were killed.
        """
        self._sweep()
        _prediction()  # not at the first prediction: it holds the interpreter for seconds, and a node must answer its peers
        self._load_early(DEFAULT)

    def stop(self) -> None:
        """End a training that is running."""
        if self._training is not None:
            self.cancel_training(self._training.model)

    def predict(self, image: NDArray[Any], name: str = DEFAULT) -> Prediction:
        """Name the class of a picture, (height, width, 3) uint8 in RGB, of the size that the model was trained for.

        Raises FailedPreconditionError while there is no such model, InvalidArgumentError if the image has another shape or
        type, DataLossError if the model's files are damaged.
        """
        loaded = self._use(name)
        shape = (loaded.model.height, loaded.model.width, 3)
        if image.shape != shape or image.dtype != np.uint8:
            raise InvalidArgumentError(
                f"image is {image.shape} {image.dtype}, but model {name!r} takes {shape} uint8:"
                f" read the picture with width={shape[1]}, height={shape[0]}",
                field="image",
            )
        second = loaded.network.probability(image)
        if second >= THRESHOLD:
            return Prediction(loaded.model.classes[1], second)
        return Prediction(loaded.model.classes[0], 1 - second)

    def train(
        self,
        folder: Path | None = None,
        name: str = DEFAULT,
        epochs: int = training.EPOCHS,
        seed: int = 0,
    ) -> None:
        """Start to train a model on the data set in `folder` and return; `describe` shows the progress.

        The model of that name that exists serves until the new one is complete. Raises InvalidArgumentError if an argument is
        out of bounds or the data set has not two classes, FailedPreconditionError if it has too few pictures, is badly
        unbalanced, or while another training runs.
        """
        options = training.Options(folder or self._training_data, self._folder, name, epochs, seed)
        options.check()
        if not options.dataset.is_absolute():
            raise InvalidArgumentError(
                f"dataset is {str(folder)!r}; give the absolute path of a folder or zip file on this node's host",
                field="dataset",
            )
        with self._training_lock:
            if self._training is not None and self._training.running:
                raise FailedPreconditionError(
                    f"this node is training model {self._training.model!r}; wait until it has ended, or cancel it first"
                )
            dataset.scan(options.dataset)
            self._training = Training(options, lambda: self._load_early(name))

    def cancel_training(self, name: str = DEFAULT) -> bool:
        """Stop the training of a model and wait until it has ended. Returns False if it was not being trained."""
        last = self._training
        cancelled = last is not None and last.model == name and last.running and last.cancel()
        if cancelled:
            self._models.sweep(name)
        return cancelled

    def describe(self, name: str = DEFAULT) -> Description:
        """Tell what is known of a model. Raises InvalidArgumentError for a name that cannot be one."""
        last = self._training
        progress = last.progress if last is not None and last.model == name else None
        return Description(self._models.find(name), progress, self._models.names(), self._models.figures(name))

    def _sweep(self) -> None:
        try:
            self._models.sweep_all()
        except (FractosError, OSError) as error:
            log.warning("could not remove what a killed training left: %s", error)

    def _use(self, name: str) -> _Loaded:
        """The model of that name as it is on disk by now, from memory if it is there."""
        with self._lock:
            loaded = self._loaded.pop(name, None)
            model = self._models.find(name)
            if loaded is None or loaded.model != model:
                loaded = self._load(name, model)
            self._loaded[name] = loaded
            if len(self._loaded) > MAX_LOADED:
                del self._loaded[next(iter(self._loaded))]
        return loaded

    def _load(self, name: str, model: Model | None) -> _Loaded:
        if model is None:
            flag = "" if name == DEFAULT else f" --model {name}"
            raise FailedPreconditionError(
                f"there is no model {name!r}; train it with `python3 run_datacenter.py train --dataset FOLDER{flag}`"
            )
        try:
            return _Loaded(model, _prediction().Network(self._models.network(name, model), (model.height, model.width, 3)))
        except DataLossError:
            newer = self._models.find(name)
            if newer == model:
                raise
            return self._load(name, newer)  # it was replaced while it was being read

    def _load_early(self, name: str) -> None:
        """Spare the first prediction the time to load. What is wrong with the model, a prediction says."""
        try:
            if self._models.find(name):
                self._use(name)
        except FractosError as error:
            log.warning("could not load model %s: %s", name, error)


def _prediction() -> ModuleType:
    """`prediction.py`, and with it TensorFlow: the rest of the Device does without."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from Services.ComputationalNodes.CNN.Node import prediction  # noqa: PLC0415

    return prediction
