"""Whether this node owns what its steps work on, and the Requests that wait until that is settled. Pure.

A node with durable state, such as a storage folder, serves only what was sent to it as the owner in its epoch. A standby
that is asked to serve has itself made the owner, unless the owner lives: then whoever asked learns who that is.
"""

from __future__ import annotations

from collections.abc import Callable

from protos import fractos_pb2
from Services.fractos.errors import ResourceExhaustedError
from Services.fractos.events import Effect, TakeOwnership


class Tenure:
    """The ownership of one node."""

    def __init__(self, name: str, held_limit: int, emit: Callable[[Effect], None]) -> None:
        self._name = name
        self._held_limit = held_limit
        self._emit = emit
        self._held: list[fractos_pb2.Frame] = []
        self._asked = False
        self.epoch = 0  # since which this node is the owner; 0: it is not

    def ask(self) -> None:
        """Have the ownership taken over if that can be; the answer is an event."""
        if not self.epoch and not self._asked:
            self._asked = True
            self._emit(TakeOwnership())

    def hold(self, frame: fractos_pb2.Frame) -> None:
        """Keep a Request until it is settled who the owner is. Raises ResourceExhaustedError."""
        if len(self._held) >= self._held_limit:
            raise ResourceExhaustedError(
                f"{self._name} holds {self._held_limit} steps until an owner is settled, which is its limit",
                retry_after_s=0.5,
            )
        self._held.append(frame)
        self.ask()

    def settle(self, epoch: int = 0) -> list[fractos_pb2.Frame]:
        """Take note of an answer: the epoch if this node is the owner now. Returns the Requests that waited for it."""
        self._asked = False
        self.epoch = epoch
        held, self._held = self._held, []
        return held
