"""Arrays in files, in NumPy's .npy format. The first call imports NumPy: a storage node that gets no arrays goes without.

A .npy file may hold pickled Python objects, which run any program when they are read. They are refused by their type, before
any of their bytes is looked at. Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
from io import BytesIO
from tokenize import TokenError
from typing import TYPE_CHECKING

from Services.fractos.errors import DataLossError, FailedPreconditionError

if TYPE_CHECKING:
    import numpy

MAGIC = b"\x93NUMPY"
NUMBERS = "biufc"  # kinds of element types, in NumPy's letters
# What NumPy raises for damaged headers; the warnings where Python runs with -W error.
_DAMAGED = (ValueError, TypeError, LookupError, OverflowError, RecursionError, SyntaxError, TokenError, Warning)


def file_of(array: numpy.ndarray) -> bytes:
    """Return the contents of a file with an array of numbers or booleans."""
    from numpy.lib import format as npy  # noqa: PLC0415

    stream = BytesIO()
    npy.write_array(stream, array, allow_pickle=False)
    return stream.getvalue()


def array_of(data: bytes, source: str) -> numpy.ndarray:
    """Return the array in the contents of a file, read-only and without a copy; `source` names the file in errors.

    Raises FailedPreconditionError for what is no .npy file or has elements that are no numbers, DataLossError for one that is
    damaged or incomplete.
    """
    if not data.startswith(MAGIC):
        start = f"begins with {data[:8]!r}" if data else "is empty"
        raise FailedPreconditionError(f"{source} is no array in NumPy's .npy format: it {start}", field="name")
    try:
        return _parsed(data, source)
    except _DAMAGED as error:
        raise DataLossError(f"{source} is a damaged .npy file ({error}); store it anew", field="name") from error


def _parsed(data: bytes, source: str) -> numpy.ndarray:
    import numpy  # noqa: PLC0415

    stream = BytesIO(data)
    shape, transposed, dtype = _header(stream)
    if dtype.kind not in NUMBERS:
        raise FailedPreconditionError(f"{source} has elements of type {dtype}; arrays of numbers are read", field="name")
    offset = stream.tell()
    if (found := len(data) - offset) != (stated := math.prod(shape) * dtype.itemsize):
        raise ValueError(f"{found:,} bytes of an array that has {stated:,}")
    array = numpy.frombuffer(data, dtype, offset=offset)
    return array.reshape(shape[::-1]).T if transposed else array.reshape(shape)


def _header(stream: BytesIO) -> tuple[tuple[int, ...], bool, numpy.dtype]:
    """The shape, whether the first axis varies fastest, and the element type. Version 3 is for names, which numbers lack."""
    from numpy.lib import format as npy  # noqa: PLC0415

    version = npy.read_magic(stream)
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    shape, transposed, dtype = readers[version](stream)
    if any(side < 0 for side in shape):
        raise ValueError(f"shape {shape}")
    return shape, transposed, dtype
