"""The models on disk, one folder each. Training writes them, the Device reads them; they may be different processes.

    Models/<name>/model.json            classes, input size, figures, and the name of the folder with the network
    Models/<name>/network-<random>/     the network, a TensorFlow SavedModel
    Models/<name>/*.png                 pictures of the training, for people
    Models/.<name>.lock                 locked by the one process that trains this model
    Models/.<name>-unfinished-<random>/ what that process is writing; swept by the next one if it was killed

A model is replaced by replacing its `model.json`, so a reader finds the previous model or the new one, whole. The launcher
reads `model.json` too, to show the models in its status.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from Services.fractos.errors import DataLossError, FailedPreconditionError, InvalidArgumentError

DEFAULT = "default"
DESCRIPTION = "model.json"
_Version: TypeAlias = tuple[int, int, int, int]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class SkippedFiles:
    """Files of a data set that were not used, for one reason."""

    reason: str
    files: int = 0
    names: tuple[str, ...] = ()  # the first few


@dataclass(frozen=True)
class Model:
    """What is known of a complete model."""

    classes: tuple[str, str]  # in alphabetical order; the network gives the probability of the second
    width: int  # pixels
    height: int  # pixels
    validation_accuracy: float
    validation_loss: float
    training_pictures: int
    validation_pictures: int
    skipped: tuple[str, ...]  # files that were not used, the first hundred
    skipped_pictures: int  # how many there were
    network: str  # the folder beside model.json that holds the network; another one after each training
    skipped_by_reason: tuple[SkippedFiles, ...] = ()


class Models:
    """The models in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, tuple[_Version, Model]] = {}  # by name: the description that was read last

    def names(self) -> list[str]:
        """The names of all complete models, sorted."""
        return sorted(path.parent.name for path in self._folder.glob(f"*/{DESCRIPTION}") if _NAME.fullmatch(path.parent.name))

    def find(self, name: str) -> Model | None:
        """The model of that name, or None if there is none.

        Raises InvalidArgumentError for a name that cannot be one, DataLossError if its description is damaged.
        """
        path = self._folder / check_name(name) / DESCRIPTION
        try:
            version = _version(path)  # of the file before it is read: if it is replaced meanwhile, it is read again
            known = self._read.get(name)
            if known is None or known[0] != version:
                known = self._read[name] = version, _parsed(path.read_text())
            return known[1]
        except (FileNotFoundError, NotADirectoryError):
            self._read.pop(name, None)
            return None
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise DataLossError(f"{path} is damaged ({error}); remove its folder and train the model again") from error

    def network(self, name: str, model: Model) -> Path:
        """The folder of a model's network."""
        return self._folder / name / model.network

    def figures(self, name: str) -> list[str]:
        """The paths of the pictures of a model's training."""
        return sorted(map(str, (self._folder / check_name(name)).glob("*.png")))

    @contextmanager
    def unfinished(self, name: str) -> Iterator[Path]:
        """A fresh folder in which to write a model, for one process at a time. It is removed in the end.

        Raises FailedPreconditionError while another process trains that model, and InvalidArgumentError as `find` does.
        """
        prefix = f".{check_name(name)}-unfinished-"
        with self._locked(name):
            for abandoned in self._folder.glob(f"{prefix}*"):
                shutil.rmtree(abandoned)
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=prefix) as folder:
                yield Path(folder)

    def sweep(self, name: str) -> None:
        """Remove what a training of that model left when it was killed; does nothing while another one runs."""
        with suppress(FailedPreconditionError), self.unfinished(name):
            pass

    def sweep_all(self) -> None:
        """Do that for every model."""
        for name in {path.name[1:].rpartition("-unfinished-")[0] for path in self._folder.glob(".*-unfinished-*")}:
            self.sweep(name)

    def publish(self, name: str, network: Path, model: Model, figures: Sequence[Path] = ()) -> Model:
        """Make `network`, a folder within what `unfinished` gave, the network of a model, and remove the previous one.

        `figures` are pictures of its training, from there too. Returns `model` with the place of its network filled in.
        """
        model = dataclasses.replace(model, network=f"network-{uuid.uuid4().hex[:12]}")
        new = network.parent / "complete"
        new.mkdir()
        network.rename(new / model.network)
        for figure in figures:
            figure.rename(new / figure.name)
        (new / DESCRIPTION).write_text(json.dumps(dataclasses.asdict(model), indent=2))
        place = self._folder / name
        if not (place / DESCRIPTION).exists():
            # A first model appears with its folder, which counts as a model from the moment it is there.
            shutil.rmtree(place, ignore_errors=True)
            new.rename(place)
            return model
        (new / model.network).rename(place / model.network)
        for previous in place.glob("*.png"):  # before model.json changes: no picture is ever that of another model
            previous.unlink()
        (new / DESCRIPTION).replace(place / DESCRIPTION)
        for figure in figures:
            (new / figure.name).rename(place / figure.name)
        for previous in place.glob("network-*"):
            if previous.name != model.network:
                shutil.rmtree(previous)
        return model

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f".{name}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise FailedPreconditionError(
                    f"model {name!r} is being trained by another process; wait for its end, or give another name"
                ) from error
            yield


def _version(path: Path) -> _Version:
    """What changes whenever a file is written or replaced: a new one takes its place before the old one's number is free."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _parsed(text: str) -> Model:
    """What a description says. Raises ValueError, TypeError, LookupError or AttributeError if it makes no sense."""
    fields = json.loads(text)
    reasons = [SkippedFiles(**{**one, "names": tuple(one["names"])}) for one in fields.pop("skipped_by_reason", [])]
    lists = {"classes": tuple(fields["classes"]), "skipped": tuple(fields["skipped"])}
    return Model(**{**fields, **lists, "skipped_by_reason": tuple(reasons)})


def check_name(name: str) -> str:
    """Return a model's name. Raises InvalidArgumentError unless it is of letters, digits, dots, dashes and underscores."""
    if not _NAME.fullmatch(name):
        raise InvalidArgumentError(
            f"{name!r} cannot be the name of a model: up to 64 letters, digits, dots, dashes and underscores, the first one"
            " a letter or digit",
            field="model",
        )
    return name
