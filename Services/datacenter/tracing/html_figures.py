"""How times, sizes and parts are written on the page of a trace, beside what `figures.py` has. Pure."""

from __future__ import annotations

from Services.datacenter.tracing.figures import size


def since(seconds: float) -> str:
    """How long after a beginning something was, such that what followed closely can be told apart: "+1,063.21 ms"."""
    return f"+{max(0.0, seconds) * 1e3:,.2f} ms"


def share(part: float) -> str:
    """A part of a whole in percent; what is not nothing is not said to be nothing."""
    return "<1%" if 0 < part < 0.005 else f"{part:.0%}"


def sized(count: int) -> str:
    """A number of bytes with its unit: "512 B", "1.25 kB", "3.41 MB"."""
    text = size(count)
    return f"{text[:-1]} {text[-1]}B" if text[-1].isalpha() else f"{text} B"
