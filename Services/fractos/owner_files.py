"""The two files that say who owns a piece of durable state: `lock`, whose holder is the owner, and `owner.json`, its record.

The lock file is never deleted or replaced. It also holds the epoch of its last taker, written before the record, so that a
record that is damaged, or that a power cut undid, does not take the epoch with it. Used by `Services/fractos/ownership.py`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from Services.fractos.config import TEMPORARY, write_atomically
from Services.fractos.errors import (
    DataLossError,
    FailedPreconditionError,
    FractosError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from Services.fractos.owner_process import ProcessName

log = logging.getLogger(__name__)

_FULL = (ResourceExhaustedError, "make room on that disk")
_NOT_PERMITTED = (PermissionDeniedError, "let the user of this node write there")
_NO_LOCKS = (FailedPreconditionError, "use a folder on a local disk, whose files can be locked")
_REMEDIES: dict[int, tuple[type[FractosError], str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _NOT_PERMITTED,
    errno.EPERM: _NOT_PERMITTED,
    errno.EROFS: (FailedPreconditionError, "mount it for writing"),
    errno.EMFILE: (ResourceExhaustedError, "let this process open more files (ulimit -n)"),
    errno.ENFILE: (ResourceExhaustedError, "let this host open more files (sysctl fs.file-max)"),
    errno.ENOLCK: _NO_LOCKS,
    errno.EOPNOTSUPP: _NO_LOCKS,
}
_ANY_OTHER = (FailedPreconditionError, "this process must be able to write there")


@dataclass(frozen=True)
class OwnerRecord:
    """What an owner says about itself."""

    epoch: int  # one more than that of the owner before
    node: str  # "storage-0"
    address: str  # "127.0.0.1:40213", where its health can be asked
    datacenter: str
    user_id: int
    pid: int
    started: int  # this and `host` as in ProcessName
    host: str

    @property
    def process(self) -> ProcessName:
        """The owner's process."""
        return ProcessName(self.pid, self.started, self.host)


class OwnerFiles:
    """The lock and the record in one folder, as one process sees them."""

    def __init__(self, folder: Path) -> None:
        self.lock = folder / "lock"
        self.record = folder / "owner.json"
        self._folder = folder
        self._descriptor: int | None = None  # while this process holds the lock

    def try_lock(self) -> bool:
        """Take the lock if it is free; gives whether this process has it now. Makes what is missing.

        The lock belongs to the open file, which an executed program does not inherit, but a forked child would. Raises a
        FractosError that names the file if it cannot be used.
        """
        while self._descriptor is None:
            with self._translated(self.lock):
                self._folder.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                    return False
                except OSError:
                    os.close(descriptor)
                    raise
            self._keep(descriptor)
        return True

    def release(self) -> None:
        """Let go of the lock, if this process has it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def next_epoch(self) -> int:
        """With the lock in hand: begin a new epoch, on disk when this returns. Two calls give two epochs.

        Raises DataLossError if neither file tells the last one, or another FractosError if the disk refuses.
        """
        assert self._descriptor is not None, "only the holder of the lock begins an epoch"
        epoch = self._last_epoch() + 1
        with self._translated(self.lock):
            os.pwrite(self._descriptor, _encode_epoch(epoch), 0)
            os.fsync(self._descriptor)
            if epoch == 1:
                self._sync_folder()
        return epoch

    def write(self, record: OwnerRecord) -> None:
        """With the lock in hand: make `record` the one that others read. Raises a FractosError if the disk refuses."""
        with self._translated(self.record):
            # Only owners write here: what is unfinished is that of one who died.
            for leftover in self._folder.glob(f"{TEMPORARY}*"):
                leftover.unlink(missing_ok=True)
            write_atomically(self.record, json.dumps(asdict(record), indent=2) + "\n")

    def read(self) -> OwnerRecord | None:
        """The record of the last owner; None if there is none, if it is damaged or if the next owner is about to replace it."""
        record = self._read_record()
        taken = self._read_epoch()
        return None if record is None or (taken is not None and taken > record.epoch) else record

    def _keep(self, descriptor: int) -> None:
        """Keep the lock, unless someone put another file in the place of the one that was locked."""
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), self.lock.stat()):
                self._descriptor = descriptor
                return
        os.close(descriptor)

    def _last_epoch(self) -> int:
        """The highest epoch that a file tells; 0 in a folder that never had an owner."""
        record, taken = self._read_record(), self._read_epoch()
        if record is None and self.record.exists():
            log.warning("%s is damaged; it is made anew", self.record)
            if not taken:
                raise self._lost()
        if taken is None:
            log.warning("%s is damaged; it is made anew", self.lock)
            if record is None:
                raise self._lost()
        return max(record.epoch if record else 0, taken or 0)

    def _lost(self) -> DataLossError:
        return DataLossError(
            f"{self.lock} and {self.record} are both damaged, so the epoch of the last owner is unknown; bring {self.record}"
            f" back from a backup, or stop every node of the datacenter, delete {self.record} and empty {self.lock}"
            " (`truncate -s 0`, do not delete it)"
        )

    def _read_record(self) -> OwnerRecord | None:
        try:
            record = OwnerRecord(**json.loads(self.record.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        whole = all(type(getattr(record, field.name)).__name__ == field.type for field in fields(record))
        return record if whole else None

    def _read_epoch(self) -> int | None:
        """The epoch in the lock file: 0 if it is empty, None if it is damaged or cannot be read."""
        try:
            content = self.lock.read_bytes()
        except OSError:
            return None
        if not content:
            return 0
        digits = content[:20]
        return int(digits) if digits.isdigit() and content == _encode_epoch(int(digits)) else None

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _translated(self, path: Path) -> Iterator[None]:
        """Raise what the operating system refuses as an error of the tree."""
        try:
            yield
        except OSError as error:
            kind, remedy = _REMEDIES.get(error.errno or 0, _ANY_OTHER)
            raise kind(f"cannot become the owner of {self._folder}: {path}: {error.strerror}; {remedy}") from error


def _encode_epoch(epoch: int) -> bytes:
    """Of fixed width, so that it is written in place, and with a checksum, so that half of it is not taken for an epoch."""
    digits = b"%020d" % epoch
    return b"%s %08x\n" % (digits, zlib.crc32(digits))
