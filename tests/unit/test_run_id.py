"""Run ids: unique, of the standard's form, and sorted by time."""

from __future__ import annotations

import time
import uuid

from Services.fractos.run_id import new_run_id, time_ordered_id


def test_it_is_the_example_of_the_standard() -> None:
    """RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC; version and variant take the place of random bits."""
    made = time_ordered_id(0x017F22E279B0, bytes.fromhex("fcc3d8c4dc0c0c07398f"))
    assert uuid.UUID(bytes=made) == uuid.UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")


def test_it_says_its_version_and_variant_whatever_the_random_bits() -> None:
    for randomness in (bytes(10), b"\xff" * 10):
        made = uuid.UUID(bytes=time_ordered_id(1, randomness))
        assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_ids_sort_by_their_time() -> None:
    times = [0, 1, 255, 256, 0x0123456789AB, (1 << 48) - 1]
    ids = [time_ordered_id(at, b"\xff" * 10 if index % 2 == 0 else bytes(10)) for index, at in enumerate(times)]
    assert ids == sorted(ids)


def test_new_ids_are_of_now_and_never_the_same() -> None:
    before = time.time_ns() // 1_000_000
    ids = [new_run_id() for _ in range(10_000)]
    after = time.time_ns() // 1_000_000
    assert len(set(ids)) == len(ids)
    assert all(len(one) == 16 and before <= int.from_bytes(one[:6], "big") <= after for one in ids)
