"""The pictures of one training, decoded once and kept in a file: memory holds only those in use, however many there are.

The file has no name, so that the system removes it when the training ends, also if it is killed. Filled by `dataset.py`, read
by `network.py`.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from Services.ComputationalNodes.CNN.Node.models import SkippedFiles
from Services.fractos.errors import ResourceExhaustedError

log = logging.getLogger(__name__)

SIDE = 128  # pixels: every picture is stretched to a square of this side
SHAPE = (SIDE, SIDE, 3)
PICTURE_BYTES = SIDE * SIDE * 3
MAX_NAMED = 100  # skipped files
NAMED_BY_REASON = 3
COPY = "a copy of another picture"


class Pictures:
    """The pictures that could be read, and what is known of those that could not."""

    def __init__(self, folder: Path) -> None:
        """Make the file, on the disk of `folder`; it is gone as the context ends."""
        self._folder = folder
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - this class is the context
        self._labels: list[int] = []
        self._known: set[bytes] = set()
        self._skipped: dict[str, SkippedFiles] = {}
        self.skipped: list[str] = []  # relative to the data set, at most MAX_NAMED

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(pictures,) int64: the index of each picture's class."""
        return np.array(self._labels, dtype=np.int64)

    @property
    def skipped_pictures(self) -> int:
        """How many files were skipped."""
        return sum(one.files for one in self._skipped.values())

    @property
    def skipped_by_reason(self) -> tuple[SkippedFiles, ...]:
        """What was skipped, the commonest reason first."""
        return tuple(sorted(self._skipped.values(), key=lambda one: -one.files))

    def reserve(self, pictures: int) -> None:
        """Raise ResourceExhaustedError if the disk has no room for so many."""
        needed, free = pictures * PICTURE_BYTES, shutil.disk_usage(self._folder).free
        if needed > free:
            raise ResourceExhaustedError(
                f"{pictures:,} pictures take {needed / 1e9:.1f} GB on disk while they are trained with, but {self._folder} has"
                f" {free / 1e9:.1f} GB free; make room, or train with a part of them"
            )

    def add(self, pixels: bytes, label: int, name: str) -> None:
        """Append a picture, SHAPE uint8. A copy of one that is there is skipped: it could be trained and validated with."""
        digest = hashlib.blake2b(pixels, digest_size=16).digest()
        if digest in self._known:
            self.skip(name, COPY)
            return
        self._known.add(digest)
        self._file.write(pixels)
        self._labels.append(label)

    def skip(self, name: str, reason: str) -> None:
        """Count a file that is not used."""
        before = self._skipped.get(reason, SkippedFiles(reason))
        names = (*before.names, name)[:NAMED_BY_REASON]
        self._skipped[reason] = SkippedFiles(reason, before.files + 1, names)
        if len(self.skipped) < MAX_NAMED:
            self.skipped.append(name)
            log.warning("skipped %s: %s", name, reason)

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
