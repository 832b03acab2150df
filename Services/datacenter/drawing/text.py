"""Texts in drawings: how wide they are, how they are cut, and that nothing in them can break out. Pure."""

from __future__ import annotations

import re
import unicodedata

MONOSPACE_EM = 0.605  # of a character, in units of the size of the font; letters of other fonts are narrower on average
_NOT_TEXT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML cannot hold


def clean(text: str) -> str:
    """The text in one line, with a mark in place of each character that no XML document may hold."""
    return re.sub(r"\s+", " ", _NOT_TEXT.sub("\ufffd", text))


def shorten(text: str, length: int) -> str:
    """The text, cut to `length` characters."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def width_of(text: str, size: float) -> float:
    """About how wide a line of text is, in pixels, in a font of `size` pixels."""
    return sum(_columns(character) for character in text) * size * MONOSPACE_EM


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
