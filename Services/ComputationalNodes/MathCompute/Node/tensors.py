"""Arrays of numbers: multiplied, cut, compared. The first call imports NumPy: a math node that gets no arrays goes without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from Services.fractos.errors import InvalidArgumentError, OutOfRangeError

if TYPE_CHECKING:
    import numpy

THRESHOLD = 0.9  # from which similarity on two arrays count as the same, unless the caller says otherwise
MAX_BYTES = 2**28  # of a result, or of an array that is computed with, which keeps a core busy for some tenths of a second


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


def crop(image: numpy.ndarray, top: int, left: int, height: int, width: int) -> numpy.ndarray:
    """Return rows top to top + height and columns left to left + width of an array: a view of it, which copies nothing.

    Further axes stay whole. Raises InvalidArgumentError for an array of fewer than two axes, OutOfRangeError for a rectangle
    that is empty or not within it.
    """
    if image.ndim < 2:
        raise InvalidArgumentError(f"image has {image.ndim} axes; rows and columns make at least 2", field="image")
    for axis, (first, many, start, count) in enumerate((("top", "height", top, height), ("left", "width", left, width))):
        size = image.shape[axis]
        if count < 1:
            raise OutOfRangeError(f"{many} is {count}; it must be 1 or more", field=many)
        if start < 0 or start >= size:
            raise OutOfRangeError(f"{first} is {start}; the image has {size}, counted from 0", field=first)
        if start + count > size:
            raise OutOfRangeError(f"{first} + {many} is {start + count}, beyond the {size} of the image", field=many)
    return image[top : top + height, left : left + width]


def copy(source: numpy.ndarray, target: numpy.ndarray) -> None:
    """Write an array into another one of the same shape and type."""
    target[...] = source


def similarity(a: numpy.ndarray, b: numpy.ndarray) -> float:
    """Return the cosine of the angle between two arrays of real numbers, from -1 to 1: their product over their lengths.

    It is computed in float64 on arrays divided by their largest element, so that no square is too large or too small for it.
    Raises InvalidArgumentError if the shapes differ, or for an array without elements, of zeros, or with what is no finite
    real number, OutOfRangeError for an array that would have more than MAX_BYTES as float64.
    """
    if a.shape != b.shape:
        raise InvalidArgumentError(
            f"a is {a.shape} and b is {b.shape}; only arrays of the same shape can be compared", field="b"
        )
    product = float(_unit("a", a) @ _unit("b", b))
    return max(-1.0, min(1.0, product))  # rounding may lead a little beyond


def verdict(value: float, threshold: float = THRESHOLD) -> str:
    """Say "same" where a similarity reaches the threshold, else "different". Raises OutOfRangeError for an impossible one."""
    if not -1 <= threshold <= 1:
        raise OutOfRangeError(f"threshold is {threshold:g}; a cosine is -1 to 1", field="threshold")
    return "same" if value >= threshold else "different"


def _unit(name: str, array: numpy.ndarray) -> numpy.ndarray:
    """The elements in a row, as float64, divided so that their squares add up to 1."""
    import numpy  # noqa: PLC0415

    if array.dtype.kind not in "biuf":
        raise InvalidArgumentError(f"{name} has elements of type {array.dtype}, which are no real numbers", field=name)
    _check_size(name, array, numpy.dtype(numpy.float64), "as float64 it")
    row = array.reshape(-1).astype(numpy.float64)
    largest = float(max(row.max(initial=0.0), -row.min(initial=0.0)))  # without a copy of the absolute values
    if not 0 < largest < float("inf"):
        wrong = "is all zeros, which point nowhere" if largest == 0 else "has elements that are not finite"
        raise InvalidArgumentError(f"{name} {wrong}", field=name)
    row /= largest
    return row / numpy.sqrt(row @ row)


def result_type(array: numpy.ndarray) -> numpy.dtype:
    """The element type of `array` scaled, for whoever makes room for the result.

    Raises InvalidArgumentError for elements that are no numbers, OutOfRangeError for a result of more than MAX_BYTES.
    """
    dtype = scaled_type(array.dtype)
    _check_size("tensor", array, dtype, "the result")
    return dtype


def _check_size(name: str, array: numpy.ndarray, dtype: numpy.dtype, what: str) -> None:
    """Raise OutOfRangeError for an array that would be too large with elements of another type."""
    if (size_bytes := array.size * dtype.itemsize) > MAX_BYTES:
        raise OutOfRangeError(
            f"{name} is {array.shape} {array.dtype}: {what} may have up to {MAX_BYTES:,} bytes, and would have {size_bytes:,}",
            field=name,
        )


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
