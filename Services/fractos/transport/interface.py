"""How frames get from one Controller to another: what every transport offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from protos import fractos_pb2
from Services.fractos.events import FrameReceived, LinkLost, LinkOpened, PeerEpoch


class Deliver(Protocol):
    """Takes what arrives at a node and what becomes of its channels: `Controller.feed`."""

    def __call__(self, *events: FrameReceived | LinkOpened | LinkLost | PeerEpoch) -> None:
        """Events that came together are delivered together."""


class Transport(ABC):
    """Channels to other nodes, each opened when it is first needed. Lives on one event loop.

    What arrives, and what becomes of channels, is told to the `deliver` that the transport was made with. Frames to one address
    arrive in order and at most once; those that may not have arrived are handed back in LinkLost.
    """

    @abstractmethod
    def send(self, address: str, frame: fractos_pb2.Frame) -> None:
        """Queue a frame. Errors come as LinkLost."""

    @abstractmethod
    def flush(self) -> None:
        """Begin to send what was queued. Never waits."""

    @abstractmethod
    def keep(self, address: str) -> None:
        """Open a channel although there is nothing to send, so that its loss is noticed."""

    @abstractmethod
    def release(self, address: str) -> None:
        """Undo `keep`: a channel that carries nothing for long may be closed, which nobody is told."""

    @abstractmethod
    async def close(self) -> None:
        """Send what is queued, within a second, then close every channel."""
