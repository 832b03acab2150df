"""What the bytes of a file mean: texts, and integers in decimal digits.

Python refuses to convert integers of more than 4,300 digits, since its way takes quadratic time. Here they are put together
from short pieces, pairwise, so that the time goes into few multiplications of long numbers; the refusal stays in force for
everyone else in the process.
"""

from __future__ import annotations

import decimal
from typing import TypeVar

from Services.fractos.errors import FailedPreconditionError, OutOfRangeError

MAX_DIGITS = 1_000_000
_MAX_BITS = 3_321_929  # of the largest integer with so many digits

_PIECE_DIGITS = 512  # below the lowest limit that Python can be set to, 640
_PIECE_BYTES = 256
_DIGIT_BASE: int = 10**_PIECE_DIGITS
_BYTE_BASE = decimal.Decimal(1 << 8 * _PIECE_BYTES)
_EXACT = decimal.Context(
    prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[decimal.Inexact, decimal.InvalidOperation]
)

Number = TypeVar("Number", int, decimal.Decimal)


def text_of(data: bytes, source: str) -> str:
    """Return the text in UTF-8 data; `source` names the file in errors.

    Raises FailedPreconditionError if it is something else.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise FailedPreconditionError(
            f"{source} is not UTF-8 text: byte {error.start} is {data[error.start]:#04x}; read it as bytes", field="name"
        ) from error


def integer_of(data: bytes, source: str) -> int:
    """Return the integer in a file of ASCII digits, with or without sign and white space around; `source` names the file.

    Raises FailedPreconditionError if it holds something else, OutOfRangeError for more than MAX_DIGITS digits.
    """
    text = data.strip()
    digits = text[1:] if text[:1] in {b"+", b"-"} else text
    if not digits.isdigit():
        shown = (repr(data[:60]) + ("…" if len(data) > 60 else "")) if data else "nothing"
        raise FailedPreconditionError(f"{source} holds {shown} instead of an integer in decimal digits", field="name")
    if len(digits) > MAX_DIGITS:
        raise OutOfRangeError(
            f"{source} holds an integer of {len(digits):,} digits; up to {MAX_DIGITS:,} are read", field="name"
        )
    pieces = [int(digits[max(0, end - _PIECE_DIGITS) : end]) for end in range(len(digits), 0, -_PIECE_DIGITS)]
    magnitude = _joined(pieces, _DIGIT_BASE)
    return -magnitude if text[:1] == b"-" else magnitude


def digits_of(value: int) -> bytes:
    """Return an integer in decimal digits. Raises OutOfRangeError for more than MAX_DIGITS digits."""
    if value.bit_length() <= _MAX_BITS:
        magnitude = abs(value).to_bytes((value.bit_length() + 7) // 8 or 1, "little")
        with decimal.localcontext(_EXACT):
            pieces = [
                decimal.Decimal(int.from_bytes(magnitude[start : start + _PIECE_BYTES], "little"))
                for start in range(0, len(magnitude), _PIECE_BYTES)
            ]
            digits = str(_joined(pieces, _BYTE_BASE))
        if len(digits) <= MAX_DIGITS:
            return (f"-{digits}" if value < 0 else digits).encode()
    raise OutOfRangeError(
        f"the value has more than {MAX_DIGITS:,} digits ({value.bit_length():,} bits); write it as bytes", field="value"
    )


def _joined(pieces: list[Number], base: Number) -> Number:
    """The number whose digits in `base` are the pieces, the lowest first."""
    while len(pieces) > 1:
        if len(pieces) % 2:
            pieces.append(base - base)
        pieces = [low + high * base for low, high in zip(pieces[::2], pieces[1::2], strict=True)]
        if len(pieces) > 1:
            base *= base
    return pieces[0]
