"""A reference to Memory as applications and graphs hold it: what the bytes are, where they are, and the right to them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from protos import fractos_pb2
from Services.fractos.errors import GraphError


@dataclass(frozen=True, eq=False)
class MemoryReference:
    """An array, or plain bytes, at some node. Can be an argument wherever a graph takes an array, bytes or a text."""

    memory: fractos_pb2.Memory
    dtype: str = ""  # NumPy's name of the element type; empty: plain bytes
    shape: tuple[int, ...] = ()

    @property
    def size_bytes(self) -> int:
        """How many bytes it refers to."""
        return self.memory.size

    @property
    def owner(self) -> str:
        """host:port of the node that holds them."""
        return self.memory.owner

    def tensor(self) -> fractos_pb2.Tensor:
        """The wire form of an array that is Memory. Raises GraphError for plain bytes."""
        if not self.dtype:
            raise GraphError("it refers to plain bytes, not to an array")
        return fractos_pb2.Tensor(dtype=self.dtype, shape=self.shape, memory=self.memory)

    def plain(self) -> fractos_pb2.Memory:
        """The Memory of plain bytes. Raises GraphError for an array."""
        if self.dtype:
            raise GraphError(f"it refers to an array of {self.dtype}, not to plain bytes")
        return self.memory

    def __repr__(self) -> str:
        what = f"{self.dtype} array of shape {self.shape}" if self.dtype else f"{self.size_bytes} bytes"
        return f"<{what} at {self.owner}>"
