"""Brings values of other nodes to this one: the application node of a star, through which all goes. For `controller.py`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from protos import fractos_pb2
from Services.fractos.call_memory import NodeMemory, View
from Services.fractos.errors import FractosError, InternalError
from Services.fractos.events import BringMemory, MemoryBrought
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.log_lines import about

log = logging.getLogger(__name__)

AT_A_TIME = 8  # steps whose values are under way: those of other hosts are in this process until they are stored


class Bringing:
    """What is under way to one node. Lives on the Controller's event loop."""

    def __init__(self, memory: NodeMemory, feed: Callable[[MemoryBrought], None]) -> None:
        """`feed` gets the answers."""
        self._memory = memory
        self._feed = feed
        self._tasks: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(AT_A_TIME)

    def begin(self, effect: BringMemory) -> None:
        """Fetch, and keep copies for the run."""
        task = asyncio.create_task(self._bring(effect))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Bring nothing more."""
        for task in self._tasks:
            task.cancel()

    async def _bring(self, effect: BringMemory) -> None:
        copies: list[fractos_pb2.Memory] = []
        error: FractosError | None = None
        try:
            async with self._turns:
                views = await asyncio.gather(*(self._memory.fetcher.fetch(one, effect.deadline) for one in effect.memories))
                copies = await asyncio.to_thread(self._keep, effect, views)
        except FractosError as refused:
            error = refused
        except Exception as failed:  # the run has to hear of it, whatever it is
            log.exception("values could not be brought here", extra=about(*effect.key))
            error = InternalError(f"the values of step {effect.key.step} could not be brought here: {failed}")
        self._feed(MemoryBrought(effect.key, copies, error))

    def _keep(self, effect: BringMemory, views: list[View]) -> list[fractos_pb2.Memory]:
        """Runs in a thread: to copy takes a while."""
        run_id, expires_at = effect.key.run_id, effect.deadline + CLOCK_BOUND_S
        store = self._memory.store
        return [store.publish(v.buffer, run_id=run_id, began_at=effect.began_at, expires_at=expires_at) for v in views]
