"""Pictures of a training for people to look at, written as PNG files beside the model. Needs matplotlib.

Imported by the training process alone. Text is drawn as it is: a class may be called `$5`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from Services.ComputationalNodes.CNN.Node.models import Model

if TYPE_CHECKING:
    from Services.ComputationalNodes.CNN.Node.network import Epoch

CURVES = "training_curves.png"
PREDICTIONS = "held_out_predictions.png"
SHOWN = 24  # predictions
COLUMNS = 6
TRAINING, VALIDATION = "#4477aa", "#ee7733"  # told apart by the colour-blind too
RIGHT, WRONG = "#228833", "#cc3311"
GREY = "#666666"
LONGEST_LABEL = 13  # characters
DOTS_PER_INCH = 150


@dataclass(frozen=True)
class HeldOut:
    """Some validation pictures and what the network makes of them."""

    images: NDArray[np.uint8]  # (pictures, height, width, 3)
    labels: NDArray[np.int64]  # (pictures,): the index of the true class
    probabilities: NDArray[np.float32]  # (pictures,): of the second class


def draw(folder: Path, name: str, model: Model, epochs: Sequence[Epoch], best: Epoch, held_out: HeldOut) -> list[Path]:
    """Draw the pictures of the training of a model in `folder` and return their paths."""
    right = f"{model.validation_accuracy:.1%} of {model.validation_pictures:,} held-out pictures right"
    about = f"{name}: {_short(model.classes[0])} or {_short(model.classes[1])}, {right}"
    draw_curves(folder / CURVES, epochs, best, f"{about}, {model.training_pictures:,} trained with")
    draw_predictions(
        folder / PREDICTIONS, held_out, model.classes, f"{about}; {len(held_out.images)} of them, chosen by chance"
    )
    return [folder / CURVES, folder / PREDICTIONS]


def draw_curves(path: Path, epochs: Sequence[Epoch], best: Epoch, title: str) -> None:
    """Draw accuracy and loss of each epoch, on the training and on the validation pictures, and mark the one that was kept."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    accuracy, loss = figure.subplots(1, 2)
    numbers = range(1, len(epochs) + 1)
    kept = epochs.index(best) + 1
    for axes, name in ((accuracy, "accuracy"), (loss, "loss")):
        for field, colour, label in (
            (name, TRAINING, "training, pictures altered at random"),
            (f"validation_{name}", VALIDATION, "validation, held out"),
        ):
            values = [getattr(epoch, field) for epoch in epochs]
            axes.plot(numbers, values, color=colour, label=label, marker="o", markersize=4, linewidth=2)
        axes.axvline(kept, color=GREY, linestyle=":", label=f"kept: epoch {kept}")
        _frame(axes, name)
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    accuracy.set_ylim(top=1.01)
    loss.set_ylim(bottom=0)
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=10)
    figure.suptitle(title, parse_math=False, fontsize=12)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def draw_predictions(path: Path, held_out: HeldOut, classes: Sequence[str], title: str) -> None:
    """Draw held-out pictures in a grid, each with the predicted class, its probability and the true class."""
    rows = -(-len(held_out.images) // COLUMNS)
    figure = Figure(figsize=(1.75 * COLUMNS, 2.15 * rows + 0.7))
    figure.set_layout_engine("constrained", w_pad=0.09, h_pad=0.06)
    grid = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for axes in grid:
        axes.axis("off")
    for axes, image, label, second in zip(grid, held_out.images, held_out.labels, held_out.probabilities, strict=False):
        predicted = int(second >= 0.5)
        probability = second if predicted else 1 - second
        _cell(axes, image, f"{_short(classes[predicted])} {probability:.1%}", _short(classes[label]), bool(predicted == label))
    figure.suptitle(title, parse_math=False, fontsize=12)
    figure.savefig(path, dpi=DOTS_PER_INCH)


def _frame(axes: Axes, name: str) -> None:
    axes.set_title(name, loc="left", fontsize=11, fontweight="bold")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _cell(axes: Axes, image: Any, prediction: str, truth: str, right: bool) -> None:
    colour = RIGHT if right else WRONG
    axes.axis("on")
    axes.set(xticks=[], yticks=[])
    axes.imshow(image)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=3)
    axes.set_title(prediction, parse_math=False, color=colour, fontsize=10, fontweight="bold", pad=5)
    axes.set_xlabel(f"is {truth}", parse_math=False, color=GREY if right else WRONG, fontsize=9, labelpad=3)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…"
