"""What `datacenter.memory(…)` returns: a reference to Memory with what can be done with it. Used by applications."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from protos import fractos_pb2
from Services.fractos.capability import NONCE_BYTES, Rights, narrow
from Services.fractos.client_memory import ClientMemory
from Services.fractos.errors import InvalidArgumentError, OutOfRangeError
from Services.fractos.memory_reference import MemoryReference

if TYPE_CHECKING:
    import numpy

Do = Callable[[Coroutine[Any, Any, Any]], Any]


@dataclass(frozen=True, eq=False)
class Memory(MemoryReference):
    """An array or plain bytes at a node. Can be an argument wherever a graph takes an array, bytes or a text.

    It is freed by `release()`, when its datacenter is closed, and with its node.
    """

    client: ClientMemory = field(kw_only=True, repr=False)
    do: Do = field(kw_only=True, repr=False)  # runs a coroutine on the client's loop

    def read(self) -> numpy.ndarray | bytes:
        """Bring it here: a read-only array, or bytes.

        Raises MemoryLostError if its node is gone, PermissionDeniedError without the right to read it, NotFoundError if it was
        freed, FailedPreconditionError if it is not published.
        """
        view = self.do(self.client.read(self.memory))
        if not self.dtype:
            with view:
                return bytes(view.buffer)
        import numpy  # noqa: PLC0415 - only who handles arrays pays for it

        return numpy.frombuffer(view.buffer, dtype=numpy.dtype(self.dtype).newbyteorder("<")).reshape(self.shape)

    def narrow(
        self, *, offset: int = 0, size: int | None = None, rights: Rights | None = None, expires_at: float = 0.0
    ) -> Memory:
        """A reference that allows less: some of the bytes, from `offset` of this one on, and only some rights. Asks nobody.

        A part of an array is plain bytes. Raises OutOfRangeError if there are no such bytes.
        """
        size = self.memory.size - offset if size is None else size
        if offset < 0 or size < 0 or offset + size > self.memory.size:
            text = f"bytes {offset} to {offset + size} are not within its {self.memory.size} bytes"
            raise OutOfRangeError(text, field="offset")
        is_part = size != self.memory.size
        memory = fractos_pb2.Memory(owner=self.memory.owner, object=self.memory.object, size=size)
        memory.offset = self.memory.offset + offset
        memory.digest = b"" if is_part else self.memory.digest
        capability = narrow(
            self.memory.capability,
            secrets.token_bytes(NONCE_BYTES),
            offset=memory.offset,
            size=size,
            rights=rights,
            expires_at=expires_at,
        )
        memory.capability.CopyFrom(capability)
        return self._with(memory, "" if is_part else self.dtype, () if is_part else self.shape)

    def publish(self) -> Memory:
        """Make an object that was written readable, and for ever as it is now. Returns its reference."""
        return self._with(self.do(self.client.publish(self.memory)), self.dtype, self.shape)

    def copy_from(self, source: MemoryReference) -> None:
        """Write the bytes of another Memory into this one, which is not published yet. They go from node to node.

        Raises InvalidArgumentError if the sizes differ, FailedPreconditionError if this one is published.
        """
        if source.size_bytes != self.size_bytes:
            raise InvalidArgumentError(f"{source!r} has {source.size_bytes} bytes, and this has {self.size_bytes}")
        self.do(self.client.copy(source.memory, self.memory))

    def release(self) -> None:
        """Free it. Who reads it at this moment goes on."""
        self.do(self.client.release(self.memory))

    def _with(self, memory: fractos_pb2.Memory, dtype: str, shape: tuple[int, ...]) -> Memory:
        return Memory(memory, dtype, shape, client=self.client, do=self.do)
