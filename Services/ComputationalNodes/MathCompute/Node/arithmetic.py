"""Exact arithmetic on integers of any sign, bounded so that no call keeps a math node busy for more than about two seconds.

Every bound is checked before anything is computed; what is beyond one raises an OutOfRangeError that names the argument, its
value and the bound. CPython holds its interpreter lock within one operation on long integers: the bounds keep that short, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from Services.fractos.errors import OutOfRangeError

MAX_BITS = 2**20  # of a result, and of each term of a sum: 315,653 decimal digits
MAX_SHIFTED_BITS = 2**18  # of a shifted value, which must be ready within some ten microseconds
MAX_CHOSEN = 20_000  # of binomial: the smaller of k and n - k
MAX_TERMS = 10_000  # of binomial_expansion: n


def shift_left(value: int, bits: int) -> int:
    """Return value * 2^bits. Bounds: bits >= 0, MAX_SHIFTED_BITS in the result."""
    _check_natural("bits", bits)
    if value and value.bit_length() + bits > MAX_SHIFTED_BITS:
        field, argument = ("bits", bits) if value.bit_length() <= MAX_SHIFTED_BITS else ("value", value)
        raise _too_large(field, argument, MAX_SHIFTED_BITS)
    return value << bits


def factorial(n: int) -> int:
    """Return n! = 1 * 2 * ... * n. Bounds: n >= 0, MAX_BITS in the result."""
    _check_natural("n", n)
    if n > MAX_BITS or math.lgamma(n + 1) / math.log(2) >= MAX_BITS:
        raise _too_large("n", n)
    return math.factorial(n)


def binomial(n: int, k: int) -> int:
    """Return the number of ways to choose k of n things, 0 where k > n.

    Bounds: n >= 0, k >= 0, MAX_CHOSEN for the smaller of k and n - k, MAX_BITS in the result.
    """
    _check_natural("n", n)
    _check_natural("k", k)
    if k > n:
        return 0
    chosen = min(k, n - k)
    if chosen > MAX_CHOSEN:
        raise OutOfRangeError(
            f"k is {shown(k)} of n = {shown(n)}; up to {MAX_CHOSEN:,} things are chosen, or left over", field="k"
        )
    # n!/(n-k)! < n^k and k! > (k/e)^k
    if chosen and chosen * (math.log2(n) - math.log2(chosen) + math.log2(math.e)) >= MAX_BITS:
        raise _too_large("n", n)
    return math.comb(n, chosen)


def binomial_expansion(a: int, b: int, n: int, check: Callable[[], object] = lambda: None) -> int:
    """Return (a+b)^n by the binomial theorem, as the sum of binomial(n, k) a^(n-k) b^k over k = 0..n.

    Bounds: 0 <= n <= MAX_TERMS, MAX_BITS in (|a|+|b|)^n, which no term exceeds. `check` is called every few terms, at most some
    50 ms apart, and ends the computation by raising.
    """
    _check_natural("n", n)
    if n > MAX_TERMS:
        raise OutOfRangeError(f"n is {shown(n)}; sums of up to {MAX_TERMS:,} terms are computed", field="n")
    if n * math.log2(max(1, abs(a) + abs(b))) >= MAX_BITS:
        raise _too_large("n", n)
    total, term = 0, 1  # as in Horner's scheme, a is multiplied in step by step; term is binomial(n, k) b^k
    for k in range(n + 1):
        if k % 4 == 0:
            check()
        total = total * a + term
        term = term * ((n - k) * b) // (k + 1)
    return total


def power(base: int, exponent: int) -> int:
    """Return base^exponent, where 0^0 = 1. Bounds: exponent >= 0, MAX_BITS in the result."""
    _check_natural("exponent", exponent)
    if abs(base) <= 1:
        exponent = min(exponent, 2 + exponent % 2)  # however long it is, only its parity matters, and whether it is 0
    elif exponent >= MAX_BITS or exponent * math.log2(abs(base)) >= MAX_BITS:
        raise _too_large("exponent", exponent)
    result: int = base**exponent
    return result


def shown(value: int) -> str:
    """Return an integer for a message: in full if it is short, else how it begins, in hexadecimal, and its length.

    Decimal digits would take quadratic time.
    """
    bits = value.bit_length()
    if bits <= 64:
        return str(value)
    return f"{'-' if value < 0 else ''}{abs(value) >> bits // 4 * 4 - 32:#x}… ({bits:,} bits)"


def _check_natural(field: str, value: int) -> None:
    if value < 0:
        raise OutOfRangeError(f"{field} is {shown(value)}; it must be 0 or more", field=field)


def _too_large(field: str, value: int, max_bits: int = MAX_BITS) -> OutOfRangeError:
    return OutOfRangeError(
        f"{field} is {shown(value)}: the result may have up to {max_bits:,} bits, and would have more",
        field=field,
    )
