"""A node's own typed service, so that grpcurl or a client in any language can call its device directly, outside any run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.message import Message

from Services.fractos.controller import Controller
from Services.fractos.operations import Operation
from Services.fractos.transport.status import translated_errors

LONGEST_S = 3600.0  # for calls without a deadline

Handler = Callable[[Message, grpc.aio.ServicerContext[Message, Message]], Awaitable[Message]]


def unary_service(operations: list[Operation], controller: Controller, clock: Callable[[], float]) -> grpc.GenericRpcHandler:
    """Return the gRPC service that offers `operations`, all of one service, through the Controller."""
    service = operations[0].rpc.split("/")[1]
    methods = {
        operation.rpc.split("/")[2]: grpc.unary_unary_rpc_method_handler(
            _handler(operation, controller, clock),
            request_deserializer=operation.request_class.FromString,
            response_serializer=operation.response_class.SerializeToString,
        )
        for operation in operations
    }
    return grpc.method_handlers_generic_handler(service, methods)


def _handler(operation: Operation, controller: Controller, clock: Callable[[], float]) -> Handler:
    async def call(request: Message, context: grpc.aio.ServicerContext[Message, Message]) -> Message:
        async with translated_errors(context, controller.engine.identity):
            remaining_s = context.time_remaining()
            deadline = clock() + min(LONGEST_S if remaining_s is None else remaining_s, LONGEST_S)
            return await controller.call(operation, request, deadline)
        raise AssertionError("translated_errors ends the call")

    return call
