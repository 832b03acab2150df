"""The network that is trained: three pairs of convolution and pooling, a dense layer, one sigmoid. Needs TensorFlow.

Used by the training process alone. What it saves is a compiled function that `prediction.py` loads without Keras.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from numpy.typing import NDArray

from Services.ComputationalNodes.CNN.Node.dataset import Split
from Services.ComputationalNodes.CNN.Node.picture_file import SHAPE, SIDE, Pictures

BATCH = 16  # pictures; small ones learn most in a given time on a few cores
VALIDATION_BATCH = 64
SIDE_BY_SIDE = 2  # batches that are made ready at a time
PATIENCE = 4  # epochs without a lower validation loss before it stops
ENOUGH = 0.002  # of validation loss: nothing is left to learn
SPEED = 1e-3  # the first learning rate; a third of it after two epochs without a lower validation loss
TURN = 0.15  # radians to either side
ZOOM = 0.1
SHIFT = 0.06  # of the side
LIGHT = 0.15


@dataclass(frozen=True)
class Epoch:
    """How well the network did in one pass over the training pictures."""

    accuracy: float
    loss: float
    validation_accuracy: float
    validation_loss: float


def train(
    pictures: Pictures,
    split: Split,
    *,
    epochs: int,
    seed: int,
    on_batch: Callable[[int, int], None],
    on_epoch: Callable[[int, Epoch], None],
) -> tuple[keras.Model, list[Epoch]]:
    """Train a network until its validation loss no longer falls; return it as it was at its best, and all epochs.

    The validation pictures of `split` are never trained with and never altered. `on_batch(done, all)` and
    `on_epoch(done, figures)` are called as it goes; what they raise ends the training.
    """
    # The same seed trains the same network, on machines of one kind.
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    labels = pictures.labels
    network = build()
    training = _batches(pictures, labels, split.training, BATCH, seed)
    best = keras.callbacks.EarlyStopping(monitor="val_loss", patience=PATIENCE, restore_best_weights=True)
    slower = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=1 / 3, patience=2)
    progress = _Progress(math.ceil(len(split.training) / BATCH), on_batch, on_epoch)
    network.fit(
        training,
        validation_data=_batches(pictures, labels, split.validation, VALIDATION_BATCH),
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=[best, slower, progress],
    )
    return network, progress.epochs


def best_of(epochs: Sequence[Epoch]) -> Epoch:
    """The epoch whose network `train` returns."""
    return min(epochs, key=lambda epoch: epoch.validation_loss)


def probabilities(network: keras.Model, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probability of the second class for each of (n, *SHAPE) uint8: (n,) float32."""
    return np.asarray(network(images.astype(np.float32), training=False))[:, 0]


def build() -> keras.Model:
    """The untrained network: (n, *SHAPE) uint8 or float32 of 0 to 255 → (n, 1), the probability of the second class."""
    network = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    network.compile(optimizer=keras.optimizers.Adam(SPEED), loss="binary_crossentropy", metrics=["accuracy"])
    return network


def save(network: keras.Model, folder: Path) -> None:
    """Write a network as a SavedModel: one function of (n, *SHAPE) uint8, and the weights it needs.

    It gives `probability`, (n,) float32, and `embedding`, (n, m) float32: the activations before the last layer, as vectors of
    length 1 (of zeros where none is active).
    """
    both = keras.Model(network.inputs, [*network.outputs, network.layers[-2].output])

    def answer(images: Any) -> Any:
        probability, activations = both(tf.cast(images, tf.float32), training=False)
        return {"probability": probability[:, 0], "embedding": tf.math.l2_normalize(activations, axis=1)}

    module = tf.Module()
    module.weights = [variable.value for variable in network.variables]
    takes = [tf.TensorSpec((None, *SHAPE), tf.uint8, name="images")]
    tf.saved_model.save(module, str(folder), signatures=tf.function(answer, input_signature=takes))


def _batches(pictures: Pictures, labels: Any, indices: Any, size: int, seed: int | None = None) -> Any:
    """The pictures at `indices` as batches; with a `seed` in another order and altered otherwise in every epoch.

    Several batches are read and altered side by side, and handed out in their order: what chance decides depends on the seed
    and on the number of the batch, not on which thread is first.
    """

    def fetch(some: Any, their_labels: Any) -> tuple[Any, Any]:
        images = tf.numpy_function(pictures.rows, [some], tf.uint8, stateful=False)  # else one at a time, for determinism
        return tf.ensure_shape(images, (None, *SHAPE)), their_labels[:, None]

    def fetch_altered(chosen: tuple[Any, Any], chance: Any) -> tuple[Any, Any]:
        images, their_labels = fetch(*chosen)
        return augment(images, chance), their_labels

    chosen = tf.data.Dataset.from_tensor_slices((indices, labels[indices].astype(np.float32)))
    if seed is None:
        return chosen.batch(size).map(fetch, SIDE_BY_SIDE).prefetch(2)
    batches = chosen.shuffle(len(indices), seed=seed).batch(size)
    chances = tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2)
    return tf.data.Dataset.zip(batches, chances).map(fetch_altered, SIDE_BY_SIDE).prefetch(2)


def augment(images: Any, chance: Any) -> Any:
    """Mirror, turn, zoom, shift and light pictures at random: (n, *SHAPE) uint8 → float32 of 0 to 255.

    `chance`, (2,) int64, decides how. One affine map from the result's pixels to the picture's does it all, which takes a
    quarter of the time of a layer each.
    """
    count = tf.shape(images)[0]
    drawn = iter(tf.unstack(tf.random.stateless_uniform([6, count], chance)))

    def draw(low: float, high: float) -> Any:
        return low + (high - low) * next(drawn)

    mirror = tf.where(draw(0, 1) < 0.5, -1.0, 1.0)
    turn, scale = draw(-TURN, TURN), draw(1 - ZOOM, 1 + ZOOM)
    cosine, sine = tf.cos(turn) * scale, tf.sin(turn) * scale
    middle, shift = (SIDE - 1) / 2, SHIFT * SIDE
    x = middle * (1 - mirror * cosine + sine) + draw(-shift, shift)
    y = middle * (1 - mirror * sine - cosine) + draw(-shift, shift)
    none = tf.zeros([count])
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack([mirror * cosine, -sine, x, mirror * sine, cosine, y, none, none], axis=1),
        output_shape=[SIDE, SIDE],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return tf.clip_by_value(moved * draw(1 - LIGHT, 1 + LIGHT)[:, None, None, None], 0.0, 255.0)


class _Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """Keeps the figures of each epoch, passes them on, and stops when they cannot get better."""

    def __init__(self, batches: int, on_batch: Callable[[int, int], None], on_epoch: Callable[[int, Epoch], None]) -> None:
        super().__init__()
        self.epochs: list[Epoch] = []
        self._batches = batches
        self._on_batch = on_batch
        self._on_epoch = on_epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Called by Keras."""
        self._on_batch(batch + 1, self._batches)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Called by Keras."""
        figures = (round(float(logs[name]), 7) for name in ("accuracy", "loss", "val_accuracy", "val_loss"))
        self.epochs.append(Epoch(*figures))
        self._on_epoch(epoch + 1, self.epochs[-1])
        if self.epochs[-1].validation_loss < ENOUGH:
            self.model.stop_training = True
