"""What there is to tell of the models that CNN nodes find, read from the descriptions that trainings leave beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ModelStatus:
    """One trained model. The fields are those of `status --json`; the figures are of pictures held out from its training."""

    model: str
    classes: tuple[str, ...]
    validation_accuracy: float
    validation_loss: float
    validation_pictures: int
    training_pictures: int
    skipped_pictures: int
    folder: str  # where its description and the pictures of its training are


def read_models(folder: Path) -> list[ModelStatus]:
    """The complete models in a folder, by name. One whose description is damaged is left out: its node says what is wrong."""
    found = (_read(path) for path in sorted(folder.glob("[!.]*/model.json")))
    return [model for model in found if model]


def _read(path: Path) -> ModelStatus | None:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        return ModelStatus(
            model=path.parent.name,
            classes=tuple(map(str, known["classes"])),
            validation_accuracy=float(known["validation_accuracy"]),
            validation_loss=float(known["validation_loss"]),
            validation_pictures=int(known["validation_pictures"]),
            training_pictures=int(known["training_pictures"]),
            skipped_pictures=int(known["skipped_pictures"]),
            folder=str(path.parent),
        )
    except (OSError, ValueError, TypeError, LookupError):
        return None
