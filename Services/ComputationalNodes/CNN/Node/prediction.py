"""A trained network, ready to answer. Loads what `network.py` saved, without Keras. Needs TensorFlow.

Imported by the Device when it starts, since TensorFlow takes seconds and half a gigabyte.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from Services.fractos.errors import DataLossError

# TensorFlow imports Keras, and that matplotlib, where it finds them: a quarter of its time, and 50 MB that serving never uses.
sys.modules.setdefault("keras", None)  # type: ignore[arg-type]
import tensorflow as tf  # noqa: E402

if sys.modules["keras"] is None:
    del sys.modules["keras"]  # whoever wants it may have it from now on

SIZES = (1, 2, 4, 8, 16, 32)  # of batches; one in between is filled up. The last two take some 33 MiB each to compute in


class Answer(NamedTuple):
    """What a network makes of one picture."""

    probability: float  # 0 to 1, that it is of the second class
    embedding: NDArray[np.float32] | None  # (n,), of length 1; None: the network was saved before there were any


class Network:
    """One network in memory."""

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        """Load the network in `folder`, compile it for each size of batch and call it, since a first call takes long.

        `shape` is that of the pictures it takes. Raises DataLossError if the folder is incomplete or damaged.
        """
        try:
            self._module = tf.saved_model.load(str(folder))  # holds the weights, which the functions only refer to
            saved = self._module.signatures["serving_default"]
            self._functions = {size: _compiled(saved, (size, *shape)) for size in SIZES}
            for size in SIZES:
                self.answer([np.zeros(shape, np.uint8)] * size)
        except (OSError, ValueError, TypeError, LookupError, tf.errors.OpError) as error:
            raise DataLossError(f"the network in {folder} is damaged ({error}); train the model again") from error

    def answer(self, images: Sequence[NDArray[np.uint8]]) -> list[Answer]:
        """An answer for each of 1 to 32 pictures, each the same whatever the others are. Safe in several threads."""
        size = next(size for size in SIZES if size >= len(images))
        filling = [images[0]] * (size - len(images))
        found = self._functions[size](tf.constant(np.stack([*images, *filling])))
        probabilities = found["probability"].numpy().tolist()
        embeddings = found["embedding"].numpy() if "embedding" in found else [None] * size
        return [Answer(*both) for both in zip(probabilities, embeddings, strict=True)][: len(images)]


def _compiled(saved: tf.types.experimental.ConcreteFunction, shape: tuple[int, ...]) -> tf.types.experimental.ConcreteFunction:
    """The saved function for pictures of one shape (n, height, width, 3): a fifth faster than for any n."""
    takes = [tf.TensorSpec(shape, tf.uint8)]
    return tf.function(saved, input_signature=takes, autograph=False).get_concrete_function()
