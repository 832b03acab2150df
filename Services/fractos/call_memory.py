"""The Memory of one device call: what its arguments refer to, fetched before it begins, and what it leaves.

Adaptors are not trusted: they see which objects they were given, never the capabilities for them, and a response may refer only
to what its call was given or has made. Made by `device_calls.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import Message

from protos import fractos_pb2
from Services.fractos.delivery import SMALL_OUTPUT_BYTES
from Services.fractos.errors import InternalError, InvalidArgumentError, NotFoundError
from Services.fractos.events import CallDevice
from Services.fractos.large_values import bring_back, bytes_of, fill_in, move_out, references
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.memory_scope import Bytes, Draft, entered

Part = tuple[bytes, int, int]  # object, offset, size


class View(Protocol):
    """Fetched bytes, mapped or in this process."""

    @property
    def buffer(self) -> memoryview:
        """The bytes, read-only."""


class Store(Protocol):
    """Where this node keeps what its calls make: `memory.py`."""

    @property
    def is_crowded(self) -> bool:
        """Whether so many objects are kept that small values had better stay in messages."""

    def publish(self, data: Bytes, *, run_id: bytes, began_at: float, expires_at: float) -> fractos_pb2.Memory:
        """Keep bytes for a run. Raises ResourceExhaustedError."""

    def allocate(self, size: int, *, run_id: bytes, began_at: float, expires_at: float) -> Draft:
        """Make room for bytes of a run that are filled in then. Raises ResourceExhaustedError."""

    def free_runs(self, run_ids: Iterable[bytes]) -> None:
        """Free what is kept for these runs."""


class Fetcher(Protocol):
    """How this node gets at Memory: `transport/memory_fetcher.py`."""

    async def fetch(self, memory: fractos_pb2.Memory, deadline: float) -> View:
        """Get the bytes of a Memory, wherever it is. Raises MemoryLostError if that is gone."""


@dataclass(frozen=True)
class NodeMemory:
    """The Memory of a node, for its device calls."""

    store: Store
    fetcher: Fetcher
    inline_limit: int  # values of up to so many bytes stay in the message


@dataclass(frozen=True)
class Answer:
    """What a device call has made."""

    response: Message
    beside: Sequence[fractos_pb2.Argument] = ()  # outputs that are not in the response, since they are Memory
    whole: bytes | None = None  # the response with all of its values, if that was asked for, or is small
    memory_bytes: int = 0


class CallMemory:
    """The Memory of one call of a run; a MemoryScope."""

    def __init__(self, node: NodeMemory, call: CallDevice) -> None:
        self._node = node
        self._call = call
        self._views: dict[Part, View] = {}
        self._made: dict[Part, Bytes] = {}  # what the response as a whole needs
        self._known: dict[Part, fractos_pb2.Memory] = {}  # what the response may refer to, with its capability
        self.fetched_bytes = 0

    async def fetch(self) -> None:
        """Get all that the arguments refer to, at the same time, and fill in the bytes and texts among them.

        Raises what the first fetch that fails raises: MemoryLostError if the owner is gone.
        """
        fetches = [self._node.fetcher.fetch(memory, self._call.deadline) for memory in self.wanted()]
        self.take(await asyncio.gather(*fetches))

    def wanted(self) -> list[fractos_pb2.Memory]:
        """What is to be fetched, each part once. From now on the request itself has no capability any more."""
        call = self._call
        for memory in references(call.operation, call.request, call.beside):
            self._known[_part(memory)] = _copy(memory)
            memory.ClearField("capability")
        return list(self._known.values())

    def take(self, views: Sequence[View]) -> None:
        """Get what is wanted, in the same order, and fill in the bytes and texts.

        Raises InvalidArgumentError for a text that is not UTF-8.
        """
        call = self._call
        self._views = dict(zip(self._known, views, strict=True))
        self.fetched_bytes = sum(memory.size for memory in self._known.values())
        try:
            fill_in(call.request, call.beside, self.read)
        except ValueError as error:
            raise InvalidArgumentError(f"a text for {call.operation.path} is Memory that is not UTF-8: {error}") from error

    def carry_out(self, work: Callable[[], Message]) -> Answer:
        """Have the Adaptor do its work, in this thread, and move what is large in its response into Memory."""
        with entered(self):
            response = work()
        return self.answer(response)

    def answer(self, response: Message) -> Answer:
        """A response with its large values in Memory.

        Raises InternalError if it refers to Memory that its call neither was given nor made.
        """
        operation = self._call.operation
        for name in operation.value_outputs:
            value = getattr(response, name)
            if value.HasField("memory"):
                value.memory.CopyFrom(self._owned(name, value.memory))
        beside = move_out(operation, response, self.inline_limit, self._leave)
        memory_bytes = bytes_of(operation, response, beside)
        whole = None
        if memory_bytes and self._is_wanted(memory_bytes):
            whole = bring_back(operation, response, beside, self._read_again).SerializeToString()
        return Answer(response, beside, whole, memory_bytes)

    def discard(self) -> None:
        """The run was stopped while the call was under way: free what it has made meanwhile."""
        self._node.store.free_runs((self._call.key.run_id,))

    # -- for the Adaptor, through values.py -------------------------------------------------------------------------------

    @property
    def inline_limit(self) -> int:
        """Values of up to so many bytes stay in the message."""
        leaves_all = self._call.leave and not self._node.store.is_crowded
        return 0 if leaves_all else self._node.inline_limit

    def read(self, memory: fractos_pb2.Memory) -> memoryview:
        """The bytes that an argument of this call refers to."""
        view = self._views.get(_part(memory))
        if view is None:
            raise NotFoundError("the device call was not given this Memory: it can read what its arguments refer to")
        return view.buffer

    def leave(self, data: Bytes) -> fractos_pb2.Memory:
        """Put bytes into this node's Memory, for as long as the run lasts. The Adaptor does not learn the capability."""
        bare = _copy(self._leave(data))
        bare.ClearField("capability")
        return bare

    def draft(self, size: int) -> Draft:
        """Make room in this node's Memory. What is published then is left there like any other."""
        call = self._call
        expires_at = call.deadline + CLOCK_BOUND_S
        draft = self._node.store.allocate(size, run_id=call.key.run_id, began_at=call.began_at, expires_at=expires_at)
        return _CallDraft(draft, self._keep, self._is_wanted(size))

    # ---------------------------------------------------------------------------------------------------------------------

    def _leave(self, data: Bytes) -> fractos_pb2.Memory:
        call = self._call
        expires_at = call.deadline + CLOCK_BOUND_S
        memory = self._node.store.publish(data, run_id=call.key.run_id, began_at=call.began_at, expires_at=expires_at)
        self._keep(memory, data)
        return memory

    def _keep(self, memory: fractos_pb2.Memory, data: Bytes | None) -> None:
        self._known[_part(memory)] = memory
        if data is not None and self._is_wanted(memory.size):
            self._made[_part(memory)] = data

    def _is_wanted(self, size: int) -> bool:
        """Whether Memory of so many bytes goes home with the trail as well: what is small does so unasked."""
        return self._call.whole or size <= SMALL_OUTPUT_BYTES

    def _owned(self, name: str, memory: fractos_pb2.Memory) -> fractos_pb2.Memory:
        known = self._known.get(_part(memory))
        if known is None:
            raise InternalError(
                f"{self._call.operation.path} returned as {name} a Memory that it neither was given nor made", definite=False
            )
        return known

    def _read_again(self, memory: fractos_pb2.Memory) -> Bytes:
        part = _part(memory)
        return self._made[part] if part in self._made else self._views[part].buffer


class _CallDraft:
    """A draft whose Memory a response of the call may refer to."""

    def __init__(self, draft: Draft, keep: Callable[[fractos_pb2.Memory, Bytes | None], None], whole: bool) -> None:
        """`keep` is told what was published; `whole`: with its bytes, since the response goes to the client as well."""
        self._draft = draft
        self._keep = keep
        self._whole = whole

    @property
    def buffer(self) -> memoryview:
        """The bytes, to write into."""
        return self._draft.buffer

    def publish(self) -> fractos_pb2.Memory:
        """From now on nobody writes. The Adaptor does not learn the capability."""
        data = bytes(self._draft.buffer) if self._whole else None
        memory = self._draft.publish()
        self._keep(memory, data)
        bare = _copy(memory)
        bare.ClearField("capability")
        return bare

    def discard(self) -> None:
        """Free it."""
        self._draft.discard()


def _part(memory: fractos_pb2.Memory) -> Part:
    return memory.object, memory.offset, memory.size


def _copy(memory: fractos_pb2.Memory) -> fractos_pb2.Memory:
    copy = fractos_pb2.Memory()
    copy.CopyFrom(memory)
    return copy
