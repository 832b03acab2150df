"""Trains a model in a process of its own and shows how it goes: TensorFlow is not for the launcher."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from Services.datacenter import layout
from Services.datacenter.modules import run_module
from Services.datacenter.screen import Screen
from Services.fractos.config import Configuration
from Services.fractos.errors import FailedPreconditionError

MODULE = "Services.ComputationalNodes.CNN.Node.training"
FIRST_MODEL = "default"
SKIPPED_SHOWN = 10  # names


def has_model(models: Path) -> bool:
    """Whether there is a complete model: hidden names are those of unfinished ones."""
    return models.is_dir() and any(not path.name.startswith(".") for path in models.iterdir())


def train(configuration: Configuration, dataset: Path, model: str, screen: Screen, environment: Mapping[str, str]) -> None:
    """Train a model on a folder with a folder of pictures per class. Raises FailedPreconditionError if that fails."""
    arguments = ["--dataset", str(dataset), "--models", str(layout.models(configuration)), "--model", model]
    last: dict[str, Any] = {}
    try:
        with screen.steps(f"training model {model!r}") as show:
            run_module(MODULE, arguments, environment, lambda line: _follow(line, show, last))
    except FailedPreconditionError:
        if last.get("event") != "error":
            raise  # it did not get as far as to say why
        raise FailedPreconditionError(f"model {model!r} could not be trained: {last['message']}") from None
    screen.say(f"model {model!r}: validation accuracy {last['validation_accuracy']:.1%}")
    if last["skipped_pictures"]:
        names = ", ".join(last["skipped"][:SKIPPED_SHOWN])
        more = last["skipped_pictures"] - len(last["skipped"][:SKIPPED_SHOWN])
        screen.say(
            f"skipped {last['skipped_pictures']} files that cannot be read: {names}{f' and {more} more' if more else ''}"
        )


def _follow(line: str, show: Callable[[int, int, str], None], last: dict[str, Any]) -> None:
    """Show an event of the training and keep it in `last`; what else is printed, by TensorFlow for example, is passed over."""
    try:
        event = json.loads(line)
    except ValueError:
        return
    if isinstance(event, dict):
        last.clear()
        last.update(event)
        if event.get("event") == "epoch":
            show(event["epoch"], event["epochs"], f"validation accuracy {event['validation_accuracy']:.1%}")
