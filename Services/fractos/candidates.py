"""Which application node a client uses: the first one that answers, tried in the order in which they lead."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import DirectoryRecord, Member
from Services.fractos.errors import UnavailableError
from Services.fractos.session import Session

DIRECTORY_TIMEOUT_S = 5.0
KNOWN_TIMEOUT_S = 1.0  # the same if there are nodes that were read before
HEAD_START_S = 0.3  # how long a candidate is alone before the next one is tried beside it (RFC 8305, "happy eyeballs")

Open = Callable[[str], Coroutine[Any, Any, Session]]


class Candidates:
    """The application nodes of one datacenter, and which of them failed lately."""

    def __init__(self, record: DirectoryRecord) -> None:
        self._record = record
        self._known: list[Member] = []  # as last read
        self._failures: dict[str, int] = {}  # by address: the number of its last failure
        self._numbers = itertools.count(1)
        self._giving_up: asyncio.Task[None] | None = None

    def failed(self, address: str) -> None:
        """Try this one after all others from now on, but for those that fail later."""
        self._failures[address] = next(self._numbers)

    async def open(self, open_session: Open) -> Session:
        """Read the directory and open a session with the first application node that answers; the others are left alone.

        Raises UnavailableError, with what each of them answered, if none does.
        """
        reasons: list[str] = []
        waiting = await self._listed()
        trials: dict[asyncio.Task[Session], Member] = {}
        try:
            while waiting or trials:
                if waiting:
                    node = waiting.pop(0)
                    trials[asyncio.create_task(open_session(node.address))] = node
                head_start_s = HEAD_START_S if waiting else None
                ended, _ = await asyncio.wait(trials, timeout=head_start_s, return_when=asyncio.FIRST_COMPLETED)
                for trial in [trial for trial in trials if trial in ended]:
                    if not isinstance(error := trial.exception(), UnavailableError):
                        del trials[trial]
                        return trial.result()
                    node = trials.pop(trial)
                    reasons.append(f"{node.name}: {error.message}")
                    self.failed(node.address)
        finally:
            if trials:  # not waited for: whoever cancels this must not lose the session that was found
                self._giving_up = asyncio.create_task(_give_up(trials))
        raise UnavailableError(
            f"no application node of datacenter {self._record.datacenter!r} answers"
            f" ({'; '.join(reasons) or 'none is listed'}); is it running? Start it: python3 run_datacenter.py"
        )

    async def _listed(self) -> list[Member]:
        """The application nodes in the order in which to try them."""
        directory = open_directory(self._record)
        try:
            await directory.start(KNOWN_TIMEOUT_S if self._known else DIRECTORY_TIMEOUT_S)
            self._known = [member for member in directory.members() if member.node_type == "application"]
        except UnavailableError:
            if not self._known:
                raise
            # Losing the directory makes no node dead: those that were there may still answer.
        finally:
            await directory.close()
        addresses = {node.address for node in self._known}
        self._failures = {address: number for address, number in self._failures.items() if address in addresses}
        return sorted(self._known, key=lambda node: self._failures.get(node.address, 0))


async def _give_up(trials: dict[asyncio.Task[Session], Member]) -> None:
    """End the trials that are not needed any more, and the sessions that they opened at the last moment."""
    for trial in trials:
        trial.cancel()
    for opened in await asyncio.gather(*trials, return_exceptions=True):
        if isinstance(opened, Session):
            await opened.abandon()
