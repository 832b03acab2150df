"""What a device is told of the step that it changes something for: how to know it again, and for how long that may be asked.

Made by `device_calls.py`, handed on by Adaptors. Nothing else of a run concerns a device.
"""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """One step of one run, in whichever attempt."""

    key: str  # the same for every repetition of the step, and for nothing else
    deadline: float  # Unix time in seconds: no attempt begins after it, by the clock of the node that begins it
