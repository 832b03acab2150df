"""Looks at the datacenter again and again in a thread of its own, so that faults are chosen by how it is now."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from Services.datacenter.observation import Observation, Observer
from Services.datacenter.processes import Processes
from Services.fractos.config import Configuration, read_directory_record
from Services.fractos.errors import UnavailableError

LOOK_EVERY_S = 0.1
PATIENCE_S = 1.0
FIRST_LOOK_S = 20.0


@dataclass(frozen=True)
class Look:
    """An observation and the monotonic time at which it began: what happened later it may not show."""

    began: float
    observation: Observation


class Watch:
    """The latest look; a context manager. `tell` gets each one, in the watch's own thread."""

    def __init__(self, configuration: Configuration, tell: Callable[[Look], None]) -> None:
        self._configuration = configuration
        self._tell = tell
        self._latest: Look | None = None
        self._first = threading.Event()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(1, "chaos watch")
        self._work: Future[None]

    @property
    def latest(self) -> Look:
        """The latest look. Raises what ended the watch, or UnavailableError if there is no look within 20 s."""
        if self._work.done():
            self._work.result()
        if not self._first.wait(FIRST_LOOK_S) or self._latest is None:
            raise UnavailableError(f"the datacenter could not be observed within {FIRST_LOOK_S:g} s")
        return self._latest

    def __enter__(self) -> Watch:
        self._work = self._pool.submit(lambda: asyncio.run(self._look_on()))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._pool.shutdown()

    async def _look_on(self) -> None:
        processes = Processes(self._configuration.root)
        async with Observer(self._configuration, read_directory_record(self._configuration), processes) as observer:
            while not self._stop.is_set():
                began = time.monotonic()
                processes.read()
                look = Look(began, await observer.observe(PATIENCE_S))
                self._tell(look)
                self._latest = look
                self._first.set()
                await asyncio.sleep(LOOK_EVERY_S)
