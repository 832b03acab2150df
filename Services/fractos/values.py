"""Plain Python values and their form on the wire: `int` for BigInteger, NumPy arrays for Tensor.

Used by graphs (arguments), by results and by Adaptors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from protos import fractos_pb2
from Services.fractos.errors import InvalidArgumentError

if TYPE_CHECKING:
    import numpy


def to_big_integer(value: int) -> fractos_pb2.BigInteger:
    """Return the wire form of an integer of any size."""
    magnitude = abs(value)
    return fractos_pb2.BigInteger(negative=value < 0, magnitude=magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "big"))


def from_big_integer(message: fractos_pb2.BigInteger) -> int:
    """Return the integer that a message holds."""
    magnitude = int.from_bytes(message.magnitude, "big")
    return -magnitude if message.negative else magnitude


def to_tensor(array: numpy.ndarray) -> fractos_pb2.Tensor:
    """Return the wire form of an array of numbers or booleans, copied.

    Raises InvalidArgumentError for element types that have no fixed size (objects, strings).
    """
    import numpy  # noqa: PLC0415 - only nodes and clients that handle tensors pay for it

    if array.dtype.kind not in "biufc":
        raise InvalidArgumentError(f"an array of {array.dtype} cannot travel; convert it to numbers first")
    little_endian = numpy.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return fractos_pb2.Tensor(dtype=array.dtype.name, shape=array.shape, data=little_endian.tobytes())


def from_tensor(message: fractos_pb2.Tensor) -> numpy.ndarray:
    """Return the array that a message holds, read-only and without a copy.

    Raises InvalidArgumentError if type, shape and data contradict one another.
    """
    import numpy  # noqa: PLC0415

    try:
        dtype = numpy.dtype(message.dtype).newbyteorder("<")
        if dtype.kind not in "biufc":
            raise TypeError(f"{message.dtype} is not a type of numbers")
        return numpy.frombuffer(message.data, dtype=dtype).reshape(tuple(message.shape))
    except (TypeError, ValueError) as error:
        shape = tuple(message.shape)
        raise InvalidArgumentError(
            f"not a tensor: {len(message.data)} bytes as {message.dtype!r} of shape {shape}: {error}"
        ) from error
