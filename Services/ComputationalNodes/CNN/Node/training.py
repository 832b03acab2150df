"""Trains one model, in a process of its own. Run by the launcher, by the Device, and by hand:

    python3 -m Services.ComputationalNodes.CNN.Node.training --dataset FOLDER_OR_ZIP --models FOLDER
        [--model NAME] [--epochs N] [--seed N]

Prints its progress on standard output, one JSON object a line, and everything else on standard error:

    {"event": "reading", "read": 128, "pictures": 1000}
    {"event": "skipped", "skipped_by_reason": [{"reason": "empty", "files": 1, "names": ["Cat/7.jpg"]}]}    if any were
    {"event": "batch", "batch": 10, "batches": 50}    of the present epoch; now and then
    {"event": "epoch", "epoch": 1, "epochs": 15, "accuracy": 0.6, "loss": 0.7,
        "validation_accuracy": 0.7, "validation_loss": 0.6}    all on one line
    {"event": "done", "model": "default", "classes": ["Cat", "Dog"], ..., "figures": [".../training_curves.png", ...]}
    {"event": "error", "status": "FAILED_PRECONDITION", "message": "too few pictures ..."}

The last line is `done` (exit code 0, with the fields of `models.Model`) or `error` (exit code 1). SIGTERM, SIGINT and SIGHUP
stop it, and so does the end of whoever reads its standard output: a training never outlives the one who waits for it. Whenever
it stops, the model of that name is the previous one or the new one, and the data set is as it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

from Services.ComputationalNodes.CNN.Node import dataset, picture_file
from Services.ComputationalNodes.CNN.Node.models import DEFAULT, Model, Models, check_name
from Services.fractos.errors import (
    FailedPreconditionError,
    FractosError,
    InternalError,
    InvalidArgumentError,
    RunCancelledError,
)

if TYPE_CHECKING:
    from Services.ComputationalNodes.CNN.Node.network import Epoch

log = logging.getLogger(__name__)

MODULE = "Services.ComputationalNodes.CNN.Node.training"
EPOCHS = 15  # at the most
MAX_EPOCHS = 1000
MAX_SEED = 2**32 - 1
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
NICE = 10  # how much the training gives way to whoever predicts meanwhile; alone on the machine it is as fast as without
BATCH_EVENT_S = 0.2  # between two events of batches


@dataclasses.dataclass(frozen=True)
class Options:
    """What to train."""

    dataset: Path
    models: Path
    model: str = DEFAULT
    epochs: int = EPOCHS
    seed: int = 0

    def check(self) -> None:
        """Raise InvalidArgumentError if a value is out of bounds."""
        check_name(self.model)
        for field, value, low, high in (("epochs", self.epochs, 1, MAX_EPOCHS), ("seed", self.seed, 0, MAX_SEED)):
            if not low <= value <= high:
                raise InvalidArgumentError(f"{field} is {value}; it must be {low} to {high}", field=field)

    def arguments(self) -> list[str]:
        """The command line that asks for this."""
        return [f"--{field.name}={getattr(self, field.name)}" for field in dataclasses.fields(self)]


class Events:
    """The standard output of a training."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last_batch = 0.0
        self._stopped_by = ""
        self.in_tensorflow = False  # whose code an exception of a signal handler must not leave halfway: it crashes then

    def stop(self, number: int, _: FrameType | None) -> None:
        """End the training, as the handler of a signal: at once, or at the next event while TensorFlow is at work.

        Another signal does not disturb the clean-up after a first one.
        """
        if not self._stopped_by:
            self._stopped_by = signal.Signals(number).name
            if not self.in_tensorflow:
                self.check()

    def check(self) -> None:
        """Raise RunCancelledError after a signal."""
        if self._stopped_by:
            raise RunCancelledError(f"the training was stopped by {self._stopped_by}")

    def end(self, event: str, **fields: Any) -> None:
        """Print the last event. Raises BrokenPipeError as `send` does."""
        print(json.dumps({"event": event, **fields}), file=self._stream, flush=True)

    def send(self, event: str, **fields: Any) -> None:
        """Print one event. Raises BrokenPipeError if no one reads them any more, RunCancelledError after a signal.

        The handler has raised that already, but wherever the program was: Python drops what is raised in a finaliser.
        """
        self.check()
        self.end(event, **fields)

    def batch(self, batch: int, batches: int) -> None:
        """Print how far the epoch is, unless that was said just now."""
        self.check()
        if time.monotonic() - self._last_batch >= BATCH_EVENT_S:
            self._last_batch = time.monotonic()
            self.send("batch", batch=batch, batches=batches)


