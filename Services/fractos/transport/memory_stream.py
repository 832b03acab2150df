"""Memory from another host: `MemoryStore.Read` on a gRPC connection that carries nothing else. For `memory_fetcher.py`.

Bulk data have their own connection so that they never stand in front of control frames. 64 MiB over loopback, both ends on two
cores: 0.55 GB/s with the 4 MiB window of the channels, 0.7 with one of 16 MiB; larger frames or chunks made it slower.
"""

from __future__ import annotations

import asyncio
import mmap
from contextlib import suppress
from typing import TypeAlias

import grpc
import xxhash
from google.protobuf.message import DecodeError, Message

from protos import fractos_pb2
from Services.fractos.errors import DataLossError, FractosError, ResourceExhaustedError, UnavailableError
from Services.fractos.memory_block import MemoryView
from Services.fractos.transport import memory_chunks
from Services.fractos.transport.memory_mapping import lost
from Services.fractos.transport.status import from_grpc

OPTIONS = [
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.use_local_subchannel_pool", 1),  # a connection of its own, and no back-off inherited from the one that broke
    ("grpc.enable_http_proxy", 0),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 16 << 20),
    ("grpc.keepalive_time_ms", 10_000),  # an owner that is silent although its connection stands is given up after 15 s
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
]

CANCELLED_HERE = "Locally cancelled by application!"

Call: TypeAlias = "grpc.aio.UnaryStreamCall[Message, bytes]"


class MemoryStream:
    """A connection to one owner. Lives on the event loop."""

    def __init__(self, owner: str, reader: str) -> None:
        """`reader` is this node's address."""
        self.owner = owner
        self.used_at = 0.0  # by the event loop's clock
        self._users = 0
        self._ended = False
        self._metadata = ((memory_chunks.READER, reader),)
        self._channel = grpc.aio.insecure_channel(owner, OPTIONS)
        self._read = self._channel.unary_stream(
            memory_chunks.READ,
            request_serializer=fractos_pb2.ReadMemoryRequest.SerializeToString,
            response_deserializer=memory_chunks.as_it_is,
        )

    @property
    def is_idle(self) -> bool:
        """Whether nobody reads."""
        return not self._users

    async def fetch(self, memory: fractos_pb2.Memory) -> MemoryView:
        """Receive a part and compare its digest.

        Raises MemoryLostError if the owner cannot be reached or the connection breaks, DataLossError if what comes is not
        the part, ResourceExhaustedError if there is no room for it, and what the owner raises.
        """
        self._users += 1
        call = self._read(fractos_pb2.ReadMemoryRequest(memory=memory), metadata=self._metadata)
        try:
            return await self._received(call, memory)
        except grpc.aio.AioRpcError as error:
            raise self._refusal(error) from None
        except asyncio.CancelledError:
            # gRPC raises this as well when the owner cancels the call, for example while it shuts down.
            if call.done() and await call.details() != CANCELLED_HERE:
                raise lost(self.owner, "it cancelled the call") from None
            raise
        except DecodeError as error:
            raise DataLossError(f"{self.owner} sent no Memory: {error}") from None
        finally:
            call.cancel()
            self._users -= 1
            self.used_at = asyncio.get_running_loop().time()
            if self._ended and not self._users:
                await self._channel.close()

    async def close(self) -> None:
        """Hang up as soon as nobody reads any more."""
        self._ended = True
        if not self._users:
            await self._channel.close()

    async def _received(self, call: Call, memory: fractos_pb2.Memory) -> MemoryView:
        message = await call.read()  # an owner that refuses does it before anything is allocated
        buffer = _buffer(memory.size)
        digest, received = b"", 0
        computed = xxhash.xxh3_128()
        while isinstance(message, bytes):
            data, digest = memory_chunks.parsed(message)
            if received + len(data) > memory.size:
                raise DataLossError(f"{self.owner} sent more than the {memory.size} bytes that were asked for")
            buffer[received : received + len(data)] = data
            computed.update(data)
            received += len(data)
            message = await call.read()
        if received != memory.size or digest != computed.digest():
            raise DataLossError(f"{self.owner} sent {received} bytes of {memory.size}, or others than it has: fetch them again")
        return MemoryView(buffer.toreadonly())

    def _refusal(self, error: grpc.aio.AioRpcError) -> FractosError:
        refusal = from_grpc(error)
        if refusal is None or isinstance(refusal, UnavailableError):
            return lost(self.owner, f"{error.code().name}: {error.details()}")
        return refusal


def _buffer(size: int) -> memoryview:
    try:
        mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) if size else bytearray()
    except (OSError, OverflowError, ValueError) as error:
        raise ResourceExhaustedError(f"there is no room for a Memory of {size} bytes: {error}") from None
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a system without
            mapping.madvise(mmap.MADV_HUGEPAGE)  # a page fault for every 2 MiB instead of every 4 KiB
    return memoryview(mapping)
