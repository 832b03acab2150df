"""Errors of the tree as gRPC statuses with `google.rpc` details, and back: for calls outside channels."""

from __future__ import annotations

import logging
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from Services.fractos.errors import BY_STATUS, FractosError, InternalError
from Services.fractos.placement import Identity

log = logging.getLogger(__name__)

DOMAIN = "mockdc"
MESSAGE_LENGTH = 1000  # characters


def to_grpc(error: FractosError, *, node: str, log_file: str) -> grpc.Status:
    """Return the status to end a call with: code and message, ErrorInfo, and BadRequest or RetryInfo where they apply."""
    info = error_details_pb2.ErrorInfo(
        reason=type(error).__name__.removesuffix("Error"),
        domain=DOMAIN,
        metadata={"node": node, "log_file": log_file, "definite": str(error.definite).lower()},
    )
    details = [_pack(info)]
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message[:MESSAGE_LENGTH])
        details.append(_pack(error_details_pb2.BadRequest(field_violations=[violation])))
    if error.retry_after_s:
        delay = duration_pb2.Duration()
        delay.FromMicroseconds(round(error.retry_after_s * 1e6))
        details.append(_pack(error_details_pb2.RetryInfo(retry_delay=delay)))
    # gRPC sends all of this as headers, which have a limit of their own.
    message = error.message if len(error.message) <= MESSAGE_LENGTH else f"{error.message[:MESSAGE_LENGTH]}…"
    status = status_pb2.Status(code=code_pb2.Code.Value(error.status), message=message, details=details)
    return rpc_status.to_status(status)


def from_grpc(error: grpc.aio.AioRpcError) -> FractosError | None:
    """Return the error that a node ended a call with; None if the call ended otherwise, since the node was not there."""
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it asks for what AioRpcError has as well
    except ValueError:  # details that contradict the status: no node's
        return None
    info, delay_s = error_details_pb2.ErrorInfo(), 0.0
    for detail in status.details if status is not None else ():
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(retry):
            delay_s = retry.retry_delay.ToMicroseconds() / 1e6
        detail.Unpack(info)
    if info.domain != DOMAIN or status is None:
        return None
    kind = BY_STATUS.get(error.code().name, FractosError)
    return kind(status.message, definite=info.metadata["definite"] == "true", retry_after_s=delay_s)


class translated_errors:  # noqa: N801 - reads as a statement
    """Ends a gRPC call with the status of the error that its block raises: the one place on the way out."""

    def __init__(self, context: grpc.aio.ServicerContext[Any, Any], identity: Identity) -> None:
        self._context = context
        self._identity = identity

    async def __aenter__(self) -> None:
        """Nothing to prepare."""

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Translate an error; cancellation and gRPC's own pass."""
        if not isinstance(error, Exception) or isinstance(error, grpc.aio.AbortError):
            return
        if not isinstance(error, FractosError):
            log.error("a call failed", exc_info=error)
            error = InternalError(f"{type(error).__name__}: {error}", definite=False)
        await self._context.abort_with_status(to_grpc(error, node=self._identity.name, log_file=self._identity.log))


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
