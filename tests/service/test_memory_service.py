"""The gRPC service MemoryStore as clients of any language see it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc
import pytest
import xxhash

from protos import fractos_pb2, fractos_pb2_grpc
from tests.service.memory_node import MemoryNode, pattern
from tests.waiting import eventually, on_event_loop

ALLOWED = (("may-create", "yes"),)


async def ended(
    call: grpc.aio.StreamStreamCall[Any, Any], requests: list[fractos_pb2.CreateMemoryRequest]
) -> tuple[grpc.StatusCode, str]:
    """Write, and read to the end. Returns the status."""
    try:
        for request in requests:
            await call.write(request)
        if len(requests) != 1 or not (requests[0].data or requests[0].size > 100):
            await call.done_writing()
        while await call.read() is not grpc.aio.EOF:
            pass
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return await call.code(), ""


@on_event_loop
async def test_a_client_makes_an_object_that_lives_as_long_as_its_call() -> None:
    async with MemoryNode() as node, grpc.aio.insecure_channel(node.address) as channel:
        stub = fractos_pb2_grpc.MemoryStoreStub(channel)
        call = stub.Create(metadata=ALLOWED)
        await call.write(fractos_pb2.CreateMemoryRequest(size=300_000, data=pattern(300_000)[:200_000]))
        await call.write(fractos_pb2.CreateMemoryRequest(data=pattern(300_000)[200_000:], publish=True))
        assert (await call.read()).memory.size == 300_000
        memory = (await call.read()).memory
        assert memory.digest == xxhash.xxh3_128(pattern(300_000)).digest()
        messages = [message async for message in stub.Read(fractos_pb2.ReadMemoryRequest(memory=memory))]
        assert [len(message.data) for message in messages] == [256 << 10, 300_000 - (256 << 10), 0]
        assert b"".join(message.data for message in messages) == pattern(300_000)
        assert messages[-1].digest == memory.digest
        call.cancel()
        await eventually(lambda: node.store.objects == 0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Read(fractos_pb2.ReadMemoryRequest(memory=memory)).read()
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@on_event_loop
async def test_an_object_is_freed_when_its_caller_has_no_more_to_say_or_says_nonsense() -> None:
    async with MemoryNode(limit_bytes=100) as node, grpc.aio.insecure_channel(node.address) as channel:
        stub = fractos_pb2_grpc.MemoryStoreStub(channel)
        for requests, code in (
            ([fractos_pb2.CreateMemoryRequest(size=10)], grpc.StatusCode.OK),
            ([fractos_pb2.CreateMemoryRequest(size=1, data=b"12")], grpc.StatusCode.OUT_OF_RANGE),
            ([fractos_pb2.CreateMemoryRequest(size=101)], grpc.StatusCode.RESOURCE_EXHAUSTED),
            ([], grpc.StatusCode.INVALID_ARGUMENT),
        ):
            assert (await ended(stub.Create(metadata=ALLOWED), requests))[0] is code
            assert node.store.objects == 0
        code, details = await ended(stub.Create(), [fractos_pb2.CreateMemoryRequest(size=101)])
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "mockdc-capability-bin" in details


@on_event_loop
async def test_a_node_copies_what_another_has() -> None:
    async with MemoryNode() as source, MemoryNode() as target, grpc.aio.insecure_channel(target.address) as channel:
        stub = fractos_pb2_grpc.MemoryStoreStub(channel)
        memory, made = source.publish(pattern(1000)), target.store.create(1000, time.time() + 60)
        await stub.Copy(fractos_pb2.CopyMemoryRequest(source=memory, target=made), timeout=10)
        published = await stub.Publish(fractos_pb2.PublishMemoryRequest(memory=made))
        assert published.memory.digest == memory.digest
        for wrong, code in ((1000, grpc.StatusCode.FAILED_PRECONDITION), (999, grpc.StatusCode.INVALID_ARGUMENT)):
            made.size = wrong
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.Copy(fractos_pb2.CopyMemoryRequest(source=memory, target=made), timeout=10)
            assert caught.value.code() is code
        await stub.Release(fractos_pb2.ReleaseMemoryRequest(memory=made))
        assert target.store.objects == 0


@on_event_loop
async def test_a_reader_that_hangs_up_lets_go_of_the_bytes() -> None:
    async with MemoryNode() as node, grpc.aio.insecure_channel(node.address) as channel:
        memory = node.publish(pattern(64 << 20))
        call = fractos_pb2_grpc.MemoryStoreStub(channel).Read(fractos_pb2.ReadMemoryRequest(memory=memory))
        assert len((await call.read()).data) == 256 << 10
        tasks = asyncio.all_tasks()
        call.cancel()
        await eventually(lambda: len(asyncio.all_tasks()) < len(tasks))
        assert node.traffic.as_dict()["sent"].get("", {}).get("stream", 0) < 64 << 20
