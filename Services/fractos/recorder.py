"""Brings what the engine wants recorded into the journal: all that one turn of the event loop asks for in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from protos import application_pb2
from Services.fractos.events import Record, Recorded
from Services.fractos.journal import CLEARED_AT_ONCE, Journal
from Services.fractos.records import Entry, Lot, RunRecord

CLEAR_EVERY_S = 1.0
CLEAR_PAUSE_S = 0.01  # between two lots, so that runs go on meanwhile


class Recorder:
    """The way of one application node into its journal. Lives on the Controller's event loop."""

    def __init__(self, journal: Journal, deliver: Callable[[Recorded], None], clock: Callable[[], float]) -> None:
        """`deliver` gets the answers of commits that wait for the disk; those that do not are returned."""
        self._journal = journal
        self._deliver = deliver
        self._clock = clock
        self._entries: list[Entry] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal") if journal.full_sync else None
        self._committing = False
        self._closed = False

    def take(self, effect: Record) -> None:
        """Take an entry, to be written at the next `commit`."""
        self._entries.append(effect.entry)

    def commit(self) -> Recorded | None:
        """Write what was taken. Returns the answer, or None if there is nothing to write or the answer comes later."""
        if not self._entries or self._committing or self._closed:
            return None
        entries, self._entries = self._entries, []
        if self._thread is None:
            return self._journal.commit(entries)
        self._committing = True
        writing = asyncio.get_running_loop().run_in_executor(self._thread, self._journal.commit, entries)
        writing.add_done_callback(self._committed)
        return None

    async def find(self, run_id: bytes) -> RunRecord | None:
        """Return a run, if it is in the journal."""
        if self._thread is None:
            return self._journal.find(run_id)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._journal.find, run_id)

    async def look_through(self, before: int, client: str, state: application_pb2.RunState) -> Lot:
        """Look for runs that have ended in a part of the journal: see there."""
        if self._thread is None:
            return self._journal.look_through(before, client, state)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._journal.look_through, before, client, state)

    async def clear(self) -> None:
        """Remove what may be forgotten, as long as the node is the owner."""
        while True:
            await asyncio.sleep(CLEAR_EVERY_S)
            while await self._clear_some() == CLEARED_AT_ONCE:
                await asyncio.sleep(CLEAR_PAUSE_S)

    def close(self) -> None:
        """Write nothing more; what is being written is. Nobody was told of what was not: it is not accepted, or not ended."""
        self._closed = True
        if self._thread is not None:
            self._thread.shutdown()
        self._journal.close()

    async def _clear_some(self) -> int:
        if self._thread is None:
            return self._journal.clear(self._clock())
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._journal.clear, self._clock())

    def _committed(self, writing: asyncio.Future[Recorded]) -> None:
        self._committing = False
        self._deliver(writing.result())
