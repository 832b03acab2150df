"""The arithmetic is right, and bounded."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from Services.ComputationalNodes.MathCompute.Node.arithmetic import (
    MAX_BITS,
    MAX_CHOSEN,
    MAX_SHIFTED_BITS,
    MAX_TERMS,
    binomial,
    binomial_expansion,
    factorial,
    power,
    shift_left,
    shown,
)
from Services.fractos.errors import OutOfRangeError, RunCancelledError

BIG = 10**5000  # more digits than Python converts

exactly = settings(deadline=None, max_examples=30, database=None)


@exactly
@given(st.integers(), st.integers(0, 2000))
def test_shift_left_is_multiplication_by_a_power_of_two(value: int, bits: int) -> None:
    assert shift_left(value, bits) == value * 2**bits


def test_a_sum_ends_when_its_answer_is_not_wanted_any_more() -> None:
    checks = iter(range(100))

    def check() -> None:
        if next(checks) == 99:
            raise RunCancelledError("as asked")

    assert binomial_expansion(2, 3, 300, check) == 5**300
    with pytest.raises(RunCancelledError):
        binomial_expansion(2, 3, 300, check)


@exactly
@given(st.integers(1, 500))
def test_factorial_is_the_product(n: int) -> None:
    assert factorial(n) == n * factorial(n - 1) == math.prod(range(1, n + 1))


@exactly
@given(st.integers(1, 300), st.integers(0, 320))
def test_binomial_follows_pascals_triangle(n: int, k: int) -> None:
    assert binomial(n, k) == binomial(n - 1, k) + (binomial(n - 1, k - 1) if k else 0)
    if k <= n:
        assert binomial(n, k) == binomial(n, n - k) == factorial(n) // (factorial(k) * factorial(n - k))


@exactly
@given(st.integers(), st.integers(), st.integers(0, 60))
def test_binomial_expansion_is_the_power_of_the_sum(a: int, b: int, n: int) -> None:
    assert binomial_expansion(a, b, n) == (a + b) ** n == sum(binomial(n, k) * a ** (n - k) * b**k for k in range(n + 1))


@exactly
@given(st.integers(), st.integers(0, 200), st.integers(0, 200))
def test_powers_add_up(base: int, one: int, other: int) -> None:
    assert power(base, one) * power(base, other) == power(base, one + other)


def test_corners() -> None:
    assert factorial(0) == factorial(1) == 1
    assert binomial(0, 0) == binomial(BIG, 0) == binomial(BIG, BIG) == 1
    assert binomial(5, 6) == binomial(5, BIG) == 0
    assert binomial(BIG, 1) == binomial(BIG, BIG - 1) == BIG
    assert binomial(BIG, 2) == BIG * (BIG - 1) // 2
    assert [power(0, n) for n in (0, 1, 2, BIG)] == [1, 0, 0, 0]
    assert [power(1, n) for n in (0, 1, 2, BIG)] == [1, 1, 1, 1]
    assert [power(-1, n) for n in (0, 1, 2, 3, BIG, BIG + 1)] == [1, -1, 1, -1, 1, -1]
    assert binomial_expansion(0, 0, 0) == 1
    assert binomial_expansion(0, 0, 7) == binomial_expansion(BIG, -BIG, 7) == 0
    assert binomial_expansion(BIG, 1, 3) == (BIG + 1) ** 3
    assert shift_left(0, BIG) == 0
    assert shift_left(-BIG, 1) == -2 * BIG


LAST_FACTORIAL = 71_421  # the last of up to MAX_BITS


@pytest.mark.parametrize(
    ("largest", "bits"),
    [
        (lambda: shift_left(1, MAX_SHIFTED_BITS - 1), MAX_SHIFTED_BITS),
        (lambda: shift_left(-(2**MAX_SHIFTED_BITS) + 1, 0), MAX_SHIFTED_BITS),
        (lambda: factorial(LAST_FACTORIAL), MAX_BITS - 8),
        (lambda: power(2, MAX_BITS - 1), MAX_BITS),
        (lambda: power(-3, 661_577), MAX_BITS - 1),
        (lambda: binomial(2 * MAX_CHOSEN, MAX_CHOSEN), 39_993),
        (lambda: binomial_expansion(1, 1, MAX_TERMS), MAX_TERMS + 1),
    ],
)
def test_the_largest_results(largest: Callable[[], int], bits: int) -> None:
    assert largest().bit_length() == bits


@pytest.mark.parametrize(
    ("beyond", "field", "message"),
    [
        (lambda: shift_left(1, -1), "bits", "bits is -1; it must be 0 or more"),
        (lambda: shift_left(1, MAX_SHIFTED_BITS), "bits", "bits is 262144: the result may have up to 262,144 bits"),
        (lambda: shift_left(1, BIG), "bits", "bits is 0x.{8,9}… .16,610 bits.: the result may have up to 262,144 bits"),
        (lambda: shift_left(1 << MAX_SHIFTED_BITS, 0), "value", "value is 0x.{8,9}… .262,145 bits.: the result"),
        (lambda: factorial(-5), "n", "n is -5; it must be 0 or more"),
        (lambda: factorial(-BIG), "n", "n is -0x.{8,9}… .16,610 bits.; it must be 0 or more"),
        (lambda: factorial(LAST_FACTORIAL + 1), "n", "n is 71422: the result may have up to 1,048,576 bits"),
        (lambda: factorial(BIG), "n", "16,610 bits.: the result may have up to 1,048,576 bits"),
        (lambda: binomial(-1, 1), "n", "n is -1; it must be 0 or more"),
        (lambda: binomial(1, -1), "k", "k is -1; it must be 0 or more"),
        (lambda: binomial(50_000, MAX_CHOSEN + 1), "k", "k is 20001 of n = 50000; up to 20,000 things"),
        (lambda: binomial(BIG, MAX_CHOSEN + 1), "k", "k is 20001 of n = 0x"),
        (lambda: binomial(BIG, 100), "n", "16,610 bits.: the result may have up to 1,048,576 bits"),
        (lambda: binomial_expansion(1, 1, -1), "n", "n is -1; it must be 0 or more"),
        (lambda: binomial_expansion(1, 1, MAX_TERMS + 1), "n", "n is 10001; sums of up to 10,000 terms"),
        (lambda: binomial_expansion(BIG, -BIG, 64), "n", "n is 64: the result may have up to 1,048,576 bits"),
        (lambda: power(2, -1), "exponent", "exponent is -1; it must be 0 or more"),
        (lambda: power(2, MAX_BITS), "exponent", "exponent is 1048576: the result may have up to 1,048,576 bits"),
        (lambda: power(-3, 661_578), "exponent", "exponent is 661578: the result"),
        (lambda: power(2, BIG), "exponent", "16,610 bits.: the result"),
        (lambda: power(BIG, BIG), "exponent", "16,610 bits.: the result"),
    ],
)
def test_bounds_are_named(beyond: Callable[[], int], field: str, message: str) -> None:
    with pytest.raises(OutOfRangeError, match=message) as caught:
        beyond()
    assert caught.value.field == field
    assert len(caught.value.message) < 200


def test_long_integers_are_shown_by_their_beginning() -> None:
    assert shown(-(2**64) + 1) == "-18446744073709551615"
    for value in (2**64, 0x123456789ABCDEF << 1000, -(0x89ABCDEF << 4001), BIG):
        text, _, length = shown(value).partition("… ")
        assert hex(value).startswith(text)
        assert length == f"({value.bit_length():,} bits)"
