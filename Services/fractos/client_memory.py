"""Memory as applications use it: arrays and bytes that are left at a node, narrowed, copied, read back and freed.

What a client leaves at a node lives as long as the call that made it: it is gone when the client frees it, disconnects or dies.
Used by `client.py`; the calls are made on its background loop.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.capability import NONCE_BYTES, Rights, narrow
from Services.fractos.errors import InvalidArgumentError, OutOfRangeError, UnavailableError
from Services.fractos.memory_reference import MemoryReference
from Services.fractos.transport.grpc_channel import OPTIONS
from Services.fractos.transport.memory_fetcher import MemoryFetcher
from Services.fractos.transport.status import from_grpc

if TYPE_CHECKING:
    import numpy

CHUNK_BYTES = 256 << 10
CALL_TIMEOUT_S = 30.0

Bytes: TypeAlias = "bytes | bytearray | memoryview"
Metadata: TypeAlias = "tuple[tuple[str, str | bytes], ...]"
CreateCall: TypeAlias = "grpc.aio.StreamStreamCall[fractos_pb2.CreateMemoryRequest, fractos_pb2.CreateMemoryResponse]"
