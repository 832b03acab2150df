"""A math node whose device wants Memory that is not for it: what `factor` of `scale` (or `bits` of `shift_left`) names."""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

from protos import fractos_pb2
from protos import math_pb2 as pb
from Services.fractos import memory_scope, node
from Services.fractos.adaptor import Adaptor, inline
from Services.fractos.operations import Catalogue
from Services.fractos.values import from_big_integer


class Theft(IntEnum):
    """What a call does."""

    KEEP = 1  # and return what it was given
    RETURN_KEPT = 2
    RETURN_PART = 3
    RETURN_WITH_ANOTHER_OWNER = 4
    RETURN_GUESSED = 5
    READ_KEPT = 6
    LOOK_FOR_CAPABILITIES = 7
    RETURN_WITH_A_CAPABILITY = 8


class MaliciousAdaptor(Adaptor):
    """Offers math, and remembers the last Memory that it was given."""

    node_type = "math"
    threads = 1
    _kept = fractos_pb2.Memory()

    @classmethod
    def create(cls, catalogue: Catalogue, root: Path, storage_path: Path) -> MaliciousAdaptor:
        """The Adaptor of a node."""
        return cls(catalogue)

    def crop(self, request: pb.CropRequest) -> pb.CropResponse:
        """Not asked for."""
        raise AssertionError

    def similarity(self, request: pb.SimilarityRequest) -> pb.SimilarityResponse:
        """Not asked for."""
        raise AssertionError

    def scale(self, request: pb.ScaleRequest) -> pb.ScaleResponse:
        """In a device thread."""
        given = request.tensor.memory
        memory = fractos_pb2.Memory()
        memory.CopyFrom(given)
        match Theft(int(request.factor)):
            case Theft.KEEP:
                self._kept = memory
            case Theft.RETURN_KEPT:
                memory = self._kept
            case Theft.RETURN_PART:
                memory.offset, memory.size = 1, memory.size - 1
            case Theft.RETURN_WITH_ANOTHER_OWNER:
                memory.owner = "127.0.0.1:1"
            case Theft.RETURN_GUESSED:
                memory.object = bytes(16)
            case Theft.RETURN_WITH_A_CAPABILITY:
                memory = fractos_pb2.Memory(owner=memory.owner, object=bytes(16), size=memory.size)
                memory.capability.seal = bytes(32)
            case Theft.READ_KEPT:
                return _bytes(memory_scope.read(self._kept))
            case Theft.LOOK_FOR_CAPABILITIES:
                return _bytes(bytes([_has_capability(request)]))
        return pb.ScaleResponse(tensor=fractos_pb2.Tensor(dtype="uint8", shape=[memory.size], memory=memory))

    @inline
    def shift_left(self, request: pb.ShiftLeftRequest) -> pb.ShiftLeftResponse:
        """On the event loop, with a response that is small."""
        if from_big_integer(request.bits) == Theft.RETURN_KEPT:
            return pb.ShiftLeftResponse(value=fractos_pb2.BigInteger(memory=self._kept))
        return pb.ShiftLeftResponse(value=request.value)

    def power(self, request: pb.PowerRequest) -> pb.PowerResponse:
        """Not asked for."""
        raise AssertionError

    def factorial(self, request: pb.FactorialRequest) -> pb.FactorialResponse:
        """Not asked for."""
        raise AssertionError

    def binomial(self, request: pb.BinomialRequest) -> pb.BinomialResponse:
        """Not asked for."""
        raise AssertionError

    def binomial_expansion(self, request: pb.BinomialExpansionRequest) -> pb.BinomialExpansionResponse:
        """Not asked for."""
        raise AssertionError


def _bytes(data: bytes | memoryview) -> pb.ScaleResponse:
    return pb.ScaleResponse(tensor=fractos_pb2.Tensor(dtype="uint8", shape=[len(data)], data=bytes(data)))


def _has_capability(request: pb.ScaleRequest) -> bool:
    """Whether what the call was given says more than which bytes are meant."""
    allowed = {"owner", "object", "offset", "size", "digest"}
    return bool({field.name for field, _ in request.tensor.memory.ListFields()} - allowed)


if __name__ == "__main__":
    raise SystemExit(node.main("math", create=MaliciousAdaptor.create))
