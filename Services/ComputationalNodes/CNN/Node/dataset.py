"""Training pictures: finds them, decides whether they make a training set, and reads them. Leaves every file as it is.

A data set is a folder with a folder of pictures for each of two classes. Files beside those folders and hidden files and
folders do not belong to it. Called by the Device, to refuse a bad data set at once, and by the training.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from Services import pictures
from Services.fractos.errors import FailedPreconditionError, FractosError, InvalidArgumentError

log = logging.getLogger(__name__)

SIDE = 128  # pixels: every picture is stretched to a square of this side
SHAPE = (SIDE, SIDE, 3)
PICTURE_BYTES = SIDE * SIDE * 3
MIN_PICTURES = 10  # of each class
MAX_RATIO = 4  # of pictures of the larger class to those of the smaller
VALIDATION_SHARE = 0.2
MAX_NAMED = 100  # skipped files
MAX_FILE_BYTES = 64 * 1024 * 1024
READ_AT_ONCE = 128  # files


@dataclass(frozen=True)
class Dataset:
    """Which files there are."""

    folder: Path
    classes: tuple[str, str]  # in alphabetical order
    files: tuple[tuple[Path, int], ...]  # each with the index of its class


@dataclass(frozen=True)
class Split:
    """Which pictures are trained with and which are kept apart to validate, as indices."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]


class Pictures:
    """The pictures that could be read, kept in a file: memory holds only those in use."""

    def __init__(self, path: Path) -> None:
        """Make the file `path`; it is closed as the context ends, and not removed."""
        self._file = path.open("w+b")
        self._labels: list[int] = []
        self.skipped: list[str] = []  # relative to the data set, at most MAX_NAMED
        self.skipped_pictures = 0

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(pictures,) int64: the index of each picture's class."""
        return np.array(self._labels, dtype=np.int64)

    def add(self, pixels: bytes, label: int) -> None:
        """Append a picture, SHAPE uint8."""
        self._file.write(pixels)
        self._labels.append(label)

    def skip(self, name: str) -> None:
        """Count a file that could not be read."""
        self.skipped_pictures += 1
        if len(self.skipped) < MAX_NAMED:
            self.skipped.append(name)

    def rows(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The pictures at `indices`: (len(indices), *SHAPE) uint8. Safe in several threads."""
        data = b"".join(os.pread(self._file.fileno(), PICTURE_BYTES, int(index) * PICTURE_BYTES) for index in indices)
        return np.frombuffer(data, dtype=np.uint8).reshape(-1, *SHAPE)

    def flush(self) -> None:
        """Make what was added visible to `rows`."""
        self._file.flush()

    def __enter__(self) -> Pictures:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


def scan(folder: Path) -> Dataset:
    """List the pictures of a data set without opening them.

    Raises InvalidArgumentError if there is no such folder or it has not two classes, FailedPreconditionError if it
    cannot be listed or they have too few pictures or are badly unbalanced.
    """
    if not folder.is_dir():
        raise InvalidArgumentError(
            f"the data set {folder} is not a folder; give one with a folder of pictures for each class", field="dataset"
        )
    try:
        return _scan(folder)
    except OSError as error:
        raise FailedPreconditionError(f"the data set {folder} cannot be listed: {error}; make it readable") from error


def read(dataset: Dataset, into: Pictures, report: Callable[[int, int], None]) -> None:
    """Decode a data set; what cannot be read is skipped, counted and logged. `report(read, all)` is called now and then.

    Raises FailedPreconditionError as `scan` does, should too few be left, and OSError if `into` cannot be written.
    """
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as executor:
        for start in range(0, len(dataset.files), READ_AT_ONCE):
            part = dataset.files[start : start + READ_AT_ONCE]
            for (path, label), pixels in zip(part, executor.map(_decode, (path for path, _ in part)), strict=True):
                if pixels is None:
                    into.skip(printable(str(path.relative_to(dataset.folder))))
                else:
                    into.add(pixels, label)
            report(min(start + READ_AT_ONCE, len(dataset.files)), len(dataset.files))
    into.flush()
    check_counts(dataset.folder, dataset.classes, into.labels.tolist(), skipped=into.skipped_pictures)


def split(labels: NDArray[np.int64], seed: int) -> Split:
    """Keep VALIDATION_SHARE of each class apart; the same seed keeps the same pictures apart."""
    generator = np.random.default_rng(seed)
    training, validation = [], []
    for label in np.unique(labels):
        order = generator.permutation(np.flatnonzero(labels == label))
        kept = round(len(order) * VALIDATION_SHARE)
        validation.append(order[:kept])
        training.append(order[kept:])
    return Split(np.concatenate(training), np.concatenate(validation))


def check_counts(folder: Path, classes: Sequence[str], labels: Sequence[int], *, skipped: int = 0) -> None:
    """Raise FailedPreconditionError if a class has too few pictures, or one has many more than the other."""
    counts = [labels.count(label) for label in range(len(classes))]
    found = ", ".join(f"{printable(name)} {count:,}" for name, count in zip(classes, counts, strict=True))
    if skipped:
        found += f"; {skipped:,} files could not be read"
    if min(counts) < MIN_PICTURES:
        raise FailedPreconditionError(
            f"too few pictures in {folder} ({found}); put at least {MIN_PICTURES} into each folder, better some hundred"
        )
    if max(counts) > MAX_RATIO * min(counts):
        raise FailedPreconditionError(
            f"the classes in {folder} are too unbalanced ({found}); one may have at most {MAX_RATIO} times as many pictures"
            " as the other: add to the smaller, or train with a part of the larger"
        )


def printable(name: str) -> str:
    """A file name as valid Unicode: names on disk may be any bytes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _scan(folder: Path) -> Dataset:
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(names) != 2:
        raise InvalidArgumentError(
            f"the data set {folder} has {len(names)} classes ({_listed(names)}), but exactly two are supported;"
            " give a folder with one folder of pictures for each of two classes",
            field="dataset",
        )
    files = [(path, label) for label, name in enumerate(names) for path in _files_below(folder / name)]
    classes = (names[0], names[1])
    check_counts(folder, classes, [label for _, label in files])
    return Dataset(folder, classes, tuple(files))


def _files_below(folder: Path) -> list[Path]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def _decode(path: Path) -> bytes | None:
    """The pixels of a picture, SHAPE uint8, or None if it cannot be read."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InvalidArgumentError(f"it is larger than {MAX_FILE_BYTES:,} bytes")
        return pictures.decode(path.read_bytes(), SIDE, SIDE, source=printable(str(path))).tobytes()
    except (OSError, FractosError) as error:
        log.warning("skipped %s: %s", printable(str(path)), error)
        return None


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:10])
    return f"{shown}, ..." if len(names) > 10 else shown or "no folders"
