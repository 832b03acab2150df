"""What a device call may do with Memory: read what its arguments refer to, leave there what it makes. Pure.

`values.py` asks for the current scope, so that Adaptors handle plain arrays and integers and need not know where these are.
Entered by `device_calls.py`, a scope for each call; outside a device call there is none, and everything stays in the message.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeAlias

from protos import fractos_pb2
from Services.fractos.errors import FailedPreconditionError

Bytes: TypeAlias = "bytes | bytearray | memoryview"


class Draft(Protocol):
    """Memory that is being filled in. `publish` or `discard` ends it."""

    @property
    def buffer(self) -> memoryview:
        """The bytes, to write into. There may be anything in them."""

    def publish(self) -> fractos_pb2.Memory:
        """From now on nobody writes. Raises FailedPreconditionError while arrays refer to `buffer`."""

    def discard(self) -> None:
        """Free it."""


class MemoryScope(Protocol):
    """The Memory of one device call."""

    @property
    def inline_limit(self) -> int:
        """Values of up to so many bytes stay in the message."""

    def read(self, memory: fractos_pb2.Memory) -> memoryview:
        """The bytes that an argument of this call refers to, read-only. Valid as long as somebody refers to them."""

    def leave(self, data: Bytes) -> fractos_pb2.Memory:
        """Put bytes into this node's Memory, for as long as the run lasts.

        Raises ResourceExhaustedError where there is no room.
        """

    def draft(self, size: int) -> Draft:
        """Make room for bytes in this node's Memory. Raises ResourceExhaustedError where there is none."""


_current: ContextVar[MemoryScope | None] = ContextVar("memory_scope", default=None)


def current_scope() -> MemoryScope | None:
    """The scope of the device call that this thread carries out. Threads that a device starts do not inherit it."""
    return _current.get()


@contextmanager
def entered(scope: MemoryScope) -> Iterator[None]:
    """Make a scope the current one."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)


def read(memory: fractos_pb2.Memory) -> memoryview:
    """The bytes of a Memory that an argument of the current device call refers to.

    Raises FailedPreconditionError outside a device call.
    """
    scope = _current.get()
    if scope is None:
        raise FailedPreconditionError(
            f"the value is Memory at {memory.owner}: only a step that gets it as an argument can read it; to bring it to the"
            " application, call graph.output(step) before the run"
        )
    return scope.read(memory)
