"""Arrays times a number: values, types, and the room that is given."""

from __future__ import annotations

import subprocess
import sys

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from Services.ComputationalNodes.MathCompute.Node.tensors import MAX_BYTES, scale, scaled_type
from Services.fractos.errors import FractosError, InvalidArgumentError, OutOfRangeError

FLOATS = st.floats(allow_nan=False)


@settings(deadline=None, max_examples=30, database=None)
@given(st.lists(FLOATS, max_size=20), FLOATS)
def test_every_element_is_multiplied(elements: list[float], factor: float) -> None:
    scaled = scale(numpy.array(elements, dtype=numpy.float64), factor)
    numpy.testing.assert_array_equal(scaled, [element * factor for element in elements])


@pytest.mark.parametrize(
    ("given_type", "result_type"),
    [(name, name) for name in ("float16", "float32", "float64", "complex64", "complex128")]
    + [(name, "float64") for name in ("bool", "int8", "uint8", "int16", "uint32", "int64", "uint64", ">i4")]
    + [(">f4", "float32"), ("<f8", "float64")],
)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3), (2, 1, 3)])
def test_types_and_shapes(given_type: str, result_type: str, shape: tuple[int, ...]) -> None:
    array = numpy.ones(shape, given_type)
    scaled = scale(array, 0.5)
    assert isinstance(scaled, numpy.ndarray)
    assert scaled.dtype == scaled_type(array.dtype) == numpy.dtype(result_type)
    assert scaled.shape == shape
    assert (scaled == 0.5).all()
    assert (array == 1).all()


def test_complex_numbers_keep_both_parts() -> None:
    assert scale(numpy.array([1 + 2j, -3j]), -2.0).tolist() == [-2 - 4j, 6j]


def test_arrays_with_gaps_in_memory() -> None:
    assert scale(numpy.arange(24).reshape(4, 6)[::2, ::3].T, 10.0).tolist() == [[0, 120], [30, 150]]


def test_what_is_too_large_for_its_type_is_infinite_and_warns_of_nothing() -> None:
    assert scale(numpy.array([2.0, -2.0, 0.0], numpy.float16), 1e6).tolist()[:2] == [numpy.inf, -numpy.inf]
    assert scale(numpy.array([1e300]), 1e300).tolist() == [numpy.inf]
    assert numpy.isnan(scale(numpy.array([0, 1]), float("nan"))).all()


def test_the_result_goes_where_there_is_room_for_it() -> None:
    array = numpy.arange(3, dtype=numpy.float32)
    room = numpy.full(3, 7, numpy.float32)
    assert scale(array, 2.0, out=room) is room
    assert room.tolist() == [0, 2, 4]
    assert array.tolist() == [0, 1, 2]
    assert scale(array, 3.0, out=array) is array
    assert array.tolist() == [0, 3, 6]


@pytest.mark.parametrize(("shape", "dtype"), [((3,), "float64"), ((2, 3), "float32"), ((1,), "float32"), ((3,), ">f4")])
def test_room_that_does_not_fit_is_refused_and_stays_as_it_is(shape: tuple[int, ...], dtype: str) -> None:
    room = numpy.full(shape, 7, dtype)
    with pytest.raises(InvalidArgumentError, match=r"^out is \(.*; it must be \(3,\) float32$") as caught:
        scale(numpy.ones(3, numpy.float32), 2.0, out=room)
    assert caught.value.field == "out"
    assert (room == 7).all()


@pytest.mark.parametrize(
    ("array", "kind", "message"),
    [
        (numpy.array(["a"]), InvalidArgumentError, "tensor has elements of type <U1, which are no numbers"),
        (numpy.array([None]), InvalidArgumentError, "tensor has elements of type object"),
        (numpy.array(["2026-01-01"], "datetime64[D]"), InvalidArgumentError, "tensor has elements of type datetime64"),
        (
            numpy.broadcast_to(numpy.True_, (MAX_BYTES // 8 + 1,)),
            OutOfRangeError,
            r"tensor is \(33554433,\) bool: the result may have up to 268,435,456 bytes, and would have 268,435,464",
        ),
    ],
)
def test_what_cannot_be_scaled_is_named(array: numpy.ndarray, kind: type[FractosError], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        scale(array, 2.0)
    assert caught.value.field == "tensor"


def test_a_math_node_without_arrays_does_not_import_numpy() -> None:
    program = (
        "import sys\n"
        "from Services.ComputationalNodes.MathCompute.Math_Controller import math_controller\n"
        "assert math_controller.MathAdaptor\n"
        "print(sorted(name for name in sys.modules if name == 'numpy'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
