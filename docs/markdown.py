"""Pieces of Markdown for the generated pages."""

from __future__ import annotations


def table(*rows: tuple[str, ...]) -> str:
    """A table; the first row is its head."""
    head, *body = rows
    lines = [head, tuple("---" for _ in head), *body]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |\n" for line in lines)


def code(text: str) -> str:
    """The text in the type of code; nothing for nothing."""
    return f"`{text}`" if text else ""
