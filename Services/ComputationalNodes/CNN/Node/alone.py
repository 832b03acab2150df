"""A prediction without a datacenter, in one process: what those with it are measured beside.

    python3 -m Services.ComputationalNodes.CNN.Node.alone draw FILE WIDTH HEIGHT
    python3 -m Services.ComputationalNodes.CNN.Node.alone predict MODELS PICTURE TARGET

`draw` writes a JPEG file. `predict` prints "ready"; then, for each number that it reads from standard input, it does so many
predictions and prints how many milliseconds each took: the picture read and decoded at the size that the default model takes,
its class named, and the label written to TARGET and to the disk. It ends with its input. Run by `bench image`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from Services import pictures
from Services.ComputationalNodes.CNN.Node import loaded_models
from Services.ComputationalNodes.CNN.Node.device import THRESHOLD
from Services.ComputationalNodes.CNN.Node.models import DEFAULT, Models
from Services.ComputationalNodes.CNN.Node.samples import draw_picture
from Services.fractos.errors import FailedPreconditionError

QUALITY = 90  # of the JPEG file


def draw(file: Path, width: int, height: int) -> None:
    """Draw a cat and write it as a JPEG file of that size, in pixels."""
    draw_picture("Cat", Random("alone")).resize((width, height)).save(file, format="JPEG", quality=QUALITY)


class Predictor:
    """A network in memory, without what a Device has around it, and the files that it works on."""

    def __init__(self, models: Path, picture: Path, target: Path) -> None:
        """Load TensorFlow and the default model. Raises FailedPreconditionError if there is none."""
        found = Models(models)
        model = found.find(DEFAULT)
        if model is None:
            raise FailedPreconditionError(f"there is no model {DEFAULT!r} in {models}")
        self._network = loaded_models.tensorflow().Network(found.network(DEFAULT, model), (model.height, model.width, 3))
        self._model = model
        self._picture = picture
        self._target = target

    def predict(self) -> None:
        """Read, decode, name, write."""
        size = self._model.width, self._model.height
        image = pictures.decode(self._picture.read_bytes(), *size, source=str(self._picture))
        label = self.label(np.asarray(image))
        with self._target.open("w", encoding="utf-8") as file:
            file.write(label)
            file.flush()
            os.fsync(file.fileno())

    def label(self, image: NDArray[np.uint8]) -> str:
        """The class of a picture, (height, width, 3)."""
        return self._model.classes[self._network.answer([image])[0].probability >= THRESHOLD]


def main(arguments: list[str]) -> None:
    """Draw, or wait to be asked for predictions."""
    if arguments[0] == "draw":
        draw(Path(arguments[1]), int(arguments[2]), int(arguments[3]))
        return
    predictor = Predictor(*map(Path, arguments[1:4]))
    print("ready", flush=True)
    for line in sys.stdin:
        durations = []
        for _ in range(int(line)):
            began = time.perf_counter()
            predictor.predict()
            durations.append((time.perf_counter() - began) * 1e3)
        print(*durations, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
