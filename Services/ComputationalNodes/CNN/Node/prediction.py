"""A trained network, ready to answer. Loads what `network.py` saved, without Keras. Needs TensorFlow.

Imported by the Device when it starts, since TensorFlow takes seconds and half a gigabyte.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from Services.fractos.errors import DataLossError


class Network:
    """One network in memory."""

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        """Load the network in `folder` and call it once, since the first call takes ten times as long.

        `shape` is that of the pictures it takes. Raises DataLossError if the folder is incomplete or damaged.
        """
        try:
            self._module = tf.saved_model.load(str(folder))  # holds the weights, which the function only refers to
            self._predict = self._module.signatures["serving_default"]
            self.probability(np.zeros(shape, np.uint8))
        except (OSError, ValueError, TypeError, LookupError, tf.errors.OpError) as error:
            raise DataLossError(f"the network in {folder} is damaged ({error}); train the model again") from error

    def probability(self, image: NDArray[np.uint8]) -> float:
        """The probability, 0 to 1, that an image is of the second class. Safe in several threads."""
        return float(self._predict(tf.constant(image[np.newaxis]))["probability"][0])
