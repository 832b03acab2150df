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
READING_STEPS = 10  # how often the reading is shown where each line stays

Show = Callable[[int, int, str], None]  # with what is done, what there is to do, and how it stands


def has_model(models: Path) -> bool:
    """Whether there is a complete model: hidden names are those of unfinished ones."""
    return models.is_dir() and any(not path.name.startswith(".") for path in models.iterdir())


def train(configuration: Configuration, dataset: Path, model: str, screen: Screen, environment: Mapping[str, str]) -> None:
    """Train a model on a folder or zip file of pictures. Raises FailedPreconditionError if that fails."""
    arguments = [f"--dataset={dataset}", f"--models={layout.models(configuration)}", f"--model={model}"]
    try:
        with screen.steps(f"training model {model!r}") as show:
            report = _Report(screen, show)
            run_module(MODULE, arguments, environment, report.read)
    except FailedPreconditionError:
        if report.last.get("event") != "error":
            raise  # it did not get as far as to say why
        raise FailedPreconditionError(f"model {model!r} could not be trained: {report.last['message']}") from None
    done = report.last
    screen.say(
        f"model {model!r} ({', '.join(done['classes'])}): validation accuracy {done['validation_accuracy']:.1%},"
        f" loss {done['validation_loss']:.3f}, on {done['validation_pictures']:,} pictures held out from the training"
    )
    for figure in map(Path, done["figures"]):
        screen.say(f"see {figure.relative_to(Path.cwd()) if figure.is_relative_to(Path.cwd()) else figure}")


class _Report:
    """Shows the events of a training."""

    def __init__(self, screen: Screen, show: Show) -> None:
        self.last: dict[str, Any] = {}
        self._screen = screen
        self._show = show
        self._note = "epoch 1"  # on a terminal, short enough for its line
        self._steps_shown = 0

    def read(self, line: str) -> None:
        """Show an event; what else is printed, by TensorFlow for example, is passed over."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        if not isinstance(event, dict):
            return
        self.last = event
        kind = event.get("event")
        if kind == "reading":
            self._reading(event["read"], event["pictures"])
        elif kind == "skipped":
            self._skipped(event["skipped_by_reason"])
        elif kind == "batch" and self._screen.is_live:
            self._show(event["batch"], event["batches"], self._note)
        elif kind == "epoch":
            self._epoch_done(event)

    def _reading(self, read: int, files: int) -> None:
        steps = READING_STEPS * read // files
        if self._screen.is_live or steps > self._steps_shown:
            self._steps_shown = steps
            self._show(read, files, "files read")

    def _skipped(self, skipped: list[dict[str, Any]]) -> None:
        for one in skipped:
            more = ", ..." if one["files"] > len(one["names"]) else ""
            self._screen.say(f"skipped {one['files']:,}, {one['reason']}: {', '.join(one['names'])}{more}")

    def _epoch_done(self, event: dict[str, Any]) -> None:
        figures = f"accuracy {event['accuracy']:.1%}, validation accuracy {event['validation_accuracy']:.1%}"
        self._note = f"epoch {event['epoch'] + 1}, validation {event['validation_accuracy']:.1%}"
        if not self._screen.is_live:
            self._show(event["epoch"], event["epochs"], f"epochs, {figures}")
