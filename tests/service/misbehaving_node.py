"""A math node whose device does what no device should: what `n` (or `bits`) of an operation names."""

from __future__ import annotations

import sys
import threading
from enum import IntEnum
from pathlib import Path

from google.protobuf.message import Message

from protos import math_pb2 as pb
from Services.fractos import node
from Services.fractos.adaptor import Adaptor, inline
from Services.fractos.operations import Catalogue
from Services.fractos.values import from_big_integer, to_big_integer


class Conduct(IntEnum):
    """What a call does."""

    ANSWER = 0
    RAISE = 1
    EXIT = 2
    RETURN_NOTHING = 3
    RETURN_ANOTHER_TYPE = 4
    RETURN_TOO_MUCH = 5
    HANG = 6


class MisbehavingAdaptor(Adaptor):
    """Offers math, in its own way."""

    node_type = "math"
    threads = 2

    @classmethod
    def create(cls, catalogue: Catalogue, root: Path, storage_path: Path) -> MisbehavingAdaptor:
        """The Adaptor of a node."""
        return cls(catalogue)

    def factorial(self, request: pb.FactorialRequest) -> Message:
        """In a device thread."""
        return behave(from_big_integer(request.n), pb.FactorialResponse)

    @inline
    def shift_left(self, request: pb.ShiftLeftRequest) -> Message:
        """On the event loop."""
        return behave(from_big_integer(request.bits), pb.ShiftLeftResponse)

    def power(self, request: pb.PowerRequest) -> pb.PowerResponse:
        """Well-behaved."""
        return pb.PowerResponse(value=request.base)

    def crop(self, request: pb.CropRequest) -> pb.CropResponse:
        """Not asked for."""
        raise AssertionError

    def similarity(self, request: pb.SimilarityRequest) -> pb.SimilarityResponse:
        """Not asked for."""
        raise AssertionError

    def scale(self, request: pb.ScaleRequest) -> pb.ScaleResponse:
        """Not asked for."""
        raise AssertionError

    def binomial(self, request: pb.BinomialRequest) -> pb.BinomialResponse:
        """Not asked for."""
        raise AssertionError

    def binomial_expansion(self, request: pb.BinomialExpansionRequest) -> pb.BinomialExpansionResponse:
        """Not asked for."""
        raise AssertionError


def behave(
    conduct: int, response_class: type[pb.FactorialResponse | pb.ShiftLeftResponse]
) -> pb.FactorialResponse | pb.ShiftLeftResponse | pb.PowerResponse:
    """Do as the conduct says."""
    match conduct:
        case Conduct.RAISE:
            raise ZeroDivisionError("as asked")
        case Conduct.EXIT:
            sys.exit(3)
        case Conduct.RETURN_NOTHING:
            return None  # type: ignore[return-value]
        case Conduct.RETURN_ANOTHER_TYPE:
            return pb.PowerResponse()
        case Conduct.RETURN_TOO_MUCH:
            return response_class(value=to_big_integer(1 << (8 * 65 << 20)))
        case Conduct.HANG:
            threading.Event().wait()
    return response_class(value=to_big_integer(conduct))


if __name__ == "__main__":
    raise SystemExit(node.main("math", create=MisbehavingAdaptor.create))
