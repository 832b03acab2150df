"""What a program that is only drawn gets for a datacenter."""

from __future__ import annotations

import numpy
import pytest

from Services.datacenter.drawing.recorder import RecordingDatacenter
from Services.fractos.errors import OutOfRangeError


def test_memory_reads_as_what_was_left_there() -> None:
    datacenter = RecordingDatacenter(lambda _: None)
    array = datacenter.memory(numpy.arange(6, dtype="float32").reshape(2, 3)).read()
    assert isinstance(array, numpy.ndarray)
    assert (array.shape, array.dtype.name) == ((2, 3), "float32")
    assert datacenter.memory(b"abc").publish().read() == bytes(3)


def test_memory_can_be_narrowed() -> None:
    memory = RecordingDatacenter(lambda _: None).memory(numpy.zeros(8, "uint8"))
    part = memory.narrow(offset=2, size=4)
    assert (part.size_bytes, part.narrow(offset=1).read()) == (4, bytes(3))
    with pytest.raises(OutOfRangeError, match="bytes 4 to 9 are not within"):
        memory.narrow(offset=4, size=5)
