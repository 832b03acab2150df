"""Revocations in a folder: `<folder>/<service>/<id>`, a file each. Used by the file directory.

A file gets its name once all of it is on disk, and is never changed. What is read is deleted if it has expired, and written
again if it was deleted before: all who know of it see to it that it stays.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from protos import fractos_pb2
from Services.fractos.directory.revocations import decode, encode, has_expired, lost, name_of

UNPUBLISHED = ".new-"
LONGEST_WRITE_S = 60.0

logger = logging.getLogger(__name__)


class RevocationFiles:
    """The records of one datacenter."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ignored: set[Path] = set()  # what is no record, so that it is logged once

    def folder_of(self, service: str) -> Path:
        """Where the records of a service are."""
        return self._folder / service

    def write(self, revocation: fractos_pb2.Revocation) -> None:
        """Write a record, on disk when this returns. Raises OSError. For any thread."""
        folder = self.folder_of(revocation.service)
        folder.mkdir(parents=True, exist_ok=True)
        unpublished = folder / f"{UNPUBLISHED}{secrets.token_hex(8)}"
        try:
            with unpublished.open("xb") as file:
                file.write(encode(revocation))
                file.flush()
                os.fsync(file.fileno())
            unpublished.rename(folder / name_of(revocation))
        except OSError:
            unpublished.unlink(missing_ok=True)
            raise
        _sync(folder)

    def read(self, service: str, known: Mapping[str, fractos_pb2.Revocation], now: float) -> Iterator[fractos_pb2.Revocation]:
        """Read the records of a service, but for those that are `known`. Raises OSError."""
        try:
            paths = list(self.folder_of(service).iterdir())
        except FileNotFoundError:  # somebody deleted the folder
            paths = []
        for record in lost(known, (path.name for path in paths), now):
            self.write(record)
            yield record
        for path in paths:
            if path in self._ignored:
                continue
            try:
                if path.name.startswith(UNPUBLISHED):
                    _sweep(path, now)
                    continue
                record = known.get(path.name) or decode(service, path.name, path.read_bytes())
            except FileNotFoundError:
                continue  # another reader has deleted it
            except (ValueError, OSError) as error:
                self._ignored.add(path)
                logger.warning("ignored in %s: %s", path.parent, error)
                continue
            if has_expired(record, now):
                path.unlink(missing_ok=True)
            else:
                yield record


def _sweep(path: Path, now: float) -> None:
    """Delete what a killed process has not finished."""
    if path.stat().st_mtime + LONGEST_WRITE_S < now:
        path.unlink()


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