def train(options: Options, events: Events) -> Model:
    """Train and publish a model. Raises an error of the tree, OSError, or BrokenPipeError as `Events` does."""
    options.check()
    found = dataset.scan(options.dataset)
    store = Models(options.models)
    with store.unfinished(options.model) as folder, picture_file.Pictures(folder) as pictures:
        _read(found, pictures, events)
        split = dataset.split(pictures.labels, options.seed)

        # Only now, so that what is wrong with the data set is said at once: TensorFlow takes seconds to import.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        from Services.ComputationalNodes.CNN.Node import figures, network  # noqa: PLC0415

        events.in_tensorflow = True
        trained, epochs = network.train(
            pictures,
            split,
            epochs=options.epochs,
            seed=options.seed,
            on_batch=events.batch,
            on_epoch=lambda done, epoch: events.send("epoch", epoch=done, epochs=options.epochs, **dataclasses.asdict(epoch)),
        )
        network.save(trained, folder / "network")
        best = network.best_of(epochs)
        model = _description(found, pictures, split, best)
        shown = dataset.sample(split.validation, figures.SHOWN, options.seed)
        images = pictures.rows(shown)
        held_out = figures.HeldOut(images, pictures.labels[shown], network.probabilities(trained, images))
        drawn = figures.draw(folder, options.model, model, epochs, best, held_out)
        events.check()
        for number in STOP_SIGNALS:  # from here on the model is complete, and is said to be
            signal.signal(number, signal.SIG_IGN)
        return store.publish(options.model, folder / "network", model, drawn)


def _read(found: dataset.Dataset, pictures: picture_file.Pictures, events: Events) -> None:
    """Read all pictures and say what was skipped, then whether enough are left."""
    dataset.read(found, pictures, lambda read, all_of_them: events.send("reading", read=read, pictures=all_of_them))
    if pictures.skipped:
        events.send("skipped", skipped_by_reason=[dataclasses.asdict(one) for one in pictures.skipped_by_reason])
    dataset.check_read(found, pictures)


def _description(found: dataset.Dataset, pictures: picture_file.Pictures, split: dataset.Split, best: Epoch) -> Model:
    return Model(
        classes=(dataset.printable(found.classes[0]), dataset.printable(found.classes[1])),
        width=picture_file.SIDE,
        height=picture_file.SIDE,
        validation_accuracy=best.validation_accuracy,
        validation_loss=best.validation_loss,
        training_pictures=len(split.training),
        validation_pictures=len(split.validation),
        skipped=tuple(pictures.skipped),
        skipped_pictures=pictures.skipped_pictures,
        skipped_by_reason=pictures.skipped_by_reason,
        network="",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and train. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    options = _parse(arguments)
    events = Events(sys.stdout)
    os.nice(NICE)
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(number, events.stop)
    try:
        model = train(options, events)
        drawn = Models(options.models).figures(options.model)
        events.end("done", model=options.model, **dataclasses.asdict(model), figures=drawn)
    except BrokenPipeError:
        log.info("no one waits for the training any more; it ends")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else the interpreter's last flush would complain
        return 1
    except Exception as error:
        known = _known(error)
        events.end("error", status=known.status, message=known.message)
        return 1
    return 0


def _known(error: Exception) -> FractosError:
    if isinstance(error, FractosError):
        return error
    if isinstance(error, OSError):
        return FailedPreconditionError(f"the training could not read or write a file: {error}")
    log.exception("the training failed")
    return InternalError(f"{type(error).__name__}: {error}")


def _parse(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog=f"python3 -m {MODULE}", description="Trains one model.")
    parser.add_argument(
        "--dataset", type=Path, required=True, help="a folder or zip file with a folder of pictures for each of two classes"
    )
    parser.add_argument("--models", type=Path, required=True, help="where models are kept")
    parser.add_argument("--model", default=Options.model, help="its name (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=Options.epochs, help="at the most (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=Options.seed, help="of weights, order and split (default: %(default)s)")
    return Options(**vars(parser.parse_args(arguments)))


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Threads of TensorFlow that a stopped training leaves crash now and then when the interpreter is taken down beneath them.
    os._exit(code)
