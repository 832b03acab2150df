"""Who follows the directory: the nodes that are used, and the first few of each type. Used by `node.py`.

All nodes that follow it read it whenever one comes or goes, so that with all of them following, the directory's work would grow
with the square of their number.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from protos import fractos_pb2
from Services.fractos.directory.interface import Directory
from Services.fractos.errors import UnavailableError
from Services.fractos.transport.local_stream import Method

log = logging.getLogger(__name__)

FIRST = 8  # of each type follow the directory from their start, so that they can serve when it is away
PATIENCE_S = 1.0  # how long somebody waits for this node to know the others; then it may have to say that it does not
_SERVICES = fractos_pb2.DESCRIPTOR.services_by_name
USES = frozenset(
    f"/{_SERVICES[service].full_name}/{method}"
    for service, method in (("Channel", "Connect"), ("Capabilities", "Revoke"), ("MemoryStore", "Copy"))
)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]"


def is_first(node: str) -> bool:
    """Whether a node of that name is one of the first of its type."""
    return int(node.rpartition("-")[2]) < FIRST


class Following(grpc.aio.ServerInterceptor):
    """Has one node follow the directory from the first call on for which it has to know the others."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._beginning: asyncio.Task[None] | None = None

    async def begin(self, patience_s: float = PATIENCE_S) -> None:
        """Return once the node knows the others, or cannot get to know them soon: then it will when the directory answers."""
        if self._beginning is None:
            self._beginning = asyncio.create_task(self._begin(), name="following the directory")
        if not self._beginning.done():
            await asyncio.wait({self._beginning}, timeout=patience_s)

    async def _begin(self) -> None:
        try:
            await self._directory.follow()
        except UnavailableError as error:
            log.warning("this node is used, but does not know the others yet: %s", error)

    def first(self, method: Method) -> Method:
        """What has a local stream, which no interceptor sees, wait likewise."""

        async def serve(request_iterator: object, context: object) -> None:
            await self.begin()
            await method.serve(request_iterator, context)

        return method._replace(serve=serve)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Have such a call wait until the others are known."""
        if handler_call_details.method in USES:
            await self.begin()
        return await continuation(handler_call_details)
