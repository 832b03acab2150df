"""Parts of arrays, and how alike two arrays are."""

from __future__ import annotations

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from Services.ComputationalNodes.MathCompute.Node.tensors import MAX_BYTES, crop, similarity, verdict
from Services.fractos.errors import FractosError, InvalidArgumentError, OutOfRangeError

PICTURE = numpy.arange(4 * 5 * 3, dtype=numpy.uint8).reshape(4, 5, 3)
NUMBERS = st.floats(-1e300, 1e300)
VECTORS = st.integers(1, 8).flatmap(lambda size: st.tuples(*[st.lists(NUMBERS, min_size=size, max_size=size)] * 2))


@pytest.mark.parametrize(("top", "left", "height", "width"), [(0, 0, 4, 5), (1, 2, 2, 3), (3, 4, 1, 1)])
def test_a_part_is_what_indices_give(top: int, left: int, height: int, width: int) -> None:
    part = crop(PICTURE, top, left, height, width)
    assert part.shape == (height, width, 3)
    assert [[PICTURE[top + row, left + column].tolist() for column in range(width)] for row in range(height)] == part.tolist()
    assert part.base is not None  # nothing was copied
    assert crop(PICTURE[:, :, 0], top, left, height, width).tolist() == part[:, :, 0].tolist()


@pytest.mark.parametrize(
    ("image", "rectangle", "kind", "field", "says"),
    [
        (PICTURE, (4, 0, 1, 1), OutOfRangeError, "top", "top is 4; the image has 4, counted from 0"),
        (PICTURE, (0, 5, 1, 1), OutOfRangeError, "left", "left is 5; the image has 5, counted from 0"),
        (PICTURE, (-1, 0, 1, 1), OutOfRangeError, "top", "top is -1"),
        (PICTURE, (0, 0, 0, 1), OutOfRangeError, "height", "height is 0; it must be 1 or more"),
        (PICTURE, (0, 0, 1, 0), OutOfRangeError, "width", "width is 0; it must be 1 or more"),
        (PICTURE, (1, 0, 4, 1), OutOfRangeError, "height", r"top \+ height is 5, beyond the 4 of the image"),
        (PICTURE, (0, 4, 1, 2), OutOfRangeError, "width", r"left \+ width is 6, beyond the 5 of the image"),
        (numpy.ones(3), (0, 0, 1, 1), InvalidArgumentError, "image", "image has 1 axes; rows and columns make at least 2"),
    ],
)
def test_a_part_that_is_not_there_is_refused(
    image: numpy.ndarray, rectangle: tuple[int, int, int, int], kind: type[FractosError], field: str, says: str
) -> None:
    with pytest.raises(kind, match=f"^{says}") as caught:
        crop(image, *rectangle)
    assert caught.value.field == field


@settings(deadline=None, database=None)
@given(VECTORS)
def test_the_cosine_is_symmetric_and_within_its_bounds(pair: tuple[list[float], list[float]]) -> None:
    a, b = (numpy.array(one) for one in pair)
    if not (a.any() and b.any()):
        with pytest.raises(InvalidArgumentError, match="all zeros"):
            similarity(a, b)
        return
    assert -1 <= similarity(a, b) <= 1
    assert similarity(a, b) == pytest.approx(similarity(b, a))
    assert similarity(a, a) == pytest.approx(1)
    assert similarity(a, -a) == pytest.approx(-1)


def test_known_angles() -> None:
    assert similarity(numpy.array([1, 0]), numpy.array([0, 1])) == 0
    assert similarity(numpy.array([[3.0], [4.0]]), numpy.array([[4.0], [3.0]])) == pytest.approx(24 / 25)
    assert similarity(numpy.array([True, False]), numpy.array([True, True])) == pytest.approx(0.5**0.5)
    assert similarity(numpy.array([200, 200], numpy.uint8), numpy.array([100, 100], numpy.uint8)) == pytest.approx(1)


def test_a_verdict_is_by_the_threshold() -> None:
    assert [verdict(value) for value in (1.0, 0.9, 0.89, -1.0)] == ["same", "same", "different", "different"]
    assert [verdict(value, -1) for value in (0.5, -1.0)] == ["same", "same"]
    for impossible in (1.01, -2.0, float("nan")):
        with pytest.raises(OutOfRangeError, match=r"^threshold is .*; a cosine is -1 to 1") as caught:
            verdict(1.0, impossible)
        assert caught.value.field == "threshold"


@pytest.mark.parametrize(
    ("a", "b", "field", "says"),
    [
        (numpy.ones(2), numpy.ones((1, 2)), "b", r"a is \(2,\) and b is \(1, 2\)"),
        (numpy.ones(0), numpy.ones(0), "a", "a is all zeros"),
        (numpy.ones(2), numpy.zeros(2), "b", "b is all zeros, which point nowhere"),
        (numpy.array([1.0, float("nan")]), numpy.ones(2), "a", "a has elements that are not finite"),
        (numpy.ones(2), numpy.array([1.0, float("-inf")]), "b", "b has elements that are not finite"),
        (numpy.ones(2, complex), numpy.ones(2, complex), "a", "a has elements of type complex128"),
    ],
)
def test_what_cannot_be_compared_is_named(a: numpy.ndarray, b: numpy.ndarray, field: str, says: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{says}") as caught:
        similarity(a, b)
    assert caught.value.field == field


def test_what_is_too_large_to_be_compared_is_refused_before_it_is_expanded() -> None:
    large = numpy.broadcast_to(numpy.True_, (MAX_BYTES // 8 + 1,))
    says = r"^a is \(33554433,\) bool: as float64 it may have up to 268,435,456 bytes, and would have 268,435,464"
    with pytest.raises(OutOfRangeError, match=says) as caught:
        similarity(large, large)
    assert caught.value.field == "a"
