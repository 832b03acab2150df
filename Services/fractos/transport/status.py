"""Errors of the tree as gRPC statuses with `google.rpc` details, for unary calls."""

from __future__ import annotations

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from Services.fractos.errors import FractosError

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


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
