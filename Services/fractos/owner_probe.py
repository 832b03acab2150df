"""Whether an owner lives, by its own word: its health is asked again and again. Used by `Services/fractos/ownership.py`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from Services.fractos.owner_files import OwnerRecord
from Services.fractos.transport.grpc_channel import OPTIONS, SILENCE_S

TURN_S = 0.5  # how often the owner is asked
_OPTIONS = [
    *OPTIONS,
    # An owner that listens again is heard at its next turn.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 500),
]
# Everything else comes from a process that lives, healthy or not.
_UNANSWERED = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}


class OwnerProbe:
    """Asks one owner for its health, over one channel, every half second until `close()`."""

    def __init__(self, record: OwnerRecord) -> None:
        self.record = record
        self.answers = 0
        self._silent_turns = 0
        self._stub: Any = None  # while there is a channel; its methods are made at run time
        self._question: asyncio.Task[None] | None = None
        self._asking = asyncio.create_task(self._ask_repeatedly(), name=f"asking {record.node} for its health")

    @property
    def silent_s(self) -> float:
        """For how long there has been no answer, in seconds.

        Counts turns instead of looking at a clock: when the whole machine has been paused, nobody was silent.
        """
        return self._silent_turns * TURN_S

    def ask(self) -> int:
        """Ask now, unless a question is under way, and return how many answers there have been so far."""
        if self._stub is not None and (self._question is None or self._question.done()):
            self._question = asyncio.create_task(self._ask())
        return self.answers

    def close(self) -> None:
        """Ask no more."""
        self._asking.cancel()

    async def _ask_repeatedly(self) -> None:
        async with grpc.aio.insecure_channel(self.record.address, _OPTIONS) as channel:
            self._stub = health_pb2_grpc.HealthStub(channel)
            try:
                while True:
                    self.ask()
                    await asyncio.sleep(TURN_S)
                    self._silent_turns += 1
            finally:
                if self._question is not None:
                    self._question.cancel()
                    with suppress(asyncio.CancelledError):
                        await self._question
                self._stub = None

    async def _ask(self) -> None:
        """One question may outlast turns: a busy owner that answers within the bound is not silent."""
        try:
            await self._stub.Check(health_pb2.HealthCheckRequest(), timeout=SILENCE_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in _UNANSWERED:
                return
        self.answers += 1
        self._silent_turns = 0
