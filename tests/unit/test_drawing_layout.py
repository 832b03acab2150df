"""Where boxes and arrows go: nothing overlaps, arrows lead downwards, and what need not cross does not."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from Services.datacenter.drawing.layout import GAP_X, MAX_POINTS, Arrow, Layout, Size, isotonic, lay_out
from Services.fractos.errors import ResourceExhaustedError

BOX = Size(100, 40)
LABEL = Size(60, 15)


def of(count: int, *arrows: tuple[int, int]) -> Layout:
    return lay_out([BOX] * count, [Arrow(*arrow, LABEL) for arrow in arrows])


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Size], list[Arrow]]:
    boxes = [Size(draw(st.integers(60, 200)), draw(st.integers(40, 100))) for _ in range(draw(st.integers(1, 10)))]
    pairs = list(combinations(range(len(boxes)), 2))
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=15)) if pairs else []
    return boxes, [Arrow(*pair, Size(draw(st.integers(0, 120)), 15)) for pair in chosen]


def overlap(one: tuple[float, float, Size], other: tuple[float, float, Size]) -> bool:
    (x, y, size), (other_x, other_y, other_size) = one, other
    apart = (size.width + other_size.width) / 2 - 1e-6
    return abs(x - other_x) < apart and abs(y - other_y) < (size.height + other_size.height) / 2 - 1e-6


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_nothing_lies_on_anything_else_and_all_of_it_is_in_the_picture(graph: tuple[list[Size], list[Arrow]]) -> None:
    boxes, arrows = graph
    layout = lay_out(boxes, arrows)
    placed = [(*middle, size) for middle, size in zip(layout.boxes, boxes, strict=True)]
    placed += [(*route.label, arrow.label) for route, arrow in zip(layout.routes, arrows, strict=True) if arrow.label.width]
    assert not any(overlap(one, other) for one, other in combinations(placed, 2))
    for x, y, size in placed:
        assert -1e-6 <= x - size.width / 2 <= x + size.width / 2 <= layout.size.width + 1e-6
        assert -1e-6 <= y - size.height / 2 <= y + size.height / 2 <= layout.size.height + 1e-6


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_arrows_lead_downwards_from_border_to_border(graph: tuple[list[Size], list[Arrow]]) -> None:
    boxes, arrows = graph
    layout = lay_out(boxes, arrows)
    for route, arrow in zip(layout.routes, arrows, strict=True):
        (x, y), (to_x, to_y) = layout.boxes[arrow.source], layout.boxes[arrow.target]
        assert route.points[0] == pytest.approx((x, y + boxes[arrow.source].height / 2))
        assert route.points[-1] == pytest.approx((to_x, to_y - boxes[arrow.target].height / 2))
        assert all(one[1] <= other[1] for one, other in pairwise(route.points))


def test_a_chain_is_straight() -> None:
    layout = of(4, (0, 1), (1, 2), (2, 3))
    assert {round(x, 3) for x, _ in layout.boxes} == {50.0}


def test_what_need_not_cross_does_not() -> None:
    """As they come the arrows 0 → 3 and 1 → 2 cross."""
    layout = of(4, (0, 3), (1, 2))
    (first, _), (second, _), (left, _), (right, _) = layout.boxes
    assert (first < second) == (right < left)


def test_a_join_is_between_what_it_joins() -> None:
    (left, _), (right, _), (join, _) = of(3, (0, 2), (1, 2)).boxes
    assert join == pytest.approx((left + right) / 2)
    assert abs(left - right) >= BOX.width + GAP_X - 1e-6


def test_a_thousand_steps_in_a_row() -> None:
    layout = of(1000, *pairwise(range(1000)))
    assert layout.size.width == pytest.approx(BOX.width)


def test_what_cannot_be_drawn_is_refused() -> None:
    complete = list(combinations(range(60), 2))
    with pytest.raises(ResourceExhaustedError, match="1770 edges are too many or too long"):
        of(60, *complete)
    assert sum(2 * (other - one) for one, other in complete) > MAX_POINTS


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 9)), max_size=12))
def test_isotonic_numbers_ascend_and_are_the_nearest(wishes: list[tuple[float, float]]) -> None:
    found = isotonic(wishes)
    assert all(one <= other + 1e-9 for one, other in pairwise(found))

    def distance(numbers: list[float]) -> float:
        return sum(weight * (number - wish) ** 2 for number, (wish, weight) in zip(numbers, wishes, strict=True))

    for index in range(len(found)):  # the sum is convex: no small step that keeps the order may lead nearer
        for step in (-1e-3, 1e-3):
            for low in range(index + 1):
                moved = [number + step if low <= place <= index else number for place, number in enumerate(found)]
                if all(one <= other for one, other in pairwise(moved)):
                    assert distance(moved) >= distance(found) - 1e-9
