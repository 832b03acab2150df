"""Plain Python values and their form on the wire: `int` for BigInteger, NumPy arrays for Tensor.

Used by graphs (arguments), by results and by Adaptors. In a device call large values are left in Memory and read from there:
see `memory_scope.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from protos import fractos_pb2
from Services.fractos.errors import InvalidArgumentError
from Services.fractos.memory_scope import current_scope, read

if TYPE_CHECKING:
    import numpy


def to_big_integer(value: int) -> fractos_pb2.BigInteger:
    """Return the wire form of an integer of any size."""
    size = (value.bit_length() + 7) // 8
    magnitude = abs(value).to_bytes(size, "big")
    scope = current_scope()
    if scope is not None and size > scope.inline_limit:
        return fractos_pb2.BigInteger(negative=value < 0, memory=scope.leave(magnitude))
    return fractos_pb2.BigInteger(negative=value < 0, magnitude=magnitude)


def from_big_integer(message: fractos_pb2.BigInteger) -> int:
    """Return the integer that a message holds."""
    magnitude = int.from_bytes(read(message.memory) if message.HasField("memory") else message.magnitude, "big")
    return -magnitude if message.negative else magnitude


def to_tensor(array: numpy.ndarray) -> fractos_pb2.Tensor:
    """Return the wire form of an array of numbers or booleans, copied once: into the message or into Memory.

    Raises InvalidArgumentError for element types that have no fixed size (objects, strings).
    """
    little_endian = _little_endian(array)
    scope = current_scope()
    if scope is not None and array.nbytes > scope.inline_limit:
        memory = scope.leave(_flat(little_endian))
        return fractos_pb2.Tensor(dtype=array.dtype.name, shape=array.shape, memory=memory)
    return fractos_pb2.Tensor(dtype=array.dtype.name, shape=array.shape, data=little_endian.tobytes())


def as_bytes(value: numpy.ndarray | bytes | bytearray | memoryview) -> tuple[str, tuple[int, ...], memoryview]:
    """The element type, shape and bytes of an array; of plain bytes the bytes alone. Copies only what is not contiguous.

    Raises InvalidArgumentError for what is neither, and for element types that have no fixed size.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "", (), memoryview(value).cast("B")
    if not hasattr(value, "__array_interface__"):
        raise InvalidArgumentError(f"Memory holds an array or bytes, not {type(value).__name__}")
    little_endian = _little_endian(value)
    return value.dtype.name, value.shape, _flat(little_endian)


def _flat(array: numpy.ndarray) -> memoryview:
    return array.reshape(-1).view("uint8").data


def _little_endian(array: numpy.ndarray) -> numpy.ndarray:
    import numpy  # noqa: PLC0415 - only nodes and clients that handle tensors pay for it

    if array.dtype.kind not in "biufc":
        raise InvalidArgumentError(f"an array of {array.dtype} cannot travel; convert it to numbers first")
    return numpy.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def filled_tensor(shape: tuple[int, ...], dtype: numpy.dtype, fill: Callable[[numpy.ndarray], object]) -> fractos_pb2.Tensor:
    """Return the wire form of an array that `fill` writes: every element of what it is given, which may hold anything.

    In a device call a large array lies in Memory from the beginning and is copied nowhere. So `fill` must keep no reference
    to it: FailedPreconditionError is raised then. Also raises what `fill` raises, InvalidArgumentError for element types that
    have no fixed size, ResourceExhaustedError where Memory has no room.
    """
    import numpy  # noqa: PLC0415

    size = math.prod(shape) * dtype.itemsize
    scope = current_scope()
    if scope is None or size <= scope.inline_limit or dtype.kind not in "biufc" or dtype != dtype.newbyteorder("<"):
        array = numpy.empty(shape, dtype)
        fill(array)
        return to_tensor(array)
    draft = scope.draft(size)
    try:
        fill(numpy.frombuffer(draft.buffer, dtype).reshape(shape))
        return fractos_pb2.Tensor(dtype=dtype.name, shape=shape, memory=draft.publish())
    except BaseException:
        draft.discard()
        raise


def from_tensor(message: fractos_pb2.Tensor) -> numpy.ndarray:
    """Return the array that a message holds, read-only and without a copy.

    Raises InvalidArgumentError if type, shape and data contradict one another.
    """
    import numpy  # noqa: PLC0415

    data = read(message.memory) if message.HasField("memory") else message.data
    try:
        dtype = numpy.dtype(message.dtype).newbyteorder("<")
        if dtype.kind not in "biufc":
            raise TypeError(f"{message.dtype} is not a type of numbers")
        return numpy.frombuffer(data, dtype=dtype).reshape(tuple(message.shape))
    except (TypeError, ValueError) as error:
        shape = tuple(message.shape)
        raise InvalidArgumentError(f"not a tensor: {len(data)} bytes as {message.dtype!r} of shape {shape}: {error}") from error
