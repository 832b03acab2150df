"""Whether this node owns what its steps work on, and the Requests that wait until that is settled. Pure.

A node with durable state, such as a storage folder, serves only what was sent to it as the owner in its epoch. A standby that
is asked to serve has itself made the owner, unless the owner lives: then whoever asked learns who that is.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from protos import fractos_pb2
from Services.fractos.errors import ResourceExhaustedError
from Services.fractos.events import Effect, Log, NotOwned, Owned, OwnedElsewhere, TakeOwnership
from Services.fractos.placement import Identity
from Services.fractos.reports import Reports

ASK_AGAIN_S = 1.0


class Tenure:
    """The ownership of one node."""

    def __init__(self, identity: Identity, held_limit: int, reports: Reports, emit: Callable[[Effect], None]) -> None:
        self._identity = identity
        self._held_limit = held_limit
        self._reports = reports
        self._emit = emit
        self._held: list[fractos_pb2.Frame] = []
        self._asked = False
        self._leads = False
        self.next_due = math.inf  # when `on_timer_due` has something to do
        self.epoch = 0  # since which this node is the owner; 0: it is not

    def ask(self) -> None:
        """Have the ownership taken over if that can be; the answer is an event."""
        if not self.epoch and not self._asked:
            self._asked = True
            self._emit(TakeOwnership())

    def lead(self, *, is_leader: bool) -> None:
        """Take note whether this node leads its type. One that does takes over as soon as there is no owner that lives."""
        self._leads = is_leader
        if is_leader:
            self.ask()

    def on_timer_due(self, now: float) -> None:
        """Ask again, if the owner lived or could not be replaced the last time."""
        if self.next_due <= now:
            self.next_due = math.inf
            self.lead(is_leader=self._leads)

    def held(self) -> int:
        """How many Requests wait."""
        return len(self._held)

    def admits(self, frame: fractos_pb2.Frame) -> bool:
        """Whether a Request was sent to this node as the owner that it is. At a standby it waits until that is settled.

        Raises ResourceExhaustedError if too many wait.
        """
        if not self.epoch:
            self._hold(frame)
        elif frame.request.steps[0].epoch != self.epoch:
            self._reports.redirect(frame.request, self._identity.address, self.epoch)
        else:
            return True
        return False

    def on_owned(self, event: Owned) -> list[fractos_pb2.Frame]:
        """This node is the owner. Returns the Requests that waited for it."""
        self._emit(Log(logging.INFO, f"{self._identity.name} is the owner in epoch {event.epoch}"))
        self.epoch = event.epoch
        return self._settle()

    def on_owned_elsewhere(self, event: OwnedElsewhere, now: float) -> None:
        """Another node is the owner: those whose Requests waited learn it."""
        text = f"{self._identity.name} stands by for {event.node}, the owner in epoch {event.epoch}"
        self._emit(Log(logging.INFO, text))
        self.next_due = now + ASK_AGAIN_S
        for frame in self._settle():
            self._reports.redirect(frame.request, event.address, event.epoch)

    def on_not_owned(self, event: NotOwned, now: float) -> None:
        """Nothing can be served now."""
        self._emit(Log(logging.WARNING, f"{self._identity.name} cannot serve: {event.error}"))
        self.next_due = now + ASK_AGAIN_S
        for frame in self._settle():
            if event.error.retryable:
                self._reports.lose(frame.request, event.error)
            else:
                self._reports.fail(frame.request, event.error)

    def _hold(self, frame: fractos_pb2.Frame) -> None:
        if len(self._held) >= self._held_limit:
            raise ResourceExhaustedError(
                f"{self._identity.name} holds {self._held_limit} steps until an owner is settled, which is its limit",
                retry_after_s=0.5,
            )
        self._held.append(frame)
        self.ask()

    def _settle(self) -> list[fractos_pb2.Frame]:
        self._asked = False
        held, self._held = self._held, []
        return held
