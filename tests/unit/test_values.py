"""Integers and arrays keep their value on the wire."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import fractos_pb2
from Services.fractos.errors import InvalidArgumentError
from Services.fractos.values import from_big_integer, from_tensor, to_big_integer, to_tensor


@given(st.one_of(st.integers(), st.integers().map(lambda n: n << 4000)))
def test_integers_of_any_size_come_back(value: int) -> None:
    message = to_big_integer(value)
    assert from_big_integer(fractos_pb2.BigInteger.FromString(message.SerializeToString())) == value
    assert not message.magnitude.startswith(b"\0")


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64", "bool", "complex64", ">i4"])
def test_arrays_come_back(dtype: str) -> None:
    array = (numpy.arange(24) % 7).astype(dtype).reshape(2, 3, 4)
    back = from_tensor(to_tensor(array.T))
    assert back.shape == (4, 3, 2)
    assert (back == array.T).all()
    assert back.dtype == numpy.dtype(dtype).newbyteorder("<")


def test_a_scalar_array_comes_back() -> None:
    assert from_tensor(to_tensor(numpy.array(5))).item() == 5


@pytest.mark.parametrize(
    ("dtype", "shape", "data"), [("uint8", [2, 2], b"123"), ("object", [1], b"12345678"), ("nonsense", [1], b"1")]
)
def test_what_is_no_tensor_is_refused(dtype: str, shape: list[int], data: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match=dtype):
        from_tensor(fractos_pb2.Tensor(dtype=dtype, shape=shape, data=data))
