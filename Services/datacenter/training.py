"""Trains a model in a process of its own and shows how it goes: TensorFlow is not for the launcher."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from Services.datacenter import layout
from Services.datacenter.modules import run_module
from Services.datacenter.screen import Screen
from Services.fractos.config import Configuration

MODULE = "Services.ComputationalNodes.CNN.Node.training"
FIRST_MODEL = "default"


def has_model(models: Path) -> bool:
    """Whether there is a complete model: hidden names are those of unfinished ones."""
    return models.is_dir() and any(not path.name.startswith(".") for path in models.iterdir())


def train(configuration: Configuration, dataset: Path, model: str, screen: Screen, environment: Mapping[str, str]) -> None:
    """Train a model on a folder with a folder of pictures per class. Raises FailedPreconditionError if that fails."""
    arguments = ["--dataset", str(dataset), "--models", str(layout.models(configuration)), "--model", model]
    with screen.steps(f"training model {model!r}") as show:
        run_module(MODULE, arguments, environment, lambda line: _show(line, show))


def _show(line: str, show: Callable[[int, int, str], None]) -> None:
    """Show an event of the training; what else is printed, such as TensorFlow's messages, is passed over."""
    try:
        event = json.loads(line)
    except ValueError:
        return
    if isinstance(event, dict) and "epoch" in event:
        show(event["epoch"], event["epochs"], f"validation accuracy {event['validation_accuracy']:.1%}")
