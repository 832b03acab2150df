"""The Memory objects of a node: who gets room, who may do what, and that nothing is left."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xxhash

from protos import fractos_pb2
from Services.fractos.capability import EVERY_RIGHT, Rights
from Services.fractos.errors import (
    FailedPreconditionError,
    MemoryLostError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from Services.fractos.memory import MemoryStore
from Services.fractos.memory_block import HAS_MEMFD, Mapping, SealedFile

OLD, YOUNG = b"o" * 16, b"y" * 16
BLOCKS = [Mapping, *([SealedFile] if HAS_MEMFD else [])]


def issue(_: bytes, __: int, rights: int, ___: float) -> fractos_pb2.Capability:
    return fractos_pb2.Capability(links=[bytes([rights])])


def check(memory: fractos_pb2.Memory, right: int, _: float) -> None:
    if not memory.capability.links or not memory.capability.links[0][0] & right:
        raise PermissionDeniedError(f"no right {right}")


def new_store(make_block: type[Mapping] | type[SealedFile], limit_bytes: int = 1000, limit_objects: int = 10) -> MemoryStore:
    numbers = itertools.count(1)
    return MemoryStore(
        "node:1",
        limit_bytes,
        check=check,
        issue=issue,
        randomness=lambda size: next(numbers).to_bytes(size, "big"),
        clock=lambda: 0.0,
        limit_objects=limit_objects,
        make_block=make_block,
    )


@pytest.fixture(params=BLOCKS)
def store(request: pytest.FixtureRequest) -> Iterator[MemoryStore]:
    """A store of 1000 bytes and 10 objects, and the proof that it leaves nothing."""
    before = memfds()
    made = new_store(request.param)
    yield made
    made.close()
    assert made.used_bytes == made.objects == 0
    assert memfds() == before


def memfds() -> int:
    found = 0
    for path in Path("/proc/self/fd").glob("*") if HAS_MEMFD else ():
        try:
            found += "mockdc-memory" in str(path.readlink())
        except OSError:  # the one that lists the folder
            continue
    return found


def publish(
    store: MemoryStore, data: bytes | memoryview, run_id: bytes = YOUNG, expires_at: float = 100.0
) -> fractos_pb2.Memory:
    return store.publish(data, run_id=run_id, began_at=1.0 if run_id == OLD else 2.0, expires_at=expires_at)


def read(store: MemoryStore, memory: fractos_pb2.Memory) -> bytes:
    with store.open(memory, 0.0).view() as view:
        return bytes(view.buffer)


def part_of(memory: fractos_pb2.Memory, offset: int, size: int) -> fractos_pb2.Memory:
    part = fractos_pb2.Memory()
    part.CopyFrom(memory)
    part.offset, part.size = offset, size
    return part


def test_what_is_published_is_read_with_its_digest(store: MemoryStore) -> None:
    memory = store.publish([b"12", memoryview(b"345"), b""], run_id=YOUNG, began_at=2.0, expires_at=9.0)
    assert (memory.owner, memory.size, memory.digest) == ("node:1", 5, xxhash.xxh3_128(b"12345").digest())
    assert read(store, memory) == b"12345"
    assert read(store, publish(store, b"")) == b""
    assert (store.used_bytes, store.objects) == (5, 2)


def test_arrays_are_taken_as_they_are(store: MemoryStore) -> None:
    array = np.arange(12, dtype="<u2").reshape(3, 4)
    assert read(store, publish(store, array.data)) == array.tobytes()
    assert read(store, publish(store, array.T.data)) == array.T.tobytes()
    assert read(store, publish(store, np.empty((0, 3)).data)) == b""


def test_ranges_do_not_overflow(store: MemoryStore) -> None:
    memory = publish(store, b"12345")
    assert read(store, part_of(memory, 1, 3)) == b"234"
    assert read(store, part_of(memory, 5, 0)) == b""
    for offset, size in ((0, 6), (5, 1), (6, 0), ((1 << 64) - 1, 2), (1, (1 << 64) - 1)):
        with pytest.raises(OutOfRangeError, match="of a Memory of 5 bytes"):
            store.open(part_of(memory, offset, size), 0.0)


def test_rights_come_before_everything_else(store: MemoryStore) -> None:
    memory = publish(store, b"12")
    assert memory.capability.links[0][0] == Rights.READ
    for forbidden in (store.release, store.publish_object, store.check_writable):
        with pytest.raises(PermissionDeniedError):
            forbidden(memory, 0.0)
    with pytest.raises(PermissionDeniedError):  # whether it exists is not said either
        store.open(fractos_pb2.Memory(owner="node:1", object=b"?" * 16), 0.0)
    memory.owner = "other:1"
    with pytest.raises(MemoryLostError, match="this is node:1"):
        store.open(memory, 0.0)


def test_a_client_writes_publishes_and_releases(store: MemoryStore) -> None:
    memory = store.create(4, 100.0)
    assert memory.capability.links[0][0] == EVERY_RIGHT == Rights.READ | Rights.WRITE | Rights.RELEASE
    store.write(memory.object, 1, b"23")
    with pytest.raises(OutOfRangeError):
        store.write(memory.object, 3, b"45")
    with pytest.raises(FailedPreconditionError, match="publish it"):
        store.open(memory, 0.0)
    published = store.publish_object(memory, 0.0)
    assert published.digest == xxhash.xxh3_128(b"\0" + b"23\0").digest()
    assert store.publish_object(memory, 0.0) == published
    with pytest.raises(FailedPreconditionError, match="create another"):
        store.write(memory.object, 0, b"1")
    assert read(store, published) == b"\0" + b"23\0"
    store.release(memory, 0.0)
    with pytest.raises(NotFoundError, match="node:1: it was released"):
        store.open(memory, 0.0)


def test_older_runs_get_the_room_of_the_youngest(store: MemoryStore) -> None:
    client = store.create(100, 100.0)
    old, first, second = publish(store, b"o" * 100, OLD), publish(store, b"1" * 400), publish(store, b"2" * 400)
    newer = publish(store, b"n" * 300, OLD)
    assert read(store, first) == b"1" * 400
    with pytest.raises(ResourceExhaustedError, match=r"given to an older run.*limit_mb") as caught:
        store.open(second, 0.0)
    assert caught.value.retryable
    with pytest.raises(
        ResourceExhaustedError, match=r"node:1 has no room for a Memory of 101 bytes.*1000 bytes.*\[Memory\]"
    ) as full:
        publish(store, b"x" * 101)
    assert full.value.retryable
    with pytest.raises(ResourceExhaustedError):  # nobody makes room for a client
        store.create(101, 100.0)
    with pytest.raises(ResourceExhaustedError):  # too much even without the young run, so that keeps what it has
        publish(store, b"x" * 501, OLD)
    assert [len(read(store, memory)) for memory in (old, first, newer)] == [100, 400, 300]
    assert store.used_bytes == 900
    store.release(client, 0.0)


def test_more_than_all_is_never_possible(store: MemoryStore) -> None:
    with pytest.raises(ResourceExhaustedError, match="1001 bytes") as caught:
        publish(store, b"x" * 1001, OLD)
    assert not caught.value.retryable
    assert store.objects == 0


def test_objects_are_limited_like_bytes(store: MemoryStore) -> None:
    young = [publish(store, b"1") for _ in range(5)]
    assert not store.is_crowded
    young += [publish(store, b"1") for _ in range(5)]
    assert store.is_crowded
    with pytest.raises(ResourceExhaustedError, match="10 of 10 objects"):
        publish(store, b"1")
    publish(store, b"1", OLD)
    with pytest.raises(ResourceExhaustedError, match="older run"):
        store.open(young[-1], 0.0)


def test_runs_are_freed_and_objects_expire(store: MemoryStore) -> None:
    assert store.next_due == math.inf
    memory, other = publish(store, b"1", expires_at=5.0), publish(store, b"2", OLD, expires_at=7.0)
    with store.open(memory, 0.0).view() as view:
        store.free_runs([YOUNG, b"unknown"])
        assert bytes(view.buffer) == b"1"  # whoever reads it keeps it
    assert (store.objects, store.next_due) == (1, 7.0)
    store.expire(6.9)
    assert read(store, other) == b"2"
    store.expire(7.0)
    with pytest.raises(NotFoundError, match="has expired"):
        store.open(other, 0.0)


def test_what_was_taken_is_forgotten_when_it_would_have_expired(store: MemoryStore) -> None:
    memory = publish(store, b"1" * 600, expires_at=5.0)
    publish(store, b"1" * 600, OLD)
    assert store.next_due == 5.0
    store.expire(5.0)
    with pytest.raises(NotFoundError):
        store.open(memory, 0.0)


def test_a_device_fills_in_a_draft(store: MemoryStore) -> None:
    draft = store.allocate(8, run_id=YOUNG, began_at=2.0, expires_at=9.0)
    array = np.frombuffer(draft.buffer, dtype="<u4")
    array[:] = (1, 2)
    with pytest.raises(FailedPreconditionError, match="drop the arrays"):
        draft.publish()
    del array
    memory = draft.publish()
    expected = np.array([1, 2], "<u4").tobytes()
    assert (read(store, memory), memory.digest) == (expected, xxhash.xxh3_128(expected).digest())


def test_a_draft_can_be_discarded_and_can_lose_its_room(store: MemoryStore) -> None:
    store.allocate(8, run_id=YOUNG, began_at=2.0, expires_at=9.0).discard()
    assert store.objects == 0
    draft = store.allocate(600, run_id=YOUNG, began_at=2.0, expires_at=9.0)
    publish(store, b"1" * 600, OLD)
    draft.buffer[0] = 1
    with pytest.raises(ResourceExhaustedError, match="older run"):
        draft.publish()


@pytest.mark.skipif(not HAS_MEMFD, reason="needs memfd")
def test_without_descriptors_there_is_no_room() -> None:
    def refuse(_: int) -> Mapping:
        raise OSError(24, os.strerror(24))

    store = MemoryStore("node:1", 10, check=check, issue=issue, randomness=os.urandom, clock=lambda: 0.0, make_block=refuse)
    with pytest.raises(ResourceExhaustedError, match="Too many open files"):
        publish(store, b"1")
    assert store.used_bytes == 0
