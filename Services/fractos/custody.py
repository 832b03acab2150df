"""How a node becomes the owner of its durable state: the lock first, then whatever makes the state whole, then service.

The shell around `ownership.py`, asked by the Controller when the engine wants to own what its steps work on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from Services.fractos.errors import FractosError, InternalError
from Services.fractos.events import NotOwned, Owned, OwnedElsewhere
from Services.fractos.ownership import Elsewhere, Ownership

log = logging.getLogger(__name__)

Recover = Callable[[int], Owned]  # given the epoch; called in a thread


class Custody:
    """The durable state of one node."""

    def __init__(self, ownership: Ownership, recover: Recover) -> None:
        self._ownership = ownership
        self._recover = recover

    def stand_by(self) -> None:
        """Begin to look after the owner, if there is one: should it fall silent, a later `take` need not wait to find out."""
        self._ownership.watch()

    async def take(self) -> Owned | OwnedElsewhere | NotOwned:
        """Become the owner, unless there is one that lives."""
        try:
            outcome = await self._ownership.take()
            if isinstance(outcome, Elsewhere):
                return OwnedElsewhere(outcome.node, outcome.address, outcome.epoch)
            return await asyncio.to_thread(self._recover, outcome.epoch)
        except FractosError as error:
            return NotOwned(error)
        except Exception as error:
            log.exception("could not take over")
            return NotOwned(InternalError(f"the takeover failed: {error}"))

    def close(self) -> None:
        """Let go of it, at the end of the process."""
        self._ownership.close()
