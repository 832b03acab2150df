"""The ids of runs. Made by the client, so that a submission can be repeated without being done twice."""

from __future__ import annotations

import os
import time

RANDOM_BYTES = 10


def new_run_id() -> bytes:
    """Return an id for a new run: 16 bytes that nobody else has."""
    return time_ordered_id(time.time_ns() // 1_000_000, os.urandom(RANDOM_BYTES))


def time_ordered_id(unix_ms: int, randomness: bytes) -> bytes:
    """Return the UUID of version 7 (RFC 9562, section 5.7) for a Unix time in milliseconds and 10 random bytes.

    Ids sort by their time, so whoever keeps them sorted (the run journal does) appends instead of inserting.
    """
    identifier = bytearray(unix_ms.to_bytes(6, "big") + randomness)
    identifier[6] = 0x70 | identifier[6] & 0x0F  # version
    identifier[8] = 0x80 | identifier[8] & 0x3F  # variant
    return bytes(identifier)
