"""Who owns a piece of durable state: a storage folder or the run journal. Safety rests on this and not on who leads.

The owner is the process that holds the lock in the state's folder, for life. Whoever is asked to serve takes the lock if it is
free. If not, it asks the owner's health: one that answers stays the owner; one that is silent is asked to yield, then killed,
since a process that was merely paused does not know that it was replaced. Used by nodes that have durable state.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from Services.fractos.errors import FailedPreconditionError, UnavailableError
from Services.fractos.owner_files import OwnerFiles, OwnerRecord
from Services.fractos.owner_probe import TURN_S, OwnerProbe
from Services.fractos.owner_process import SilentProcess, is_gone, name_process
from Services.fractos.transport.grpc_channel import SILENCE_S

log = logging.getLogger(__name__)

TAKE_TIMEOUT_S = 6.0  # of a whole take
DECISION_TIMEOUT_S = 5.0  # of what comes before an owner is ended
YIELD_S = 0.3  # how long an owner that is asked to yield may take
KILL_TIMEOUT_S = 2.0  # how long the system may take to end a killed one
POLL_S = 0.01  # how often the lock is tried


@dataclass(frozen=True)
class Owned:
    """This process is the owner, until it ends."""

    epoch: int  # 1 for the first owner; grows with each


@dataclass(frozen=True)
class Elsewhere:
    """Another process is the owner, and answers."""

    node: str  # "storage-1"
    address: str
    epoch: int


Outcome: TypeAlias = Owned | Elsewhere


class Ownership:
    """One node's claim to the state whose lock and record lie in `folder`. For one event loop; `close()` ends it."""

    def __init__(self, folder: Path, datacenter: str, address: str, node: str) -> None:
        """`address` is where the health of `node` is served: a taker that hears nothing there takes this process for dead."""
        self._files = OwnerFiles(folder)
        self._folder = folder
        self._datacenter = datacenter
        self._address = address
        self._node = node
        self._process = name_process(os.getpid())
        self._owned: Owned | None = None
        self._attempt: asyncio.Task[Outcome] | None = None
        self._watching: asyncio.Task[None] | None = None
        self._probe: OwnerProbe | None = None  # of the owner that the record names
        self._closed = False

    async def take(self) -> Outcome:
        """Become the owner, or say who is; within 6 s, at once if the lock is free. May be called again at any time.

        Calls at the same time share one attempt, and whoever cancels one leaves it to the others. Kills an owner that was
        silent for 2.5 s. Raises a FractosError that names the folder if it can be neither: the disk refuses, both files are
        damaged, the owner is silent but must not be killed, or (retryable) nothing could be decided in time.
        """
        if self._owned is not None:
            return self._owned
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._try_to_take(), name=f"taking {self._folder}")
            # Whoever asked may have been cancelled; then nobody else looks at how it ended.
            self._attempt.add_done_callback(lambda attempt: attempt.cancelled() or attempt.exception())
        return await asyncio.shield(self._attempt)

    def watch(self) -> None:
        """Ask the owner for its health twice a second from now on, so that a `take()` knows how long it has been silent.

        For a standby. Changes nothing; ends when this process becomes the owner, or with `close()`.
        """
        if self._watching is None and self._owned is None and not self._closed:
            self._watching = asyncio.create_task(self._watch(), name=f"watching the owner of {self._folder}")

    @property
    def silent_s(self) -> float:
        """For how long, in seconds, the owner has been silent, as far as this node has asked it."""
        return self._probe.silent_s if self._probe is not None else 0.0

    def close(self) -> None:
        """Let go of the lock and end the watch; a `take()` that is under way fails. May be called twice."""
        self._closed = True
        self._owned = None
        self._end_watch()
        self._files.release()

    async def _try_to_take(self) -> Outcome:
        clock = asyncio.get_running_loop().time
        began = clock()
        asked: OwnerProbe | None = None
        answers_before = 0
        try:
            while not self._try_lock():
                if clock() > began + DECISION_TIMEOUT_S:
                    raise self._undecided()
                if (probe := self._find_owner()) is not None:
                    self._check_datacenter(probe.record)
                    if probe is not asked:
                        asked, answers_before = probe, probe.ask()
                    if probe.answers > answers_before:
                        return Elsewhere(probe.record.node, probe.record.address, probe.record.epoch)
                    if probe.silent_s >= SILENCE_S:
                        await self._end(probe.record, began + TAKE_TIMEOUT_S)
                        continue
                await asyncio.sleep(POLL_S)
            return self._become_owner()
        finally:
            if self._owned is None:
                self._files.release()  # whatever came in between: nobody waits for a holder that is no owner
            if self._watching is None:
                self._drop_probe()

    def _try_lock(self) -> bool:
        if self._closed:
            raise UnavailableError(f"{self._node} is stopping and no longer becomes the owner of {self._folder}")
        return self._files.try_lock()

    def _become_owner(self) -> Owned:
        """With the lock in hand. Not in a thread: it happens once, and `close()` must not come in between."""
        epoch = self._files.next_epoch()
        identity = asdict(self._process)
        record = OwnerRecord(epoch, self._node, self._address, self._datacenter, os.getuid(), **identity)
        self._files.write(record)
        self._owned = Owned(epoch)
        self._end_watch()
        log.info("%s is the owner of %s, epoch %d", self._node, self._folder, epoch)
        return self._owned

    def _find_owner(self) -> OwnerProbe | None:
        """The probe of the owner that the record names; None while it names none that may hold the lock.

        Between taking the lock and writing the record there is a moment in which the record names the owner before, which has
        ended. Its address may be another process's by now.
        """
        record = self._files.read()
        if record is None or record.process == self._process or is_gone(record.process):
            self._drop_probe()
        elif self._probe is None or self._probe.record != record:
            self._drop_probe()
            self._probe = OwnerProbe(record)
        return self._probe

    def _drop_probe(self) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    async def _watch(self) -> None:
        while True:
            self._find_owner()
            await asyncio.sleep(TURN_S)

    def _end_watch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None
        self._drop_probe()

    async def _end(self, record: OwnerRecord, deadline: float) -> None:
        """Make a silent owner let go of the lock. Returns when the lock is in hand, or when the record names someone else."""
        if record.user_id != os.getuid():
            raise self._untouchable(record, f"it belongs to user {record.user_id}, and this process to user {os.getuid()}")
        try:
            process = SilentProcess(record.process, self._files.lock)
        except ProcessLookupError:  # it has just ended by itself
            await self._is_replaced(record, POLL_S)
            return
        except FailedPreconditionError as error:
            raise self._untouchable(record, error.message) from error
        with contextlib.closing(process):
            log.warning("%s, process %d, is silent: asked to let go of %s", record.node, record.pid, self._folder)
            process.ask_to_yield()
            if await self._is_replaced(record, YIELD_S):
                return
            log.warning("%s, process %d, did not let go of %s: killed", record.node, record.pid, self._folder)
            process.kill()
            left_s = deadline - asyncio.get_running_loop().time()
            if not await self._is_replaced(record, min(KILL_TIMEOUT_S, left_s)):
                raise self._untouchable(record, "it was killed, but the system has not ended it yet")

    async def _is_replaced(self, record: OwnerRecord, timeout_s: float) -> bool:
        """Whether, within a time, this process gets the lock or the process of `record` is no longer the one that has it."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + timeout_s
        while not self._try_lock():
            probe = self._find_owner()
            if probe is None or probe.record != record:
                return True
            if clock() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def _check_datacenter(self, record: OwnerRecord) -> None:
        if record.datacenter != self._datacenter:
            raise FailedPreconditionError(
                f"{self._folder} is owned by {record.node} of datacenter {record.datacenter!r} (process {record.pid}), and"
                f" {self._node} is of datacenter {self._datacenter!r}; give each datacenter a folder of its own"
            )

    def _untouchable(self, record: OwnerRecord, reason: str) -> FailedPreconditionError:
        return FailedPreconditionError(
            f"{record.node} at {record.address}, the owner of {self._folder}, does not answer, and {self._node} cannot take its"
            f" place: {reason}; find out with `fuser {self._files.lock}` which process has the lock, and end it by hand"
        )

    def _undecided(self) -> UnavailableError:
        """The error for a lock that is held, by whom could not be told in time."""
        return UnavailableError(
            f"{self._folder} has an owner, but {self._files.record} does not name a process that holds the lock, or it has just"
            f" changed; try again, and if that does not help, end the one that `fuser {self._files.lock}` names",
            retry_after_s=1.0,
        )
