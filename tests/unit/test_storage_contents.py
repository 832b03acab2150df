"""Texts and integers of any length, within Python's own limits and without changing them."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from Services.fractos.errors import FailedPreconditionError, OutOfRangeError
from Services.StorageNode.Node import contents
from Services.StorageNode.Node.contents import MAX_DIGITS, digits_of, integer_of, text_of


@settings(deadline=None, max_examples=50, database=None)
@given(
    st.one_of(
        st.integers(),
        st.builds(
            lambda sign, size, low: sign * ((1 << size) - low),
            st.sampled_from([-1, 1]),
            st.integers(0, 14_000),
            st.integers(0, 10**6),
        ),
    )
)
def test_integers_survive(value: int) -> None:
    digits = digits_of(value)
    assert digits == str(value).encode()  # all below Python's limit
    assert integer_of(digits, "x") == value


@pytest.mark.parametrize("digits", [4300, 4301, 5119, 5120, 5121, 20_000, 100_003])
def test_integers_beyond_the_limit_of_python(digits: int) -> None:
    limit = sys.get_int_max_str_digits()
    value = 10**digits - 1
    assert digits_of(value) == b"9" * digits
    assert digits_of(-value - 1) == b"-1" + b"0" * digits
    assert integer_of(b"9" * digits, "x") == value
    assert integer_of(b"-1" + b"0" * digits, "x") == -value - 1
    assert sys.get_int_max_str_digits() == limit


@pytest.mark.parametrize("data", [b"42", b"+42", b" 42 \r\n", b"\t0042\n"])
def test_what_may_stand_around_an_integer(data: bytes) -> None:
    assert integer_of(data, "x") == 42
    assert integer_of(data.replace(b"+", b"").replace(b"42", b"-42").replace(b"00-", b"-"), "x") == -42


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", "holds nothing"),
        (b"\n", r"holds b'\\n'"),
        (b"-", "holds b'-'"),
        (b"--1", "holds b'--1'"),
        (b"1 2", "holds b'1 2'"),
        (b"1_000", "holds b'1_000'"),
        (b"1.0", "holds b'1.0'"),
        (b"0x10", "holds b'0x10'"),
        ("٣".encode(), r"holds b'\\xd9\\xa3'"),
        (b"seven" * 100, "holds b'" + "seven" * 12 + "'…"),
    ],
)
def test_what_is_no_integer_is_shown(data: bytes, shown: str) -> None:
    with pytest.raises(FailedPreconditionError, match=f"^admin/n.txt {shown} instead of an integer") as caught:
        integer_of(data, "admin/n.txt")
    assert caught.value.field == "name"


def test_integers_have_a_bound() -> None:
    with pytest.raises(OutOfRangeError, match=r"admin/n\.txt holds an integer of 1,000,001 digits; up to 1,000,000"):
        integer_of(b"1" * (MAX_DIGITS + 1), "admin/n.txt")
    with pytest.raises(OutOfRangeError, match="more than 1,000,000 digits") as caught:
        digits_of(1 << 3_321_929)
    assert caught.value.field == "value"


def test_the_bound_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_DIGITS", 5000)
    assert digits_of(1 - 10**5000) == b"-" + b"9" * 5000
    assert integer_of(b"-" + b"9" * 5000, "x") == 1 - 10**5000
    for beyond in (lambda: digits_of(10**5000), lambda: integer_of(b"1" + b"0" * 5000, "x")):
        with pytest.raises(OutOfRangeError, match="5,000"):
            beyond()


def test_texts() -> None:
    assert text_of("grüße, 猫\r\n".encode(), "x") == "grüße, 猫\r\n"
    with pytest.raises(FailedPreconditionError, match=r"admin/a is not UTF-8 text: byte 2 is 0xff") as caught:
        text_of(b"ab\xff", "admin/a")
    assert caught.value.field == "name"
