"""The directory in a folder, for datacenters on one host. Opened by `open_directory`.

A node is the file `<folder>/<datacenter>/nodes/<id>-<node>-<sequence>`, on which its process holds an exclusive `flock` for
life; the kernel drops it however the process dies. A file gets its final name once it is locked, and no name is ever used
twice: so an entry that is not locked is that of a dead process, now and for ever, and whoever sees it may delete it.

Revocations are the files `<folder>/<datacenter>/revocations/<service>/<id>`; see revocation_files.py.

The lock belongs to the open file, which a forked child shares: a process that is listed must not fork without exec.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from protos import fractos_pb2
from Services.fractos.directory.changes import Changes, follow_changes
from Services.fractos.directory.entry import Registration, choose_index, decode, encode, entry_prefix
from Services.fractos.directory.interface import Directory, DirectoryRecord, Member, RevocationWatcher, Watcher
from Services.fractos.directory.revocation_files import RevocationFiles
from Services.fractos.directory.revocations import Revocations
from Services.fractos.directory.roster import Roster
from Services.fractos.errors import DataLossError, FailedPreconditionError, FractosError, UnavailableError

REGISTER_TIMEOUT_S = 15.0
BUSY_RETRY_S = 0.005
ERROR_RETRY_S = 5.0
UNPUBLISHED = ".new-"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry:
    """An entry, open so that its lock can be probed."""

    descriptor: int
    member: Member | None  # None: the file is not a node's


class FileDirectory(Directory):
    """One datacenter's folder of entries. Keeps a file open per member."""

    def __init__(self, record: DirectoryRecord, follow: Callable[[Path, Callable[[], None]], Changes] = follow_changes) -> None:
        """Notice changes by `follow`, which is given the folder and what to call."""
        self._folder = Path(record.address) / record.datacenter / "nodes"
        self._sequence_file = self._folder.with_name("sequence")
        self._notice = follow
        self._roster = Roster()
        self._revocations = Revocations()
        self._revocation_files = RevocationFiles(self._folder.with_name("revocations"))
        self._entries: dict[str, _Entry] = {}  # by name
        self._follows = True
        self._changes: Changes | None = None
        self._registration: Registration | None = None
        self._own: tuple[str, int] | None = None  # name and locked descriptor of this process's entry
        self._retry: asyncio.TimerHandle | None = None

    async def start(self, timeout_s: float = 10.0, *, follow: bool = True) -> None:
        """Make the folder if it is missing and read who is there; takes a few milliseconds, whatever `timeout_s` is.

        Raises UnavailableError, naming the folder, if it cannot be used.
        """
        self._follows = follow
        try:
            self._changes = self._notice(self._folder, self._look)
            self._look()
        except OSError as error:
            await self.close()
            raise self._unusable(error) from error

    async def follow(self) -> None:
        """Follow the others from now on; see Directory."""
        self._check_started()
        self._follows = True
        try:
            self._look()
        except OSError as error:
            raise self._unusable(error) from error

    async def prepare(self) -> None:
        """Nothing is needed: who may write into the folder may register."""

    async def register(self, node_type: str, index: int | None, *, id: str, address: str, pid: int, log: str) -> Member:
        """List this process; see Directory.

        Raises UnavailableError if the folder cannot be written or another process has it locked for 15 s.
        """
        if self._changes is None or self._registration is not None:
            raise FailedPreconditionError(f"{address} must start() the directory first, and register() once")
        registration = Registration(node_type, index, id, address, pid, log)
        deadline = time.monotonic() + REGISTER_TIMEOUT_S
        while True:
            try:
                member = self._list(registration)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise self._unusable(error) from error
                await asyncio.sleep(BUSY_RETRY_S)
            except OSError as error:
                raise self._unusable(error) from error
            else:
                self._publish()
                return member

    def members(self) -> tuple[Member, ...]:
        """All registered nodes as last seen, sorted by type, then sequence."""
        return self._roster.members

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` with `members()` now, and again after every change."""
        self._roster.watch(watcher)

    async def put_revocation(self, revocation: fractos_pb2.Revocation) -> None:
        """Keep a record, on disk when this returns; see Directory."""
        self._check_started()
        try:
            await asyncio.to_thread(self._revocation_files.write, revocation)
            self._look()
        except OSError as error:
            raise self._unusable(error) from error

    async def revocations(self, service: str) -> tuple[fractos_pb2.Revocation, ...]:
        """Read all records of a service; see Directory."""
        changes = self._check_started()
        try:
            if service not in self._revocations.services:
                changes.add(self._revocation_files.folder_of(service))
                self._revocations.follow(service)
            self._read_revocations()
        except OSError as error:
            raise self._unusable(error) from error
        return self._revocations.of(service)

    async def watch_revocations(self, service: str, watcher: RevocationWatcher) -> None:
        """Call `watcher` with all records now, and with new ones; see Directory."""
        await self.revocations(service)
        self._revocations.watch(service, watcher)

    async def close(self) -> None:
        """Delete the entry and close every file. May be called twice."""
        if self._changes is not None:
            self._changes.close()
            self._changes = None
        if self._retry is not None:
            self._retry.cancel()
        self._registration = None
        self._withdraw()
        for name in list(self._entries):
            self._forget(name)

    def _look(self) -> None:
        """Bring the members up to date, and keep this process listed."""
        if self._follows:
            self._read_folder(self._is_followed)
        elif self._own is not None and self._own[0] in self._entries and not (self._folder / self._own[0]).exists():
            self._forget(self._own[0])  # with everybody reading the whole folder its cost would grow with the square
        self._read_revocations()
        listed = self._own is not None and self._own[0] in self._entries
        if self._registration is not None and not listed and self._retry is None:
            self._list_again(self._registration)
        self._publish()

    def _check_started(self) -> Changes:
        if self._changes is None:
            raise FailedPreconditionError(f"start() the directory in {self._folder.parent} first")
        return self._changes

    def _read_revocations(self) -> None:
        for service in self._revocations.services:
            known = self._revocations.known(service)
            self._revocations.replace(service, self._revocation_files.read(service, known, time.time()))

    def _publish(self) -> None:
        if self._follows:
            self._roster.replace(entry.member for entry in self._entries.values() if entry.member is not None)

    def _is_followed(self, name: str) -> bool:
        return self._follows or (self._own is not None and name == self._own[0])

    def _read_folder(self, matters: Callable[[str], bool]) -> None:
        """Take in new entries that matter, forget the others and those that are gone, delete those of dead processes."""
        try:
            found = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            found = []
        names = {name for name in found if not name.startswith(UNPUBLISHED) and matters(name)}
        for name in self._entries.keys() - names:
            self._forget(name)
        for name in names - self._entries.keys():
            with contextlib.suppress(FileNotFoundError):
                self._entries[name] = _open_entry(self._folder / name)
        for name, entry in list(self._entries.items()):
            if entry.member is not None and not _is_locked(entry.descriptor):
                (self._folder / name).unlink(missing_ok=True)
                self._forget(name)

    def _forget(self, name: str) -> None:
        os.close(self._entries.pop(name).descriptor)

    def _list(self, registration: Registration) -> Member:
        """Create this process's entry. Raises BlockingIOError while another process does the same, and AlreadyExistsError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with _locked(self._sequence_file) as counter:
            self._read_folder(lambda name: self._follows or registration.competes(name))
            index = choose_index(registration, (entry.member for entry in self._entries.values() if entry.member is not None))
            name = f"{entry_prefix(registration, index)}{self._next_sequence(counter):010}"
            content = encode(registration, index, time.time())
            self._withdraw()
            self._own = name, _create_entry(self._folder, name, content)
        self._registration = replace(registration, index=index)
        self._read_folder(self._is_followed)
        return decode(name, content)

    def _list_again(self, registration: Registration) -> None:
        """Create the entry anew after someone deleted it."""
        try:
            self._list(registration)
        except BlockingIOError:
            self._retry_in(BUSY_RETRY_S)
        except (OSError, FractosError):
            logger.exception("this node is no longer listed in %s; trying again", self._folder)
            self._retry_in(ERROR_RETRY_S)

    def _retry_in(self, delay_s: float) -> None:
        self._retry = asyncio.get_running_loop().call_later(delay_s, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self._look()

    def _withdraw(self) -> None:
        """Delete this process's entry, then close it: it must not be seen unlocked while the process lives."""
        if self._own is not None:
            name, descriptor = self._own
            self._own = None
            (self._folder / name).unlink(missing_ok=True)
            os.close(descriptor)

    def _next_sequence(self, counter: int) -> int:
        """Count on in the open sequence file. Of fixed width, so that a kill never leaves half a number."""
        text = os.pread(counter, 32, 0)
        if text and not text.strip().isdigit():
            raise DataLossError(f"{self._sequence_file} holds {text!r}, not a number; delete it while no node is running")
        sequence = int(text or b"0")
        os.pwrite(counter, b"%010d\n" % (sequence + 1), 0)
        return sequence

    def _unusable(self, error: OSError) -> UnavailableError:
        return UnavailableError(
            f"cannot keep a directory in {self._folder.parent}: {error}; this process must be able to write"
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Open a file, made if it is missing, with an exclusive lock. Raises BlockingIOError if another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield descriptor
    finally:
        os.close(descriptor)


def _create_entry(folder: Path, name: str, content: bytes) -> int:
    """Write an entry and lock it before it gets its name. Returns the descriptor that holds the lock.

    The caller holds the sequence file's lock, so unpublished files of others are what dead processes left.
    """
    for leftover in folder.glob(f"{UNPUBLISHED}*"):
        leftover.unlink()
    unpublished = folder / f"{UNPUBLISHED}{name}"
    descriptor = os.open(unpublished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        unpublished.rename(folder / name)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_entry(path: Path) -> _Entry:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return _Entry(descriptor, decode(path.name, os.read(descriptor, 65536)))
    except (ValueError, OSError) as error:
        logger.warning("ignored in the directory: %s", error)
        return _Entry(descriptor, None)


def _is_locked(descriptor: int) -> bool:
    """Whether the process that published an entry lives. A shared lock, so that probes do not see one another."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
