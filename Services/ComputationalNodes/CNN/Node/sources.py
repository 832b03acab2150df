"""Where training pictures lie: a folder, or a zip file, which is read where it is and never unpacked. Neither is ever altered.

Called by `dataset.py`, which decides what of it is a training set. Names of files are relative and have "/" between their
parts. Hidden files and folders, and what macOS adds to zip files, are left out. Zip files come from anywhere, so nothing that
they say of themselves is believed: sizes are bounded before anything is read, and a name is never used as a path.
"""

from __future__ import annotations

import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from Services.fractos.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    UnimplementedError,
)

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_INDEX_BYTES = 16 * 1024 * 1024  # of a zip file: some 160,000 names, and at most 300 MB of memory however short they are
MAX_EXPANSION = 200  # of all files in a zip file together; pictures are compressed already
UNSAFE_NAME = "a name that could lead out of the zip file"
REPEATED_NAME = "a second file of the same name"
_ENCRYPTED = 0x1  # in the flags of an entry
_START = b"PK\x03\x04"  # of a zip file


class Source(Protocol):
    """A folder or a zip file."""

    path: Path
    refused: list[tuple[str, str]]  # files that are not read whatever they hold: each with the reason

    def folders(self, place: str) -> list[str]:
        """The names of the folders in `place`, which is "" or ends in "/"; sorted."""

    def files(self, place: str) -> Iterator[str]:
        """The names of the files in `place` and below, each relative to the source."""

    def read(self, name: str) -> bytes:
        """The content of a file. Safe in several threads.

        Raises OutOfRangeError if it has more than MAX_FILE_BYTES, and for a damaged, encrypted or missing entry of a zip file
        an error of the tree; OSError as files do.
        """


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The source at `path`.

    Raises InvalidArgumentError if there is none, DataLossError if a zip file is damaged or cut off, OutOfRangeError if it is a
    trap (too many entries, or data that expands without bound), OSError if it cannot be read.
    """
    if path.is_dir():
        yield FolderSource(path)
    elif path.is_file():
        with _Archive(path) as archive:
            yield ZipSource(path, archive)
    else:
        raise InvalidArgumentError(
            f"there is no data set {path}; give a folder or a zip file with a folder of pictures for each class",
            field="dataset",
        )


class FolderSource:
    """A folder on disk. Links are followed to files and to the folders of classes, not further down."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused: list[tuple[str, str]] = []

    def folders(self, place: str) -> list[str]:
        """The names of the folders in `place`."""
        return sorted(path.name for path in (self.path / place).iterdir() if path.is_dir() and _is_visible(path.name))

    def files(self, place: str) -> Iterator[str]:
        """The names of the files in `place` and below."""
        for folder, below, names in os.walk(self.path / place, onerror=_raise):
            below[:] = sorted(filter(_is_visible, below))
            for name in sorted(filter(_is_visible, names)):
                path = Path(folder, name)
                if path.is_file():
                    yield path.relative_to(self.path).as_posix()

    def read(self, name: str) -> bytes:
        """The content of a file."""
        path = self.path / name
        _check_size(path.stat().st_size)
        return path.read_bytes()


class ZipSource:
    """A zip file."""

    def __init__(self, path: Path, archive: _Archive) -> None:
        self.path = path
        self.refused: list[tuple[str, str]] = []
        self._zip = _open_zip(path, archive)
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in self._zip.infolist():
            if not entry.filename.endswith("/"):  # a folder
                self._add(entry)
        size, total = path.stat().st_size, sum(entry.file_size for entry in self._entries.values())
        if total > MAX_EXPANSION * size:
            raise OutOfRangeError(
                f"the data set {path} has {size:,} bytes, which expand to {total:,}, more than {MAX_EXPANSION} times as many,"
                " as in a trap; if you trust it, unpack it and give the folder",
                field="dataset",
            )

    def folders(self, place: str) -> list[str]:
        """The names of the folders in `place`."""
        below = (name.removeprefix(place) for name in self.files(place))
        return sorted({name.partition("/")[0] for name in below if "/" in name})

    def files(self, place: str) -> Iterator[str]:
        """The names of the files in `place` and below."""
        return (name for name in sorted(self._entries) if name.startswith(place))

    def read(self, name: str) -> bytes:
        """The content of a file."""
        entry = self._entries.get(name)
        if entry is None:
            raise NotFoundError(f"{name} is no longer in {self.path}")
        if entry.flag_bits & _ENCRYPTED:
            raise PermissionDeniedError(f"{name} is encrypted; unpack {self.path} with its password and give the folder")
        _check_size(entry.file_size)  # never more than that is read, whatever is compressed there
        try:
            return self._zip.read(entry)
        except NotImplementedError as error:
            raise UnimplementedError(f"{name} is compressed in a way that is not known: {error}") from error
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
            raise DataLossError(f"{name} is damaged within {self.path}: {error}") from error

    def _add(self, entry: zipfile.ZipInfo) -> None:
        name = entry.filename.replace("\\", "/")  # as some programs for Windows write it
        parts = name.split("/")
        if ".." in parts or "" in parts or ":" in parts[0]:
            self.refused.append((name, UNSAFE_NAME))
        elif name in self._entries:
            self.refused.append((name, REPEATED_NAME))
        elif all(map(_is_visible, parts)):
            self._entries[name] = entry


class _Archive(io.BufferedReader):
    """The bytes of a zip file. Refuses to read an index that is too large: zipfile reads all of it at once."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self.largest_read: int | None = MAX_INDEX_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as files do. Raises OutOfRangeError for more than `largest_read`."""
        if self.largest_read is not None and size is not None and size > self.largest_read:
            raise OutOfRangeError(
                f"the zip file of the data set has an index of {size:,} bytes, and up to {self.largest_read:,} are read,"
                " those of some 160,000 files; give a part of it",
                field="dataset",
            )
        return super().read(size)


def _open_zip(path: Path, archive: _Archive) -> zipfile.ZipFile:
    try:
        opened_zip = zipfile.ZipFile(archive)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        archive.seek(0)
        if archive.read(len(_START)) == _START:
            raise DataLossError(
                f"the data set {path} is a zip file that is incomplete or damaged ({error}); get it anew"
            ) from error
        raise InvalidArgumentError(
            f"the data set {path} is neither a folder nor a zip file; give one with a folder of pictures for each class",
            field="dataset",
        ) from error
    archive.largest_read = None
    return opened_zip


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_FILE_BYTES:
        raise OutOfRangeError(f"a file has {size_bytes:,} bytes, and up to {MAX_FILE_BYTES:,} are read")


def _raise(error: OSError) -> None:
    raise error
