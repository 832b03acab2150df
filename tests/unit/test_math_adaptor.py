"""The operations of math.proto, as a Controller calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest

from protos import fractos_pb2
from protos import math_pb2 as pb
from Services.ComputationalNodes.MathCompute.Math_Adaptor.math_adaptor import MathAdaptor
from Services.ComputationalNodes.MathCompute.Node.arithmetic import MAX_BITS, MAX_SHIFTED_BITS
from Services.fractos.errors import InvalidArgumentError, OutOfRangeError
from Services.fractos.operations import Catalogue, Operation
from Services.fractos.values import from_big_integer, from_tensor, to_big_integer, to_tensor

CATALOGUE = Catalogue.from_protos()
ADAPTOR = MathAdaptor.create(CATALOGUE, Path(), Path())


def call(name: str, **arguments: int) -> int:
    operation = CATALOGUE.get(f"math.{name}")
    assert operation
    request = operation.request_class(**{field: to_big_integer(value) for field, value in arguments.items()})
    response: Any = ADAPTOR.call(operation, request)
    return from_big_integer(response.value)


def scaled(tensor: fractos_pb2.Tensor, factor: float) -> numpy.ndarray:
    operation = CATALOGUE.get("math.scale")
    assert operation
    assert operation.repeatable
    response: Any = ADAPTOR.call(operation, pb.ScaleRequest(tensor=tensor, factor=factor))
    return from_tensor(response.tensor)


def test_every_operation_on_integers() -> None:
    assert call("shift_left", value=-5, bits=5000) == -5 << 5000
    assert call("factorial", n=20) == 2432902008176640000
    assert call("binomial", n=52, k=5) == 2598960
    assert call("binomial_expansion", a=2, b=-5, n=3) == -27
    assert call("power", base=-7, exponent=77) == (-7) ** 77


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("shift_left", {"value": 1 << MAX_SHIFTED_BITS, "bits": 0}, "value"),
        ("shift_left", {"value": 0, "bits": 1 << MAX_SHIFTED_BITS}, "bits"),
        ("factorial", {"n": 1 << MAX_BITS}, "n"),
        ("binomial", {"n": 1, "k": 1 << MAX_BITS}, "k"),
        ("binomial_expansion", {"a": 1 << MAX_BITS, "b": 1, "n": 0}, "a"),
        ("power", {"base": 0, "exponent": 1 << MAX_BITS}, "exponent"),
    ],
)
def test_arguments_have_a_bound(name: str, arguments: dict[str, int], field: str) -> None:
    with pytest.raises(OutOfRangeError, match=f"^{field} has 262,152 bits|^{field} has 1,048,584 bits") as caught:
        call(name, **arguments)
    assert caught.value.field == field


def test_scale() -> None:
    array = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
    result = scaled(to_tensor(array), -0.5)
    assert result.dtype == numpy.float32
    assert result.tolist() == [[0, -0.5, -1], [-1.5, -2, -2.5]]
    assert scaled(to_tensor(numpy.array([True, False])), 3.0).tolist() == [3.0, 0.0]
    assert scaled(to_tensor(numpy.array(4)), 0.25).shape == ()


@pytest.mark.parametrize(
    ("tensor", "shown"),
    [
        (fractos_pb2.Tensor(), "0 bytes as '' of shape"),
        (fractos_pb2.Tensor(dtype="float64", shape=[2], data=bytes(8)), "8 bytes as 'float64' of shape .2,."),
        (fractos_pb2.Tensor(dtype="object", shape=[1], data=bytes(8)), "8 bytes as 'object' of shape .1,."),
    ],
)
def test_what_is_no_tensor_is_refused(tensor: fractos_pb2.Tensor, shown: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^tensor is not a tensor: {shown}") as caught:
        scaled(tensor, 1.0)
    assert caught.value.field == "tensor"


def test_only_shift_left_runs_on_the_event_loop() -> None:
    assert [operation.name for operation in CATALOGUE.of_type("math") if ADAPTOR.is_inline(operation)] == ["shift_left"]


def test_crop_and_similarity() -> None:
    picture = numpy.arange(400 * 500 * 3, dtype=numpy.uint16).reshape(400, 500, 3)
    request = pb.CropRequest(image=to_tensor(picture), top=10, left=20, height=30, width=40)
    response: Any = ADAPTOR.call(operation_of("crop"), request)
    part = from_tensor(response.image)
    assert part.dtype == numpy.uint16
    numpy.testing.assert_array_equal(part, picture[10:40, 20:60])
    a, b = to_tensor(numpy.array([1.0, 0.0])), to_tensor(numpy.array([1, 1], numpy.uint8))
    answer: Any = ADAPTOR.call(operation_of("similarity"), pb.SimilarityRequest(a=a, b=b))
    assert answer.value == pytest.approx(0.5**0.5)
    assert answer.verdict == "different"
    answer = ADAPTOR.call(operation_of("similarity"), pb.SimilarityRequest(a=a, b=b, threshold=0.0))
    assert answer.verdict == "same"
    with pytest.raises(InvalidArgumentError, match=r"^b is not a tensor") as caught:
        ADAPTOR.call(operation_of("similarity"), pb.SimilarityRequest(a=a))
    assert caught.value.field == "b"


def operation_of(name: str) -> Operation:
    operation = CATALOGUE.get(f"math.{name}")
    assert operation
    assert operation.repeatable
    return operation
