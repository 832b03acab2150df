"""A node's own typed service, so that grpcurl or a client in any language can call its device directly, outside any run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message

from protos import fractos_pb2
from Services.fractos.controller import Controller
from Services.fractos.errors import InvalidArgumentError
from Services.fractos.operations import Operation
from Services.fractos.trace_context import KEY as TRACEPARENT
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.status import translated_errors

LONGEST_S = 3600.0  # for calls without a deadline
CAPABILITY = "mockdc-capability-bin"  # the metadata key of a call's capability, serialized

Metadata: TypeAlias = "Iterable[tuple[str, str | bytes]]"
Handler = Callable[[Message, grpc.aio.ServicerContext[Message, Message]], Awaitable[Message]]


def unary_service(
    operations: list[Operation], controller: Controller, clock: Callable[[], float], network: NodeNetwork
) -> grpc.GenericRpcHandler:
    """Return the gRPC service that offers `operations`, all of one service, through the Controller."""
    service = operations[0].rpc.split("/")[1]
    methods = {
        operation.rpc.split("/")[2]: grpc.unary_unary_rpc_method_handler(
            _handler(operation, controller, clock, network),
            request_deserializer=operation.request_class.FromString,
            response_serializer=operation.response_class.SerializeToString,
        )
        for operation in operations
    }
    return grpc.method_handlers_generic_handler(service, methods)


def _handler(operation: Operation, controller: Controller, clock: Callable[[], float], network: NodeNetwork) -> Handler:
    async def call(request: Message, context: grpc.aio.ServicerContext[Message, Message]) -> Message:
        async with translated_errors(context, controller.engine.identity):
            deadline = deadline_of(context, clock())
            capability = capability_of(context.invocation_metadata())
            return await network.answer(request, partial(controller.call, operation, request, deadline, capability))
        raise AssertionError("translated_errors ends the call")

    return call


def deadline_of(context: grpc.aio.ServicerContext[Any, Any], now: float) -> float:
    """When a call ends, Unix time in seconds: by its own deadline, but within LONGEST_S."""
    remaining_s = context.time_remaining()
    return now + (LONGEST_S if remaining_s is None else min(remaining_s, LONGEST_S))


def capability_of(metadata: Metadata | None) -> fractos_pb2.Capability:
    """The capability that a call carries; an empty one if it carries none.

    Raises InvalidArgumentError for one that does not parse.
    """
    serialized = next((value for key, value in metadata or () if key == CAPABILITY), b"")
    try:
        return fractos_pb2.Capability.FromString(serialized if isinstance(serialized, bytes) else b"")
    except DecodeError as error:
        text = f"the metadata {CAPABILITY} do not hold a serialized mockdc.fractos.v1.Capability"
        raise InvalidArgumentError(text) from error


def traceparent_of(metadata: Metadata | None) -> str:
    """The W3C `traceparent` that a call carries; empty if it carries none, or several, of which none counts."""
    given = [value for key, value in metadata or () if key == TRACEPARENT]
    return given[0] if len(given) == 1 and isinstance(given[0], str) else ""
