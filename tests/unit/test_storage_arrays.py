"""Arrays in .npy files: what was written is read, and what is no such file is told apart from what is damaged."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from Services.fractos.errors import DataLossError, FailedPreconditionError
from Services.StorageNode.Node.arrays import array_of, file_of

WHOLE = file_of(numpy.arange(6.0))
TYPES = ("bool", "int8", "uint16", "int64", "float16", "float32", "float64", "complex64", ">i4", ">f8")


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (5,), (2, 3), (2, 3, 4)])
def test_what_was_written_is_read(dtype: str, shape: tuple[int, ...]) -> None:
    for array in (
        numpy.ones(shape, dtype),
        numpy.asfortranarray(numpy.arange(24).astype(dtype)[: numpy.prod(shape, dtype=int)].reshape(shape)),
    ):
        found = array_of(file_of(array), "a file")
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        numpy.testing.assert_array_equal(found, array)


def test_numpy_reads_it_and_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(WHOLE)
    numpy.testing.assert_array_equal(numpy.load(tmp_path / "a.npy"), numpy.arange(6.0))
    numpy.save(tmp_path / "b.npy", numpy.eye(3))
    numpy.testing.assert_array_equal(array_of((tmp_path / "b.npy").read_bytes(), "b"), numpy.eye(3))


def npy(array: numpy.ndarray) -> bytes:
    stream = io.BytesIO()
    numpy.save(stream, array, allow_pickle=True)
    return stream.getvalue()


class Bomb:
    """What a pickle may do when it is read."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was read",)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "admin/a is no array in NumPy's .npy format: it is empty"),
        (b"hello world", "admin/a is no array in NumPy's .npy format: it begins with b'hello wo'"),
        (pickle.dumps(Bomb()), "admin/a is no array"),
        (npy(numpy.array([Bomb()])), "admin/a has elements of type object"),
        (npy(numpy.array(["a"])), "admin/a has elements of type <U1"),
        (npy(numpy.zeros(2, "i4,f8")), "admin/a has elements of type"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(FailedPreconditionError, match=f"^{says}") as caught:
        array_of(data, "admin/a")
    assert caught.value.field == "name"


@pytest.mark.parametrize("end", range(6, len(WHOLE)))
def test_a_file_that_was_cut_is_damaged(end: int) -> None:
    with pytest.raises(DataLossError, match=r"^admin/a "):
        array_of(WHOLE[:end], "admin/a")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"\x01\x00", b"\x09\x00"),
        (b"'<f8'", b"'q!?'"),
        (b"(6,)", b"(7,)"),
        (b"(6,)", b"(-6)"),
        (b"(6,), }", b"(-6,),}"),
        (b"(6,), }               ", b"(999999999999999999,)}"),
        (b"False", b"Falsy"),
        (b"{", b"["),
    ],
)
def test_a_damaged_header_is_told(old: bytes, new: bytes) -> None:
    assert old in WHOLE
    with pytest.raises(DataLossError, match=r"^admin/a "):
        array_of(WHOLE.replace(old, new, 1), "admin/a")


@settings(deadline=None, database=None)
@given(st.integers(0, len(WHOLE) - 49), st.binary(min_size=1, max_size=20))
def test_no_header_does_more_than_raise(start: int, noise: bytes) -> None:
    damaged = WHOLE[:start] + noise + WHOLE[start + len(noise) :]
    try:
        array_of(damaged, "admin/a")
    except (FailedPreconditionError, DataLossError) as error:
        assert "admin/a" in error.message
