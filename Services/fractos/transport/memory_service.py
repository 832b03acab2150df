"""The gRPC service MemoryStore of a node: what clients do with its Memory, and what nodes of other hosts read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeAlias

import grpc
import xxhash

from protos import fractos_pb2
from Services.fractos.errors import DeadlineExceededError, InvalidArgumentError, MemoryLostError
from Services.fractos.memory import MemoryStore
from Services.fractos.placement import Identity
from Services.fractos.transport import memory_chunks
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.memory_fetcher import MemoryFetcher
from Services.fractos.transport.memory_traffic import STREAM, MemoryTraffic
from Services.fractos.transport.status import translated_errors
from Services.fractos.transport.unary import deadline_of

STALLED_S = 30.0  # a reader that takes nothing for so long is given up

Metadata: TypeAlias = "tuple[tuple[str, str | bytes], ...]"
MayCreate = Callable[[Metadata], float]
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class MemoryService:
    """Answers the calls. Lives on the event loop."""

    def __init__(
        self,
        store: MemoryStore,
        fetcher: MemoryFetcher,
        identity: Identity,
        may_create: MayCreate,
        clock: Callable[[], float],
        traffic: MemoryTraffic,
        is_node: Callable[[str], bool],
        network: NodeNetwork | None = None,
    ) -> None:
        """`is_node(address)`: a copy must not make this node call anybody else.

        `may_create(metadata)` returns until when, in Unix seconds, an object may live, or raises PermissionDeniedError.
        """
        self._store = store
        self._fetcher = fetcher
        self._identity = identity
        self._may_create = may_create
        self._clock = clock
        self._traffic = traffic
        self._is_node = is_node
        self._network = network

    def handler(self) -> grpc.GenericRpcHandler:
        """For a `grpc.aio` server."""
        name = fractos_pb2.DESCRIPTOR.services_by_name["MemoryStore"].full_name
        methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            "Create": grpc.stream_stream_rpc_method_handler(
                self.create,
                request_deserializer=fractos_pb2.CreateMemoryRequest.FromString,
                response_serializer=fractos_pb2.CreateMemoryResponse.SerializeToString,
            ),
            "Read": grpc.unary_stream_rpc_method_handler(
                self.read,
                request_deserializer=fractos_pb2.ReadMemoryRequest.FromString,
                response_serializer=memory_chunks.as_it_is,
            ),
            "Copy": self._unary(self.copy, fractos_pb2.CopyMemoryRequest, fractos_pb2.CopyMemoryResponse),
            "Publish": self._unary(self.publish, fractos_pb2.PublishMemoryRequest, fractos_pb2.PublishMemoryResponse),
            "Release": self._unary(self.release, fractos_pb2.ReleaseMemoryRequest, fractos_pb2.ReleaseMemoryResponse),
        }
        return grpc.method_handlers_generic_handler(name, methods)

    async def create(self, _: object, context: Context) -> None:
        """Keep an object for as long as this call lasts."""
        async with translated_errors(context, self._identity):
            first = await context.read()  # before any refusal, which gRPC's client takes for a defect while it still writes
            expires_at = self._may_create(_metadata(context))
            began_at = await self._network.admit(0) if self._network is not None else 0.0
            if not isinstance(first, fractos_pb2.CreateMemoryRequest):
                raise InvalidArgumentError("the first message of Create gives the size of the object", field="size")
            memory = self._store.create(first.size, expires_at)
            try:
                await context.write(fractos_pb2.CreateMemoryResponse(memory=memory))
                await asyncio.wait_for(self._fill(memory, first, context, began_at), expires_at - self._clock())
            except asyncio.TimeoutError:
                raise DeadlineExceededError("the Memory has expired: its capability allows no more time") from None
            finally:
                self._store.free(memory.object)

    async def _fill(self, memory: fractos_pb2.Memory, request: object, context: Context, began_at: float) -> None:
        """Write what the caller sends, and return when it has no more to say."""
        offset = 0
        while isinstance(request, fractos_pb2.CreateMemoryRequest):
            if request.data:
                self._store.write(memory.object, offset, request.data)
                offset += len(request.data)
            if request.publish:
                if self._network is not None:
                    await self._network.from_client(offset, began_at)
                published = await asyncio.to_thread(self._store.publish_object, memory, self._clock())
                if self._network is not None:
                    await self._network.to_client(0)
                await context.write(fractos_pb2.CreateMemoryResponse(memory=published))
            request = await context.read()

    async def read(self, request: fractos_pb2.ReadMemoryRequest, context: Context) -> None:
        """Stream a part, then its digest."""
        async with translated_errors(context, self._identity):
            peer = str(dict(_metadata(context)).get(memory_chunks.READER, ""))
            network = self._network if self._network is not None and self._network.is_client(peer) else None
            asked_at = await network.admit(0) if network is not None else 0.0
            with self._store.open(request.memory, self._clock()).view() as view:
                digest = xxhash.xxh3_128()
                with _StallTimer() as timer:
                    for start in range(0, len(view.buffer), memory_chunks.CHUNK_BYTES):
                        data = view.buffer[start : start + memory_chunks.CHUNK_BYTES]
                        digest.update(data)
                        await context.write(memory_chunks.chunk(data))
                        self._traffic.sent(peer, STREAM, len(data))
                        timer.progress()
                self._traffic.sent(peer, STREAM, 0)  # an empty one is listed as well
                if network is not None:
                    await network.to_client(request.memory.size, asked_at)
                with _StallTimer():
                    await context.write(memory_chunks.last(digest.digest()))

    async def copy(self, request: fractos_pb2.CopyMemoryRequest, context: Context) -> fractos_pb2.CopyMemoryResponse:
        """Fetch the source, wherever it is, and write it into the target."""
        source, target, now = request.source, request.target, self._clock()
        if source.size != target.size:
            raise InvalidArgumentError(f"{source.size} bytes cannot be copied to {target.size}", field="target")
        self._store.check_writable(target, now)
        if not self._is_node(source.owner):
            raise MemoryLostError(f"{source.owner or 'nobody'}, where the source is, is no node of this datacenter")
        with await self._fetcher.fetch(source, deadline_of(context, now)) as view:
            await asyncio.to_thread(self._store.write, target.object, target.offset, view.buffer)
        return fractos_pb2.CopyMemoryResponse()

    async def publish(self, request: fractos_pb2.PublishMemoryRequest, context: Context) -> fractos_pb2.PublishMemoryResponse:
        """Seal an object."""
        memory = await asyncio.to_thread(self._store.publish_object, request.memory, self._clock())
        return fractos_pb2.PublishMemoryResponse(memory=memory)

    async def release(self, request: fractos_pb2.ReleaseMemoryRequest, context: Context) -> fractos_pb2.ReleaseMemoryResponse:
        """Free an object."""
        self._store.release(request.memory, self._clock())
        return fractos_pb2.ReleaseMemoryResponse()

    def _unary(
        self, call: Callable[[Any, Context], Awaitable[Any]], request: Any, response: Any
    ) -> grpc.RpcMethodHandler[Any, Any]:
        async def answer(message: Any, context: Context) -> Any:
            async with translated_errors(context, self._identity):
                if self._network is None:
                    return await call(message, context)
                return await self._network.answer(message, partial(call, message, context))
            raise AssertionError("translated_errors ends the call")

        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )


class _StallTimer:
    """Cancels a block that makes no progress for a while. A timer, since a task with a timeout for each chunk is dear."""

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._stalled = False
        self.progress()
        self._timer = self._loop.call_at(self._due, self._look)

    def progress(self) -> None:
        """Some more time from now on."""
        self._due = self._loop.time() + STALLED_S

    def __enter__(self) -> _StallTimer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self._timer.cancel()
        if self._stalled and kind is asyncio.CancelledError:
            raise DeadlineExceededError(f"the reader has taken nothing for {STALLED_S:g} s")

    def _look(self) -> None:
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        else:
            self._stalled = True
            self._task.cancel()


def _metadata(context: Context) -> Metadata:
    return tuple(context.invocation_metadata() or ())
