"""Blocks of Memory that are used again: never while anybody can see what they held, and within limits."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protos import fractos_pb2
from Services.fractos.errors import FailedPreconditionError, NotFoundError
from Services.fractos.memory import MemoryStore
from Services.fractos.memory_block import MemoryView, check_sealed
from Services.fractos.memory_pool import KEPT_BLOCKS, KEPT_S
from tests.memory_stores import LATER, RUN, block_of, needs_leases, publish, reusing_store

pytestmark = needs_leases

SIZE = 1001
OLD, NEW = b"o" * SIZE, b"n" * SIZE


def mapped_blocks() -> set[str]:
    """The files of Memory that this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {line.split()[4] for line in lines if "mockdc-memory" in line}


def descriptors() -> int:
    """How many this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def read(store: MemoryStore, memory: fractos_pb2.Memory) -> bytes:
    with store.open(memory, 0.0).view() as view:
        return bytes(view.buffer)


def test_a_block_that_nobody_sees_is_used_again() -> None:
    store = reusing_store()
    first = publish(store, OLD)
    inode = block_of(store, first)
    assert read(store, first) == OLD
    store.free_runs([RUN])
    second = publish(store, NEW)
    assert block_of(store, second) == inode
    assert read(store, second) == NEW
    assert second.object != first.object
    with pytest.raises(NotFoundError):
        store.open(first, 0.0)


def test_only_an_object_of_the_same_size_gets_it() -> None:
    store = reusing_store()
    inode = block_of(store, publish(store, OLD))
    store.free_runs([RUN])
    for size in (SIZE - 1, SIZE + 1):
        other = publish(store, NEW[:1] * size)
        assert block_of(store, other) != inode
        assert read(store, other) == NEW[:1] * size


def test_what_an_array_still_refers_to_does_not_change() -> None:
    store = reusing_store()
    memory = publish(store, OLD)
    inode = block_of(store, memory)
    view = store.open(memory, 0.0).view()
    array = numpy.frombuffer(view.buffer, "u1")[7:]
    view.close()
    del view
    store.free_runs([RUN])
    assert block_of(store, publish(store, NEW)) != inode
    assert array.tobytes() == OLD[7:]
    del array
    assert block_of(store, publish(store, NEW)) == inode


def test_a_buffer_that_outlives_its_view_does_not_change() -> None:
    store = reusing_store()
    memory = publish(store, OLD)
    inode = block_of(store, memory)
    buffer = store.open(memory, 0.0).view().buffer
    store.free_runs([RUN])
    assert block_of(store, publish(store, NEW)) != inode
    assert bytes(buffer) == OLD
    del buffer
    assert block_of(store, publish(store, NEW)) == inode


def test_a_descriptor_that_is_on_its_way_counts_before_it_is_mapped() -> None:
    store = reusing_store()
    memory = publish(store, OLD)
    inode = block_of(store, memory)
    part = store.open(memory, 0.0)
    copy = os.dup(part.descriptor)
    part.close()
    store.free_runs([RUN])
    assert block_of(store, publish(store, NEW)) != inode
    assert os.pread(copy, SIZE, 0) == OLD
    os.close(copy)
    assert block_of(store, publish(store, NEW)) == inode


def test_who_was_refused_a_block_does_not_see_it_change_later_either() -> None:
    """A reader that comes and goes while the block is looked at again and again."""
    store = reusing_store()
    memory = publish(store, OLD)
    views = [store.open(memory, 0.0).view() for _ in range(3)]
    store.free_runs([RUN])
    for view in views:
        publish(store, NEW)
        assert all(bytes(one.buffer) == OLD for one in views[views.index(view) :])
        view.close()


def test_an_array_that_a_device_keeps_of_its_draft_cannot_change_what_comes_later() -> None:
    store = reusing_store()
    draft = store.allocate(SIZE, run_id=RUN, began_at=1.0, expires_at=LATER)
    kept = numpy.frombuffer(draft.buffer, "u1")
    kept[:] = 1
    with pytest.raises(FailedPreconditionError, match="refers to its writable bytes"):
        draft.publish()
    draft.discard()
    later = publish(store, NEW)
    kept[:] = 2
    assert read(store, later) == NEW


def test_a_draft_whose_run_was_stopped_cannot_change_what_comes_later() -> None:
    store = reusing_store()
    draft = store.allocate(SIZE, run_id=RUN, began_at=1.0, expires_at=LATER)
    store.free_runs([RUN])
    later = publish(store, NEW)
    draft.buffer[:] = OLD
    assert read(store, later) == NEW
    with pytest.raises(NotFoundError):
        draft.publish()
    draft.discard()
    assert read(store, later) == NEW


def test_a_draft_is_used_again_when_it_was_published_and_freed() -> None:
    store = reusing_store()
    inodes = set()
    for content in (OLD, NEW):
        draft = store.allocate(SIZE, run_id=RUN, began_at=1.0, expires_at=LATER)
        array = numpy.frombuffer(draft.buffer, "u1")
        array[:] = numpy.frombuffer(content, "u1")
        with pytest.raises(FailedPreconditionError):
            draft.publish()
        del array
        memory = draft.publish()
        assert read(store, memory) == content
        inodes.add(block_of(store, memory))
        draft.discard()
    assert len(inodes) == 1


def test_clients_find_nothing_of_others_in_what_they_create() -> None:
    store = reusing_store()
    publish(store, OLD)
    store.free_runs([RUN])
    before = descriptors()
    created = store.publish_object(store.create(SIZE, LATER), 0.0)
    assert read(store, created) == bytes(SIZE)
    store.release(created, 0.0)
    assert descriptors() == before  # nor is what they leave kept


def test_nobody_else_can_write_into_a_block() -> None:
    store = reusing_store()
    memory = publish(store, OLD)
    with store.open(memory, 0.0) as part:
        check_sealed(part.descriptor, SIZE)
        writable = os.open(f"/proc/self/fd/{part.descriptor}", os.O_RDWR)
        try:
            with pytest.raises(PermissionError):
                os.pwrite(writable, b"x", 0)
            with pytest.raises(PermissionError):
                mmap.mmap(writable, SIZE)
            with pytest.raises(PermissionError):
                os.ftruncate(writable, 0)
        finally:
            os.close(writable)
    assert read(store, memory) == OLD
    with pytest.raises(FailedPreconditionError):
        store.write(memory.object, 0, b"x")


def test_kept_blocks_are_within_the_limit_of_the_node() -> None:
    store = reusing_store(limit_bytes=4 * SIZE)
    before = mapped_blocks()
    for _ in range(4):
        publish(store, OLD)
    store.free_runs([RUN])
    assert len(mapped_blocks() - before) == 4
    publish(store, NEW * 2)
    assert len(mapped_blocks() - before) == 3  # this one, and two that were kept
    store.create(2 * SIZE, LATER)  # has no mapping
    assert len(mapped_blocks() - before) == 1
    store.close()
    assert mapped_blocks() <= before


def test_a_bounded_number_is_kept_for_some_seconds() -> None:
    now = [100.0]
    store = reusing_store(clock=lambda: now[0])
    before = mapped_blocks()
    for _ in range(KEPT_BLOCKS + 3):
        publish(store, b"1")
    store.free_runs([RUN])
    assert len(mapped_blocks() - before) == KEPT_BLOCKS
    now[0] += KEPT_S - 0.1
    store.trim()
    assert len(mapped_blocks() - before) == KEPT_BLOCKS
    assert store.kept_bytes == KEPT_BLOCKS
    now[0] += 0.1
    store.trim()
    assert mapped_blocks() <= before
    assert store.kept_bytes == store.used_bytes == 0


def test_a_block_that_is_given_back_to_the_system_stays_for_those_who_see_it() -> None:
    now = [100.0]
    store = reusing_store(clock=lambda: now[0])
    view = store.open(publish(store, OLD), 0.0).view()
    store.free_runs([RUN])
    now[0] += KEPT_S
    store.trim()
    publish(store, NEW)
    assert bytes(view.buffer) == OLD
    view.close()


class Reuse(RuleBasedStateMachine):
    """Runs come and go, readers keep what they read: it stays as it was."""

    @initialize()
    def start(self) -> None:
        self.store = reusing_store(limit_bytes=40 * 4096)
        self.objects: dict[bytes, tuple[fractos_pb2.Memory, bytes]] = {}
        self.views: list[tuple[MemoryView, bytes]] = []
        self.made = 0

    @precondition(lambda self: len(self.objects) < 8)
    @rule(size=st.sampled_from([1, 4096, 5000]), in_place=st.booleans())
    def make(self, size: int, in_place: bool) -> None:
        self.made += 1
        run_id, content = self.made.to_bytes(16, "big"), bytes([self.made % 251]) * size
        if in_place:
            draft = self.store.allocate(size, run_id=run_id, began_at=1.0, expires_at=LATER)
            draft.buffer[:] = content
            self.objects[run_id] = draft.publish(), content
        else:
            self.objects[run_id] = publish(self.store, content, run_id), content

    @precondition(lambda self: self.objects)
    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        memory, content = self.objects[data.draw(st.sampled_from(list(self.objects)))]
        self.views.append((self.store.open(memory, 0.0).view(), content))

    @precondition(lambda self: self.objects)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        run_id = data.draw(st.sampled_from(list(self.objects)))
        del self.objects[run_id]
        self.store.free_runs([run_id])

    @precondition(lambda self: self.views)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        view, _ = self.views.pop(data.draw(st.integers(0, len(self.views) - 1)))
        view.close()

    @invariant()
    def nothing_has_changed(self) -> None:
        for view, content in getattr(self, "views", ()):
            assert bytes(view.buffer) == content

    def teardown(self) -> None:
        for view, _ in getattr(self, "views", ()):
            view.close()
        if hasattr(self, "store"):
            self.store.close()


TestReuse = Reuse.TestCase
TestReuse.settings = settings(deadline=None, max_examples=30, stateful_step_count=40, database=None)
