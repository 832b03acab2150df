"""What files with one writer each must hold, as far as their writer can know it. Pure. Monotonic times.

A write whose fate is unknown may happen until a moment that is given with it, and never after that.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from enum import Enum
from math import inf

from Services.datacenter.chaos.checker import Violation

Value = str | int
REFUSED_KEPT = 1000  # values of writes that failed for certain
SHOWN_BITS = 200


class Fate(Enum):
    """What became of a write, as far as its client knows."""

    DONE = "done"
    NOT_DONE = "not done"
    UNKNOWN = "unknown"


class Register:
    """A file that is replaced as a whole."""

    def __init__(self, name: str, value: Value) -> None:
        self.name = name
        self._settled: set[Value] = {value}
        self._pending: dict[Value, float] = {}  # value → until when it may still be written
        self._refused: deque[Value] = deque(maxlen=REFUSED_KEPT)

    @property
    def possible(self) -> set[Value]:
        """What it may hold now."""
        return self._settled | self._pending.keys()

    def wrote(self, values: Iterable[Value], fate: Fate, *, asked_at: float, until: float = inf) -> None:
        """A write has ended. `values`: what it has written, one of several if it depends on what was there."""
        if fate is Fate.DONE:
            self._settle(values, asked_at)
        elif fate is Fate.UNKNOWN:
            self._pending |= dict.fromkeys(values, until)
        else:
            self._refused.extend(values)

    def read(self, value: Value, *, asked_at: float) -> list[Violation]:
        """Judge a read that was asked for at `asked_at`. Whatever it found counts as the truth from then on."""
        violations = []
        if value not in self.possible:
            allowed = " or ".join(sorted(map(shown, self.possible)))
            late = value in self._refused
            why = ", whose write failed for certain" if late else ""
            violations.append(
                Violation("duplicated" if late else "wrong", f"{self.name} holds {shown(value)}{why}; it must hold {allowed}")
            )
        self._settle([value], asked_at)
        return violations

    def _settle(self, values: Iterable[Value], asked_at: float) -> None:
        self._settled = set(values)
        self._pending = {value: until for value, until in self._pending.items() if until >= asked_at}


class AppendedFile:
    """A file to which lines are added, each a different one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._done: list[str] = []
        self._unknown: dict[str, float] = {}  # line → until when it may still be added
        self._refused: set[str] = set()  # may not appear any more

    def __len__(self) -> int:
        """How many lines were to be added, with whatever success."""
        return len(self._done) + len(self._unknown) + len(self._refused)

    def appended(self, line: str, fate: Fate, *, until: float = inf) -> None:
        """An append has ended. `line` ends with a newline."""
        if fate is Fate.DONE:
            self._done.append(line)
        elif fate is Fate.UNKNOWN:
            self._unknown[line] = until
        else:
            self._refused.add(line)

    def read(self, text: str, *, asked_at: float) -> list[Violation]:
        """Judge the whole text, as a read that was asked for at `asked_at` found it."""
        lines = text.splitlines(keepends=True)
        counts = Counter(lines)
        known = {*self._done, *self._unknown, *self._refused}
        found = [
            *(Violation("duplicated", f"{self.name} has {line!r} {n} times") for line, n in counts.items() if n > 1),
            *(Violation("lost", f"{self.name} lacks {one!r}, which was acknowledged") for one in self._done if not counts[one]),
            *(
                Violation("duplicated", f"{self.name} has {line!r}, whose run had failed for certain, or long ago")
                for line in counts.keys() & self._refused
            ),
            *(Violation("wrong", f"{self.name} has {line!r}, which nobody has added") for line in counts.keys() - known),
        ]
        acknowledged = set(self._done)
        if not found and [line for line in lines if line in acknowledged] != self._done:
            found.append(Violation("wrong", f"the lines of {self.name} are in another order than they were acknowledged in"))
        missing = {line for line, until in self._unknown.items() if until < asked_at and not counts[line]}
        self._refused |= missing
        self._unknown = {line: until for line, until in self._unknown.items() if line not in missing}
        return found


def shown(value: Value) -> str:
    """A value in few characters."""
    if isinstance(value, int) and value.bit_length() > SHOWN_BITS:
        return f"an integer of {value.bit_length()} bits (…{value & 0xFFFFFFFF:08x})"
    return repr(value) if len(repr(value)) < 80 else f"{repr(value)[:77]}…"
