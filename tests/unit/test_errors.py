"""The tree of errors, and its way over the wire."""

from __future__ import annotations

import logging

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from protos import fractos_pb2
from Services.fractos.errors import (
    BY_STATUS,
    Context,
    FractosError,
    InternalError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
    error_of,
    failure_of,
    log_level,
    told_of,
)
from Services.fractos.transport.status import to_grpc


def tree(kind: type[FractosError]) -> list[type[FractosError]]:
    return [kind, *(below for sub in kind.__subclasses__() for below in tree(sub))]


@pytest.mark.parametrize("kind", tree(FractosError))
def test_every_error_has_a_grpc_status_and_survives_the_wire(kind: type[FractosError]) -> None:
    assert grpc.StatusCode[kind.status]
    sent = kind("what was wrong", field="name", definite=False, retry_after_s=0.5)
    back = error_of(
        failure_of(sent, Context(step=3, operation="math.power", node="math-1", attempt=2, log_file="l")), b"\1" * 16
    )
    assert type(back) is BY_STATUS[kind.status]
    assert isinstance(sent, type(back))
    assert (back.message, back.field, back.definite, back.retry_after_s) == ("what was wrong", "name", False, 0.5)
    assert back.context == Context("01" * 16, 3, "math.power", "math-1", 2, (), "l")


def test_the_text_names_everything_needed_to_go_on() -> None:
    try:
        try:
            raise OSError("disk on fire")
        except OSError as cause:
            raise NotFoundError("no file 'x'") from cause
    except NotFoundError as error:
        failure = failure_of(
            error, Context(step=1, operation="storage.read_text", node="storage-0", attempt=1, log_file="a.log")
        )
    text = str(error_of(failure, b"\xab" * 16))
    for part in ("no file 'x'", "ab" * 16, "step 1", "storage.read_text", "storage-0", "attempt 1", "disk on fire", "a.log"):
        assert part in text


def test_what_is_outside_the_tree_becomes_internal_and_indefinite() -> None:
    failure = failure_of(ZeroDivisionError("division by zero"), Context())
    assert (failure.status, failure.definite) == (InternalError.status, False)
    assert "ZeroDivisionError: division by zero" in failure.message


def test_grpc_statuses_carry_the_standard_details() -> None:
    status = to_grpc(ResourceExhaustedError("full", field="n", retry_after_s=1.5), node="math-0", log_file="math-0.log")
    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    packed = status_pb2.Status.FromString(dict(status.trailing_metadata)["grpc-status-details-bin"])
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    assert packed.details[0].Unpack(info)
    assert packed.details[1].Unpack(request)
    assert packed.details[2].Unpack(retry)
    assert (info.reason, info.metadata["node"]) == ("ResourceExhausted", "math-0")
    assert request.field_violations[0].field == "n"
    assert retry.retry_delay.ToMilliseconds() == 1500


def test_only_what_passes_is_worth_another_try() -> None:
    assert UnavailableError("gone").retryable
    assert ResourceExhaustedError("full", retry_after_s=0.1).retryable
    assert not ResourceExhaustedError("too large").retryable
    assert not NotFoundError("missing").retryable


@pytest.mark.parametrize(
    ("status", "level"),
    [("NOT_FOUND", logging.INFO), ("CANCELLED", logging.INFO), ("UNAVAILABLE", logging.WARNING), ("INTERNAL", logging.ERROR)],
)
def test_a_callers_mistake_trouble_and_a_defect_are_logged_differently(status: str, level: int) -> None:
    assert log_level(status) == level


def test_a_failed_run_says_what_to_type_next() -> None:
    failure = fractos_pb2.Failure(status="NOT_FOUND", message="no such file", causes=["OSError: 2", "disk"])
    assert str(error_of(failure, bytes(16))).splitlines()[-1] == f"  see: python3 run_datacenter.py trace {'00' * 16}"
    assert told_of(failure) == "NOT_FOUND: no such file caused by OSError: 2 caused by disk"
