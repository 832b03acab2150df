"""Arrays of numbers times a number. The first call imports NumPy: a math node that gets no arrays goes without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from Services.fractos.errors import InvalidArgumentError, OutOfRangeError

if TYPE_CHECKING:
    import numpy

MAX_BYTES = 2**28  # of a result, which keeps a core busy for some tenths of a second


def scale(array: numpy.ndarray, factor: float, out: numpy.ndarray | None = None) -> numpy.ndarray:
    """Return `array` times `factor`, in an array of the same shape and of the type that `scaled_type` says.

    It is written into `out` if there is one, of that shape and type, which may be `array` itself. What is too large for its
    type becomes infinite, as IEEE 754 has it; integers beyond 2^53 are rounded before.

    Raises InvalidArgumentError for elements that are no numbers and for an `out` that does not fit, OutOfRangeError for a
    result of more than MAX_BYTES.
    """
    import numpy  # noqa: PLC0415

    dtype = result_type(array)
    if out is None:
        out = numpy.empty(array.shape, dtype)
    elif (out.shape, out.dtype) != (array.shape, dtype):  # NumPy would fill a larger one with repetitions
        raise InvalidArgumentError(f"out is {out.shape} {out.dtype}; it must be {array.shape} {dtype}", field="out")
    with numpy.errstate(all="ignore"):
        numpy.multiply(array, factor, out=out, dtype=dtype)
    return out


def result_type(array: numpy.ndarray) -> numpy.dtype:
    """The element type of `array` scaled, for whoever makes room for the result.

    Raises InvalidArgumentError for elements that are no numbers, OutOfRangeError for a result of more than MAX_BYTES.
    """
    dtype = scaled_type(array.dtype)
    if (size_bytes := array.size * dtype.itemsize) > MAX_BYTES:
        raise OutOfRangeError(
            f"tensor is {array.shape} {array.dtype}: the result may have up to {MAX_BYTES:,} bytes,"
            f" and would have {size_bytes:,}",
            field="tensor",
        )
    return dtype


def scaled_type(dtype: numpy.dtype) -> numpy.dtype:
    """The element type of a scaled array: floating and complex types stay as they are, integers and booleans become float64.

    Raises InvalidArgumentError for what is no type of numbers.
    """
    import numpy  # noqa: PLC0415

    if dtype.kind in "fc":
        return dtype.newbyteorder("=")
    if dtype.kind in "biu":
        return numpy.dtype(numpy.float64)
    raise InvalidArgumentError(f"tensor has elements of type {dtype}, which are no numbers; convert it first", field="tensor")
