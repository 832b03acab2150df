"""How times, sizes and texts are written where there is little room. Pure."""

from __future__ import annotations

from datetime import datetime

from rich.cells import cell_len, set_cell_size

from Services.datacenter.tracing.parts import Hop

UNITS = "kMGTP"


def duration(seconds: float) -> str:
    """At most seven characters: `0.31 ms`, `55.2 ms`, `2.40 s`, `12m05s`, `25h03m`."""
    if seconds < 0.9995:
        return f"{_three(seconds * 1e3)} ms"
    if seconds < 99.95:
        return f"{_three(seconds)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes}m{rest:02}s"
    return f"{minutes // 60}h{minutes % 60:02}m"


def size(count: float) -> str:
    """Bytes in at most five characters: `812`, `2.38k`, `8.00M`."""
    if count < 1000:
        return str(round(count))
    power = 0
    while count >= 999.5 and power < len(UNITS):
        count /= 1000
        power += 1
    return _three(count) + UNITS[power - 1]


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


def moment(at: float, now: float, *, with_day: bool = False) -> str:
    """A Unix time in the time zone that this machine is in at `now`; with its day at least if that is not the one of `now`."""
    here = datetime.fromtimestamp(now).astimezone()
    when = datetime.fromtimestamp(at, here.tzinfo)
    return when.strftime("%Y-%m-%d %H:%M:%S" if with_day or when.date() != here.date() else "%H:%M:%S")


def zone(now: float) -> str:
    """What that time zone is called: "UTC", "CEST"."""
    return datetime.fromtimestamp(now).astimezone().tzname() or ""


def harmless(text: str) -> str:
    """As many characters, with "?" for those that steer a terminal, end a line or cannot be seen: strangers chose the text."""
    return "".join(character if character.isprintable() else "?" for character in text)


def wire(hop: Hop) -> str:
    """How long a step was on the wire; a dash if the step before was at the same node."""
    return duration(hop.wire_s) if hop.received_at != hop.sent_at else "-"


def cut(text: str, columns: int) -> str:
    """The text, or as much of it as fits into so many columns of a terminal, with two dots at the end."""
    return text if cell_len(text) <= columns else f"{set_cell_size(text, columns - 2)}.."


def _three(value: float) -> str:
    """A number below 1000 with three digits."""
    if value < 9.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 99.95 else f"{value:.0f}"
