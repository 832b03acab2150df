"""Memory stores for tests, with a check that believes everybody."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protos import fractos_pb2
from Services.fractos.memory import MemoryStore
from Services.fractos.memory_block import new_block
from Services.fractos.memory_pool import BlockPool
from Services.fractos.memory_reuse import can_reuse

needs_leases = pytest.mark.skipif(
    not can_reuse() and "CI" not in os.environ, reason="this system cannot tell whether anybody sees a file"
)

ADDRESS = "127.0.0.1:5000"
RUN = b"r" * 16
LATER = 4e9  # Unix seconds


def reusing_store(
    limit_bytes: int = 1 << 30, *, address: str = ADDRESS, clock: Callable[[], float] = time.monotonic
) -> MemoryStore:
    """A store that uses blocks again; `clock` is the pool's."""
    return MemoryStore(
        address,
        limit_bytes,
        check=lambda memory, right, now: None,
        issue=lambda number, size, rights, expires_at: fractos_pb2.Capability(),
        randomness=secrets.token_bytes,
        clock=time.time,
        make_block=new_block,
        pool=BlockPool(clock),
    )


def publish(store: MemoryStore, data: bytes, run_id: bytes = RUN) -> fractos_pb2.Memory:
    """Leave bytes in a store, as a device call of a run does."""
    return store.publish(data, run_id=run_id, began_at=1.0, expires_at=LATER)


def block_of(store: MemoryStore, memory: fractos_pb2.Memory) -> int:
    """Which file the bytes of an object are in."""
    with store.open(memory, 0.0) as part:
        return Path(f"/proc/self/fd/{part.descriptor}").stat().st_ino
