"""Blocks of Memory that other processes see: they are not used again before those have let go or are dead."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import numpy

from protos import fractos_pb2
from Services.fractos.memory import MemoryStore
from Services.fractos.transport.memory_fetcher import MemoryFetcher
from Services.fractos.transport.memory_passing import MemoryPassing
from Services.fractos.transport.memory_traffic import MemoryTraffic
from tests.memory_stores import LATER, RUN, block_of, needs_leases, publish, reusing_store
from tests.waiting import eventually, until

pytestmark = needs_leases

SIZE = 1000
OLD, NEW = b"o" * SIZE, b"n" * SIZE
READER = Path(__file__).with_name("memory_reader.py")


class Reader:
    """A reading process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def seen(self) -> str:
        """The digest of what it sees now."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.line()

    def line(self) -> str:
        """What it says next."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def reader(store: MemoryStore, memory: fractos_pb2.Memory) -> Iterator[Reader]:
    """A process that has mapped an object; killed at the end."""
    with store.open(memory, 0.0) as part:
        process = subprocess.Popen(
            [sys.executable, str(READER), str(part.descriptor), str(memory.size)],
            pass_fds=[part.descriptor],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    with process:
        try:
            reading = Reader(process)
            assert reading.line() == "mapped"
            yield reading
        finally:
            process.kill()


def uses_again(store: MemoryStore, inode: int) -> bool:
    """Leave bytes in the store, for good; whether the only block that is kept was used for them."""
    return block_of(store, publish(store, NEW, b"n" * 16)) == inode


def test_a_reader_in_another_process_keeps_what_it_sees_until_it_is_dead() -> None:
    store = reusing_store()
    memory = publish(store, OLD)
    inode = block_of(store, memory)
    with reader(store, memory) as reading:
        store.free_runs([RUN])
        assert not uses_again(store, inode)
        assert reading.seen() == hashlib.sha256(OLD).hexdigest()
        reading.process.kill()
        reading.process.wait()
        until(lambda: uses_again(store, inode))


def test_a_paused_reader_finds_what_it_saw_before() -> None:
    store = reusing_store(clock=lambda: 0.0)
    memory = publish(store, OLD)
    inode = block_of(store, memory)
    with reader(store, memory) as reading:
        reading.process.send_signal(signal.SIGSTOP)
        until(lambda: Path(f"/proc/{reading.process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T")
        store.free_runs([RUN])
        assert not uses_again(store, inode)
        reading.process.send_signal(signal.SIGCONT)
        assert reading.seen() == hashlib.sha256(OLD).hexdigest()
        assert not uses_again(store, inode)


@asynccontextmanager
async def two_nodes() -> AsyncIterator[tuple[MemoryStore, MemoryFetcher]]:
    """An owner that listens, and another node's fetcher."""
    traffic = MemoryTraffic()
    owner = reusing_store(address=f"127.0.0.1:{os.getpid()}")
    passing = MemoryPassing(owner, time.time, traffic)
    fetcher = MemoryFetcher(reusing_store(), time.time, traffic)
    passing.start()
    try:
        yield owner, fetcher
    finally:
        await fetcher.close()
        passing.close()
        owner.close()


def test_an_array_that_was_fetched_outlives_its_run_and_its_connection() -> None:
    async def fetch_and_keep() -> None:
        async with two_nodes() as (owner, fetcher):
            memory = publish(owner, OLD)
            inode = block_of(owner, memory)
            view = await fetcher.fetch(memory, LATER)
            array = numpy.frombuffer(view.buffer, "u1")
            view.close()
            del view
            owner.free_runs([RUN])
            assert not uses_again(owner, inode)
            await fetcher.close()
            assert not uses_again(owner, inode)
            assert array.tobytes() == OLD
            del array
            assert uses_again(owner, inode)

    asyncio.run(fetch_and_keep())


def test_an_owner_that_listens_uses_blocks_again_once_the_view_is_closed() -> None:
    async def fetch_and_let_go() -> None:
        async with two_nodes() as (owner, fetcher):
            memory = publish(owner, OLD)
            inode = block_of(owner, memory)
            (await fetcher.fetch(memory, LATER)).close()
            owner.free_runs([RUN])
            await eventually(lambda: uses_again(owner, inode))

    asyncio.run(fetch_and_let_go())
