"""The operations of math.proto as calls of the math Device. Made and called by the math Controller."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from protos import fractos_pb2
from protos import math_pb2 as pb
from Services.ComputationalNodes.MathCompute.Node import arithmetic, tensors
from Services.fractos.adaptor import Adaptor, inline
from Services.fractos.errors import InvalidArgumentError, OutOfRangeError
from Services.fractos.interruption import current
from Services.fractos.operations import Catalogue
from Services.fractos.values import filled_tensor, from_big_integer, from_tensor, to_big_integer

if TYPE_CHECKING:
    import numpy


class MathAdaptor(Adaptor):
    """Offers exact arithmetic, and work on arrays. An integer longer than results may be is refused unread."""

    node_type = "math"

    @classmethod
    def create(cls, catalogue: Catalogue, root: Path, storage_path: Path) -> MathAdaptor:
        """The Adaptor of a node; arithmetic needs neither folder."""
        return cls(catalogue)

    @inline
    def shift_left(self, request: pb.ShiftLeftRequest) -> pb.ShiftLeftResponse:
        """value * 2^bits"""
        value = _integer("value", request.value, arithmetic.MAX_SHIFTED_BITS)
        bits = _integer("bits", request.bits, arithmetic.MAX_SHIFTED_BITS)
        return pb.ShiftLeftResponse(value=to_big_integer(arithmetic.shift_left(value, bits)))

    def factorial(self, request: pb.FactorialRequest) -> pb.FactorialResponse:
        """n!"""
        return pb.FactorialResponse(value=to_big_integer(arithmetic.factorial(_integer("n", request.n))))

    def binomial(self, request: pb.BinomialRequest) -> pb.BinomialResponse:
        """The number of ways to choose k of n things."""
        value = arithmetic.binomial(_integer("n", request.n), _integer("k", request.k))
        return pb.BinomialResponse(value=to_big_integer(value))

    def binomial_expansion(self, request: pb.BinomialExpansionRequest) -> pb.BinomialExpansionResponse:
        """(a+b)^n by the binomial theorem."""
        a, b, n = _integer("a", request.a), _integer("b", request.b), _integer("n", request.n)
        return pb.BinomialExpansionResponse(value=to_big_integer(arithmetic.binomial_expansion(a, b, n, current().check)))

    def power(self, request: pb.PowerRequest) -> pb.PowerResponse:
        """base^exponent"""
        value = arithmetic.power(_integer("base", request.base), _integer("exponent", request.exponent))
        return pb.PowerResponse(value=to_big_integer(value))

    def scale(self, request: pb.ScaleRequest) -> pb.ScaleResponse:
        """Every element times factor."""
        array, factor = _tensor("tensor", request.tensor), request.factor
        dtype = tensors.result_type(array)  # before room is made for the result, perhaps at the cost of other runs
        return pb.ScaleResponse(tensor=filled_tensor(array.shape, dtype, lambda out: tensors.scale(array, factor, out)))

    def crop(self, request: pb.CropRequest) -> pb.CropResponse:
        """A rectangle of an array's first two axes."""
        image = _tensor("image", request.image)
        part = tensors.crop(image, request.top, request.left, request.height, request.width)
        return pb.CropResponse(image=filled_tensor(part.shape, part.dtype, lambda out: tensors.copy(part, out)))

    def similarity(self, request: pb.SimilarityRequest) -> pb.SimilarityResponse:
        """The cosine of the angle between two arrays, and whether they are the same by it."""
        threshold = request.threshold if request.HasField("threshold") else tensors.THRESHOLD
        value = tensors.similarity(_tensor("a", request.a), _tensor("b", request.b))
        return pb.SimilarityResponse(value=value, verdict=tensors.verdict(value, threshold))


def _integer(field: str, argument: fractos_pb2.BigInteger, max_bits: int = arithmetic.MAX_BITS) -> int:
    """The integer that an argument holds. Its length is checked first: converting takes 0.1 ms for each 2^20 bits."""
    if (bits := 8 * len(argument.magnitude)) > max_bits:
        raise OutOfRangeError(f"{field} has {bits:,} bits; this operation takes up to {max_bits:,}", field=field)
    return from_big_integer(argument)


def _tensor(field: str, argument: fractos_pb2.Tensor) -> numpy.ndarray:
    """The array that an argument holds, read-only."""
    try:
        return from_tensor(argument)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{field} is {error.message}", field=field) from error
