"""The device that a CNN node stands for: classifies pictures, and trains models meanwhile. Called by the Adaptor."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from Services.ComputationalNodes.CNN.Node import dataset, loaded_models, training
from Services.ComputationalNodes.CNN.Node.batching import Check
from Services.ComputationalNodes.CNN.Node.models import DEFAULT, Model, Models
from Services.ComputationalNodes.CNN.Node.trainer import Progress, Training
from Services.fractos.errors import FailedPreconditionError, FractosError, InvalidArgumentError

if TYPE_CHECKING:
    from Services.ComputationalNodes.CNN.Node.prediction import Answer

log = logging.getLogger(__name__)

LOOK_S = 1.0  # how often it looks whether another process has trained a model anew
THRESHOLD = 0.5  # from this probability of the second class on, it is the answer


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


class Device:
    """Models in one folder, in memory as they are used. Safe in several threads."""

    def __init__(self, models: Path, training_data: Path) -> None:
        """`models` is where models are kept, `training_data` the data set that is trained with if no other is given."""
        self._folder = models
        self._training_data = training_data
        self._models = Models(models)
        self._loaded = loaded_models.LoadedModels(self._models)
        self._training_lock = threading.Lock()
        self._training: Training | None = None
        self._stopped = threading.Event()

    def start(self) -> None:
        """Import TensorFlow, then load the default model if there is one. Takes some seconds.

        Removes what trainings left that were killed.
        """
        self._sweep()
        loaded_models.tensorflow()  # not at the first prediction: it holds the interpreter for seconds, and peers want answers
        self._load_early(DEFAULT)
        threading.Thread(target=self._look, name="models", daemon=True).start()

    def stop(self) -> None:
        """End a training that is running."""
        self._stopped.set()
        if self._training is not None:
            self.cancel_training(self._training.model)

    def predict(self, image: NDArray[Any], name: str = DEFAULT, check: Check = lambda: None) -> Prediction:
        """Name the class of a picture, (height, width, 3) uint8 in RGB, of the size that the model was trained for.

        Calls in several threads are computed together. One of them ends with what `check` raises, and leaves the others alone.
        Raises FailedPreconditionError while there is no such model, InvalidArgumentError if the image has another shape or
        type, DataLossError if the model's files are damaged.
        """
        model, answer = self._ask(image, name, check)
        second = answer.probability
        if second >= THRESHOLD:
            return Prediction(model.classes[1], second)
        return Prediction(model.classes[0], 1 - second)

    def embed(self, image: NDArray[Any], name: str = DEFAULT, check: Check = lambda: None) -> NDArray[np.float32]:
        """What the network makes of a picture before it decides: (n,) float32 of length 1.

        Raises as `predict` does, and FailedPreconditionError if the model is too old for that.
        """
        _, answer = self._ask(image, name, check)
        if answer.embedding is None:
            raise FailedPreconditionError(
                f"model {name!r} was saved by an earlier version, which had no embeddings; train it again"
            )
        return answer.embedding

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

    def _ask(self, image: NDArray[Any], name: str, check: Check) -> tuple[Model, Answer]:
        model, network = self._loaded.use(name)
        shape = (model.height, model.width, 3)
        if image.shape != shape or image.dtype != np.uint8:
            raise InvalidArgumentError(
                f"image is {image.shape} {image.dtype}, but model {name!r} takes {shape} uint8:"
                f" read the picture with width={shape[1]}, height={shape[0]}",
                field="image",
            )
        return model, network.call(image, check)

    def _look(self) -> None:
        said = ""
        while not self._stopped.wait(LOOK_S):
            try:
                self._loaded.look()
                said = ""
            except Exception as error:  # the next look may succeed; what goes on failing is said once
                if repr(error) != said:
                    log.exception("could not look for newer models")
                said = repr(error)

    def _load_early(self, name: str) -> None:
        """Spare the first prediction the time to load. What is wrong with the model, a prediction says."""
        try:
            if self._models.find(name):
                self._loaded.load(name)
        except FractosError as error:
            log.warning("could not load model %s: %s", name, error)
