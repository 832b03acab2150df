"""Memory as applications use it: arrays and bytes that are left at a node, narrowed, copied, read back and freed.

What a client leaves at a node lives as long as the call that made it: it is gone when the client frees it, disconnects or dies.
Used by `client.py`, on whose background loop the calls are made.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, TypeAlias

import grpc

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.errors import FractosError, NotFoundError, UnavailableError
from Services.fractos.memory_block import HAS_MEMFD, MemoryPart, MemoryView, SealedFile
from Services.fractos.transport.grpc_channel import OPTIONS
from Services.fractos.transport.memory_chunks import CHUNK_BYTES
from Services.fractos.transport.memory_fetcher import MemoryFetcher
from Services.fractos.transport.memory_traffic import MemoryTraffic
from Services.fractos.transport.status import from_grpc
from Services.fractos.transport.unary import CAPABILITY

CALL_TIMEOUT_S = 60.0

AnyCall: TypeAlias = "grpc.aio.UnaryUnaryCall[Any, Any]"
CreateCall: TypeAlias = "grpc.aio.StreamStreamCall[fractos_pb2.CreateMemoryRequest, fractos_pb2.CreateMemoryResponse]"


class NoStore:
    """A client keeps no Memory for others."""

    address = ""

    def open(self, memory: fractos_pb2.Memory, now: float) -> MemoryPart:
        """Nothing is here."""
        raise NotFoundError("the reference to Memory names no owner")


class ClientMemory:
    """The Memory of one client. Lives on the background loop."""

    def __init__(self) -> None:
        self._fetcher = MemoryFetcher(NoStore(), time.time, MemoryTraffic())
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._calls: dict[bytes, CreateCall] = {}  # by object; each keeps its own

    async def create(
        self, address: str, size: int, capability: fractos_pb2.Capability | None, data: memoryview | None
    ) -> fractos_pb2.Memory:
        """Make an object of `size` bytes at a node; of `data`, and then published, if there are any.

        Raises what the node says, and UnavailableError if it does not answer.
        """
        if data is not None and HAS_MEMFD:
            with contextlib.closing(await asyncio.to_thread(_sealed, data)) as block:
                memory = await self._fetcher.hand_over(
                    address, block.descriptor(), size, capability or fractos_pb2.Capability()
                )
                if memory is not None:
                    return memory
        metadata = ((CAPABILITY, capability.SerializeToString()),) if capability is not None else ()
        call = self._stub(address).Create(metadata=metadata)
        try:
            await call.write(fractos_pb2.CreateMemoryRequest(size=size))
            memory = await self._answer(call)
            if data is not None:
                for start in range(0, size, CHUNK_BYTES):
                    await call.write(fractos_pb2.CreateMemoryRequest(data=bytes(data[start : start + CHUNK_BYTES])))
                await call.write(fractos_pb2.CreateMemoryRequest(publish=True))
                memory = await self._answer(call)
        except grpc.aio.AioRpcError as error:
            raise translated(error, address) from None
        except BaseException:
            call.cancel()
            raise
        self._calls[memory.object] = call
        return memory

    async def read(self, memory: fractos_pb2.Memory) -> MemoryView:
        """Get the bytes of a Memory. Raises MemoryLostError if its owner is gone, and what the owner says."""
        return await self._fetcher.fetch(memory, time.time() + CALL_TIMEOUT_S)

    async def copy(self, source: fractos_pb2.Memory, target: fractos_pb2.Memory) -> None:
        """Have the target's node fetch the source and write it into the target; the bytes do not come here."""
        request = fractos_pb2.CopyMemoryRequest(source=source, target=target)
        await self._ask(target.owner, self._stub(target.owner).Copy(request, timeout=CALL_TIMEOUT_S))

    async def publish(self, memory: fractos_pb2.Memory) -> fractos_pb2.Memory:
        """Make an object readable, and for ever as it is. Returns the reference with its digest."""
        request = fractos_pb2.PublishMemoryRequest(memory=memory)
        call = self._stub(memory.owner).Publish(request, timeout=CALL_TIMEOUT_S)
        published: fractos_pb2.PublishMemoryResponse = await self._ask(memory.owner, call)
        return published.memory

    async def release(self, memory: fractos_pb2.Memory) -> None:
        """Free an object."""
        request = fractos_pb2.ReleaseMemoryRequest(memory=memory)
        await self._ask(memory.owner, self._stub(memory.owner).Release(request, timeout=CALL_TIMEOUT_S))
        call = self._calls.pop(memory.object, None)
        if call is not None:
            call.cancel()

    async def close(self) -> None:
        """Free all that this client has made, and hang up."""
        for call in self._calls.values():
            call.cancel()
        self._calls.clear()
        await self._fetcher.close()
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()

    def _stub(self, address: str) -> fractos_pb2_grpc.MemoryStoreStub:
        channel = self._channels.get(address)
        if channel is None:
            channel = self._channels[address] = grpc.aio.insecure_channel(address, OPTIONS)
        return fractos_pb2_grpc.MemoryStoreStub(channel)

    async def _answer(self, call: CreateCall) -> fractos_pb2.Memory:
        response = await call.read()
        if not isinstance(response, fractos_pb2.CreateMemoryResponse):
            raise UnavailableError("the node ended the call that keeps the Memory")
        return response.memory

    async def _ask(self, address: str, call: AnyCall) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise translated(error, address) from None


def _sealed(data: memoryview) -> SealedFile:
    block = SealedFile(data.nbytes)
    block.write(0, data)
    block.seal()
    return block


def translated(error: grpc.aio.AioRpcError, address: str) -> FractosError:
    """What a node said, or that it does not answer."""
    text = f"the node at {address} does not answer: {error.code().name}: {error.details()}"
    return from_grpc(error) or UnavailableError(text)
