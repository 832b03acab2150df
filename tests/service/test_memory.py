"""How Memory travels: one contract over both ways, and what must not harm either."""

from __future__ import annotations

import asyncio
import base64
import gc
import mmap
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import grpc
import psutil
import pytest

from protos import fractos_pb2
from Services.fractos.errors import (
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    MemoryLostError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from Services.fractos.transport import memory_chunks, memory_packets
from Services.fractos.transport.memory_packets import Answer
from tests.service.memory_node import RUN, MemoryNode, pattern
from tests.waiting import eventually, on_event_loop

WAYS = pytest.mark.parametrize("way", ["unix", "stream"])
linux = pytest.mark.skipif(not memory_packets.AVAILABLE, reason="needs memfd and SO_PEERCRED")


def soon() -> float:
    return time.time() + 30


@asynccontextmanager
async def pair(way: str) -> AsyncIterator[tuple[MemoryNode, MemoryNode]]:
    """An owner, and a reader that gets at its Memory by one way."""
    if way == "unix" and not memory_packets.AVAILABLE:
        pytest.skip("needs memfd and SO_PEERCRED")
    async with MemoryNode() as owner, MemoryNode(streams_only=way == "stream") as reader:
        yield owner, reader


@contextmanager
def owner_process(size: int) -> Iterator[tuple[subprocess.Popen[str], fractos_pb2.Memory]]:
    command = [sys.executable, "-m", "tests.service.memory_node", str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, fractos_pb2.Memory.FromString(base64.b64decode(process.stdout.readline()))
        finally:
            process.kill()


def part_of(memory: fractos_pb2.Memory, offset: int, size: int) -> fractos_pb2.Memory:
    part = fractos_pb2.Memory()
    part.CopyFrom(memory)
    part.offset, part.size = offset, size
    return part


def memfds() -> set[str]:
    """By descriptor, each of which is another file."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that lists the folder
            if "memfd" in str(path.readlink()):
                found.add(f"{path.name} is file {path.stat().st_ino}")
    return found


def descriptors() -> list[str]:
    """What this process has open that can leak: memfds and sockets."""
    found = []
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = str(path.readlink())
        except OSError:  # the one that lists the folder
            continue
        if "memfd" in target or "socket" in target:
            found.append(target)
    return found


def check_travelled(owner: MemoryNode, reader: MemoryNode, way: str, size: int) -> None:
    counted = {"unix": 0, "stream": 0} | {way: size}
    assert reader.traffic.as_dict() == {"sent": {}, "received": {owner.address: counted}}
    assert owner.traffic.as_dict() == {"sent": {reader.address: counted}, "received": {}}


@WAYS
@pytest.mark.parametrize("size", [0, 1, 4096, 256 << 10, (256 << 10) + 1, 64 << 20])
def test_a_whole_object_arrives(way: str, size: int) -> None:
    @on_event_loop
    async def test() -> None:
        async with pair(way) as (owner, reader):
            data = pattern(size)
            with await reader.fetcher.fetch(owner.publish(data), soon()) as view:
                assert view.buffer == data
                assert view.buffer.readonly
            check_travelled(owner, reader, way, size)

    test()


@WAYS
def test_exactly_a_part_arrives(way: str) -> None:
    @on_event_loop
    async def test() -> None:
        async with pair(way) as (owner, reader):
            data = pattern(100_000)
            memory = owner.publish(data)
            for offset, size in ((0, 10), (5000, 70_000), (4096, 4096), (99_999, 1), (100_000, 0)):
                with await reader.fetcher.fetch(part_of(memory, offset, size), soon()) as view:
                    assert view.buffer == data[offset : offset + size]

    test()


@WAYS
def test_an_owner_that_refuses_says_why(way: str) -> None:
    @on_event_loop
    async def test() -> None:
        async with pair(way) as (owner, reader):
            memory = owner.publish(b"1234")
            unpublished = owner.store.create(4, soon())
            with pytest.raises(FailedPreconditionError, match="not published yet"):
                await reader.fetcher.fetch(unpublished, soon())
            with pytest.raises(OutOfRangeError, match="of a Memory of 4 bytes"):
                await reader.fetcher.fetch(part_of(memory, (1 << 64) - 1, 2), soon())
            forged = part_of(memory, 0, 4)
            forged.capability.seal = b"forged"
            with pytest.raises(PermissionDeniedError, match="no right 1"):
                await reader.fetcher.fetch(forged, soon())
            owner.store.free_runs([RUN])
            with pytest.raises(NotFoundError, match="its run is over") as caught:
                await reader.fetcher.fetch(memory, soon())
            assert owner.address in str(caught.value)

    test()


@WAYS
def test_what_was_given_to_an_older_run_says_so(way: str) -> None:
    @on_event_loop
    async def test() -> None:
        async with MemoryNode(limit_bytes=10) as owner, MemoryNode(streams_only=way == "stream") as reader:
            memory = owner.publish(b"12345678")
            owner.store.publish(b"abcdefgh", run_id=b"o" * 16, began_at=0.5, expires_at=soon())
            with pytest.raises(ResourceExhaustedError, match="given to an older run") as caught:
                await reader.fetcher.fetch(memory, soon())
            assert caught.value.retryable

    test()


@WAYS
def test_an_owner_that_is_killed_has_lost_its_memory(way: str) -> None:
    @on_event_loop
    async def test() -> None:
        async with MemoryNode(streams_only=way == "stream") as reader:
            with owner_process(64 << 20) as (process, memory):
                with await reader.fetcher.fetch(memory, soon()) as view:
                    process.kill()
                    process.wait()
                    assert view.buffer == pattern(64 << 20)  # it is mapped, or here
                for _ in range(2):  # where a connection broke, and where there is none
                    with pytest.raises(MemoryLostError, match="cannot be had") as caught:
                        await reader.fetcher.fetch(memory, soon())
                    assert not caught.value.definite
                assert reader.fetcher.connections == 0

    test()


@WAYS
def test_an_owner_killed_in_the_middle_of_a_fetch_has_lost_its_memory(way: str) -> None:
    @on_event_loop
    async def test() -> None:
        async with MemoryNode(streams_only=way == "stream") as reader:
            with owner_process(64 << 20) as (process, memory):
                with await reader.fetcher.fetch(part_of(memory, 0, 1), soon()):
                    pass
                psutil.Process(process.pid).suspend()  # so that the fetch cannot end before the kill
                fetch = asyncio.create_task(reader.fetcher.fetch(memory, soon()))
                await asyncio.sleep(0)
                process.kill()
                with pytest.raises(MemoryLostError, match="cannot be had"):
                    await fetch

    test()


@WAYS
def test_an_owner_that_does_not_answer_has_until_the_deadline(way: str) -> None:
    @on_event_loop
    async def test() -> None:
        async with MemoryNode(streams_only=way == "stream") as reader:
            with owner_process(1000) as (process, memory):
                with await reader.fetcher.fetch(memory, soon()):
                    pass
                psutil.Process(process.pid).suspend()
                with pytest.raises(DeadlineExceededError, match="did not come from"):
                    await reader.fetcher.fetch(memory, time.time() + 0.2)
                with pytest.raises(DeadlineExceededError, match="did not come from"):
                    await reader.fetcher.fetch(memory, time.time() - 1)
                psutil.Process(process.pid).resume()
                with await reader.fetcher.fetch(memory, soon()) as view:  # the late answer went to nobody
                    assert view.buffer == pattern(1000)

    test()


@linux
@WAYS
def test_nothing_is_left_after_a_thousand_fetches(way: str) -> None:
    @on_event_loop
    async def test() -> None:
        gc.collect()
        before = memfds()  # those of tests before this one
        async with pair(way) as (owner, reader):
            memory = owner.publish(pattern(100_000))
            with await reader.fetcher.fetch(memory, soon()):
                pass
            connected = len(descriptors())
            for _ in range(100):
                views = await asyncio.gather(*(reader.fetcher.fetch(memory, soon()) for _ in range(10)))
                assert {len(view.buffer) for view in views} == {100_000}
                for view in views:
                    view.close()
            assert len(descriptors()) == connected
            assert owner.store.used_bytes == 100_000
            assert reader.store.used_bytes == 0
        gc.collect()
        assert memfds() <= before

    test()


@linux
@WAYS
def test_nobody_can_write_through_what_was_fetched(way: str) -> None:
    @on_event_loop
    async def test() -> None:
        async with pair(way) as (owner, reader):
            memory = owner.publish(b"1234")
            with await reader.fetcher.fetch(memory, soon()) as view, pytest.raises(TypeError, match="read-only"):
                view.buffer[0] = 0
            with owner.store.open(memory, time.time()) as part:
                with pytest.raises(PermissionError):
                    os.pwrite(part.descriptor, b"x", 0)
                with pytest.raises(PermissionError):
                    mmap.mmap(part.descriptor, 4)
                with pytest.raises(PermissionError):
                    os.ftruncate(part.descriptor, 0)

    test()


@linux
def test_garbage_on_the_unix_socket_does_no_harm() -> None:
    @on_event_loop
    async def test() -> None:
        async with pair("unix") as (owner, reader):
            memory = owner.publish(b"1234")
            known = len(descriptors())
            for garbage in (
                b"x",
                b"x" * 9 + b"\xff" * 50,
                os.urandom(1000),
                b"\0" * 60_000,
                b"\0" * 100_000,
                b"\1" * 8 + b"\xff",
            ):
                with memory_packets.new_socket() as stranger:
                    stranger.connect(memory_packets.socket_name(owner.address))
                    pipe = os.pipe()
                    memory_packets.send(stranger, garbage, pipe[0])
                    with suppress(ConnectionResetError):
                        await asyncio.get_running_loop().sock_recv(stranger, 1000)  # refused, or hung up on
                    for end in pipe:
                        os.close(end)
                await eventually(lambda: owner.passing.connections == 0)
                assert len(descriptors()) == known
            with await reader.fetcher.fetch(memory, soon()) as view:
                assert bytes(view.buffer) == b"1234"

    test()


@linux
def test_a_reader_that_takes_no_answers_does_not_stop_the_others() -> None:
    @on_event_loop
    async def test() -> None:
        async with pair("unix") as (owner, reader):
            memory = owner.publish(b"1234")
            question = memory_packets.Question(1, "", memory.SerializeToString()).packed()
            with memory_packets.new_socket() as stranger:
                stranger.connect(memory_packets.socket_name(owner.address))
                for _ in range(50):  # until the owner reads no more
                    try:
                        while True:
                            memory_packets.send(stranger, question, -1)
                    except BlockingIOError:
                        await asyncio.sleep(0)
                with await reader.fetcher.fetch(memory, soon()) as view:
                    assert bytes(view.buffer) == b"1234"
            await eventually(lambda: owner.passing.connections == 1)
            assert sum("memfd" in name for name in descriptors()) == 1

    test()


@linux
@pytest.mark.parametrize(
    ("answer", "sealed", "count", "error"),
    [
        (Answer(1).packed(), False, 1, DataLossError),
        (Answer(1).packed(), True, 2, MemoryLostError),
        (Answer(1, b"\xff\xff").packed(), True, 0, MemoryLostError),
        (Answer(1, b"\xff\xff").packed(), True, 1, MemoryLostError),
        (b"?", True, 1, MemoryLostError),
        (b"x" * 100_000, True, 1, MemoryLostError),
        (Answer(1).packed(), True, 1, DataLossError),  # sealed, and too short
    ],
)
def test_an_owner_that_passes_something_else_does_no_harm(
    answer: bytes, sealed: bool, count: int, error: type[Exception]
) -> None:
    @on_event_loop
    async def test() -> None:
        async with MemoryNode() as other, MemoryNode() as reader:
            known = descriptors()
            memory = fractos_pb2.Memory(owner="127.0.0.1:1", size=1 << 20, object=b"o" * 16)
            with memory_packets.new_socket() as listener:
                listener.bind(memory_packets.socket_name(memory.owner))
                listener.listen()
                listener.setblocking(False)
                fetch = asyncio.create_task(reader.fetcher.fetch(memory, soon()))
                await asyncio.sleep(0)
                connection, _ = await asyncio.get_running_loop().sock_accept(listener)
                with connection, other.store.open(other.publish(b"12"), 0) as part:
                    passed = part.descriptor if sealed else connection.fileno()
                    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed.to_bytes(4, sys.byteorder) * count)]
                    connection.sendmsg([answer], rights if count else [])
                    with pytest.raises(error):
                        await fetch
            await reader.fetcher.close()
            other.store.close()
            assert sorted(descriptors()) == sorted(known)

    test()


@WAYS
def test_an_address_where_nobody_listens_has_lost_its_memory(way: str) -> None:
    @on_event_loop
    async def test() -> None:
        async with MemoryNode(streams_only=way == "stream") as reader:
            with pytest.raises(MemoryLostError, match=r"127\.0\.0\.1:1 cannot be had"):
                await reader.fetcher.fetch(fractos_pb2.Memory(owner="127.0.0.1:1", size=5), soon())

    test()


def test_another_program_at_the_address_has_lost_its_memory() -> None:
    @on_event_loop
    async def test() -> None:
        server = grpc.aio.server()
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with MemoryNode() as reader:
            with pytest.raises(MemoryLostError, match="UNIMPLEMENTED"):
                await reader.fetcher.fetch(fractos_pb2.Memory(owner=f"127.0.0.1:{port}", size=5), soon())
        await server.stop(None)

    test()


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([memory_chunks.chunk(memoryview(b"12345")), memory_chunks.last(b"d" * 16)], DataLossError),
        ([memory_chunks.chunk(memoryview(b"123"))], DataLossError),
        ([memory_chunks.chunk(memoryview(b"1234567"))], DataLossError),
        ([b"\xff\xff"], DataLossError),
        ([], DataLossError),
        (None, MemoryLostError),
    ],
)
def test_a_damaged_stream_is_noticed(messages: list[bytes] | None, error: type[Exception]) -> None:
    async def read(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        if messages is None:
            await context.abort(grpc.StatusCode.CANCELLED, "shutting down")
        for message in messages:
            await context.write(message)

    @on_event_loop
    async def test() -> None:
        server = grpc.aio.server()
        handler = grpc.unary_stream_rpc_method_handler(read, memory_chunks.as_it_is, memory_chunks.as_it_is)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("mockdc.fractos.v1.MemoryStore", {"Read": handler}),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with MemoryNode() as reader:
            with pytest.raises(error):
                await reader.fetcher.fetch(fractos_pb2.Memory(owner=f"127.0.0.1:{port}", size=5), soon())
        await server.stop(None)

    test()
