"""Training pictures: finds them, decides whether they make a training set, and reads them. Leaves every file as it is.

A data set is a folder or a zip file with a folder of pictures for each of two classes, at the top or within one folder that
holds all. Files beside those folders and hidden files and folders do not belong to it. Called by the Device, to refuse a bad
data set at once, and by the training.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from Services import pictures
from Services.ComputationalNodes.CNN.Node.picture_file import SIDE, Pictures
from Services.ComputationalNodes.CNN.Node.sources import Source, opened
from Services.fractos.errors import (
    DataLossError,
    FailedPreconditionError,
    FractosError,
    InvalidArgumentError,
    OutOfRangeError,
    PermissionDeniedError,
)

log = logging.getLogger(__name__)

MIN_PICTURES = 10  # of each class
MAX_RATIO = 4  # of pictures of the larger class to those of the smaller
MAX_FILES = 200_000  # of each class
PARTS = ("train", "test", "val")  # how data sets name what others have cut them into
VALIDATION_SHARE = 0.2
READ_AT_ONCE = 128  # files
MAX_THREADS = 4  # that decode: each may need half a gigabyte for the largest pictures that are read
EMPTY = "empty"
REASONS: dict[type[Exception], str] = {
    FailedPreconditionError: "not a picture",
    DataLossError: "damaged or incomplete",
    OutOfRangeError: "too large",
    PermissionDeniedError: "encrypted",
}
UNREADABLE = "cannot be read"  # for any other error


@dataclass(frozen=True)
class Dataset:
    """Which files there are."""

    path: Path
    classes: tuple[str, str]  # in alphabetical order
    files: tuple[tuple[str, int], ...]  # each with the index of its class; relative to `path`
    refused: tuple[tuple[str, str], ...] = ()  # entries of a zip file that are not read, each with the reason


@dataclass(frozen=True)
class Split:
    """Which pictures are trained with and which are kept apart to validate, as indices."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]


def scan(path: Path) -> Dataset:
    """List the pictures of a data set without opening them.

    Raises InvalidArgumentError if there is none or it has not two classes, OutOfRangeError if it has too many files,
    FailedPreconditionError if it cannot be listed or has too few pictures or is badly unbalanced, and for zip files what
    `sources.opened` does.
    """
    try:
        with opened(path) as source:
            place, names = _classes(source)
            files = [(name, label) for label, folder in enumerate(names) for name in _files(source, f"{place}{folder}/")]
    except OSError as error:
        raise FailedPreconditionError(f"the data set {path} cannot be read: {error}; make it readable") from error
    check_counts(path, names, [label for _, label in files])
    return Dataset(path, (names[0], names[1]), tuple(files), tuple(source.refused))


def read(dataset: Dataset, into: Pictures, report: Callable[[int, int], None]) -> None:
    """Decode a data set; what cannot be read is skipped, counted and logged. `report(read, all)` is called now and then.

    Raises what `scan` does, and OSError if `into` cannot be written, or ResourceExhaustedError if there is no room for it.
    """
    into.reserve(len(dataset.files))
    for name, reason in dataset.refused:
        into.skip(printable(name), reason)
    with opened(dataset.path) as source, ThreadPoolExecutor(min(MAX_THREADS, os.cpu_count() or 1)) as executor:
        for start in range(0, len(dataset.files), READ_AT_ONCE):
            part = dataset.files[start : start + READ_AT_ONCE]
            decoded = executor.map(lambda name: _decode(source, name), [name for name, _ in part])
            for (name, label), pixels in zip(part, decoded, strict=True):
                if isinstance(pixels, bytes):
                    into.add(pixels, label, printable(name))
                else:
                    into.skip(printable(name), pixels)
            report(min(start + READ_AT_ONCE, len(dataset.files)), len(dataset.files))
    into.flush()


def check_read(dataset: Dataset, pictures: Pictures) -> None:
    """Raise FailedPreconditionError as `scan` does, should too few be left."""
    skipped = "".join(f"; {one.files:,} skipped: {one.reason}" for one in pictures.skipped_by_reason)
    check_counts(dataset.path, dataset.classes, pictures.labels.tolist(), skipped=skipped)


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


def sample(indices: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """At most `count` of some indices, chosen by chance."""
    return np.random.default_rng(seed).permutation(indices)[:count]


def check_counts(path: Path, classes: Sequence[str], labels: Sequence[int], *, skipped: str = "") -> None:
    """Raise FailedPreconditionError if a class has too few pictures, or one has many more than the other."""
    found = Counter(labels)
    counts = [found[label] for label in range(len(classes))]
    shown = ", ".join(f"{printable(name)} {count:,}" for name, count in zip(classes, counts, strict=True)) + skipped
    if min(counts) < MIN_PICTURES:
        raise FailedPreconditionError(
            f"too few pictures in {path} ({shown}); put at least {MIN_PICTURES} into each folder, better some hundred"
        )
    if max(counts) > MAX_RATIO * min(counts):
        raise FailedPreconditionError(
            f"the classes in {path} are too unbalanced ({shown}); one may have at most {MAX_RATIO} times as many pictures"
            " as the other: add to the smaller, or train with a part of the larger"
        )


def printable(name: str) -> str:
    """A file name that can be shown: names on disk and in zip files may be any bytes."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in name)


def _classes(source: Source) -> tuple[str, list[str]]:
    """Where the folders of the classes are, and their names."""
    place, names = _below(source, "")
    if len(names) != 2:
        raise InvalidArgumentError(
            f"the data set {source.path} has {len(names)} classes ({_listed(names)}), but a network of this node answers with"
            " one probability, which tells two classes apart; give a folder or a zip file with one folder of pictures for each"
            " of two classes",
            field="dataset",
        )
    _, within = _below(source, f"{place}{names[0]}/")
    parts = any(name.lower().startswith(PARTS) for name in names) and len(within) > 1
    if parts and within == _below(source, f"{place}{names[1]}/")[1]:
        raise InvalidArgumentError(
            f"{_listed(names)} in the data set {source.path} are not two classes but two parts, each with {_listed(within)};"
            " give one of the parts",
            field="dataset",
        )
    return place, names


def _below(source: Source, place: str) -> tuple[str, list[str]]:
    """Follow folders that hold nothing but one folder of folders; return where that ends and the folders there."""
    names = source.folders(place)
    while len(names) == 1 and (below := source.folders(f"{place}{names[0]}/")):
        place, names = f"{place}{names[0]}/", below
    return place, names


def _files(source: Source, place: str) -> Iterator[str]:
    for number, name in enumerate(islice(source.files(place), MAX_FILES + 1)):
        if number == MAX_FILES:
            raise OutOfRangeError(
                f"{place} in the data set {source.path} has more than {MAX_FILES:,} files; give a part of it", field="dataset"
            )
        yield name


def _decode(source: Source, name: str) -> bytes | str:
    """The pixels of a picture, SHAPE uint8, or the reason why it is skipped."""
    try:
        data = source.read(name)
        return pictures.decode(data, SIDE, SIDE, source=printable(name)).tobytes() if data else EMPTY
    except (OSError, FractosError) as error:
        log.debug("%s: %s", printable(name), error)
        return REASONS.get(type(error), UNREADABLE)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(printable(name) for name in names[:10])
    return f"{shown}, ..." if len(names) > 10 else shown or "no folders"
