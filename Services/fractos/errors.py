"""The one tree of errors. Whatever goes wrong for a user is one of these.

    FractosError                 UNKNOWN
    ├── InvalidArgumentError     INVALID_ARGUMENT     an argument is wrong, whatever the state of the datacenter
    │   ├── GraphError                                a task graph is wrong; raised while it is built
    │   └── ConfigurationError                        data_center_setup.cfg or a flag is wrong
    ├── NotFoundError            NOT_FOUND            no such file, node, run
    ├── AlreadyExistsError       ALREADY_EXISTS       the name or id is taken
    ├── PermissionDeniedError    PERMISSION_DENIED    outside what the caller may touch
    ├── UnauthenticatedError     UNAUTHENTICATED      the one at the other end has not proved who it is
    ├── FailedPreconditionError  FAILED_PRECONDITION  not in the present state; the message says what to do first
    ├── OutOfRangeError          OUT_OF_RANGE         well-formed, but beyond a bound that is named
    ├── ResourceExhaustedError   RESOURCE_EXHAUSTED   a limit is reached; may work later if retry_after_s is set
    ├── DeadlineExceededError    DEADLINE_EXCEEDED    not done in time
    ├── RunCancelledError        CANCELLED            someone asked to stop
    ├── AbortedError             ABORTED              inputs changed between two attempts of a run; run it again
    ├── UnavailableError         UNAVAILABLE          a node cannot be reached; may work later
    │   └── MemoryLostError                           Memory is gone with the node that held it
    ├── DataLossError            DATA_LOSS            data is there but damaged
    ├── UnimplementedError       UNIMPLEMENTED        this node has no such operation
    └── InternalError            INTERNAL             a defect in the datacenter or in a device

`status` is the name of the gRPC status code. `retryable`: the same call may succeed later. `definite`: what was asked for
has certainly not happened. Translated to the wire in `failure_of` and back in `error_of`, and for unary gRPC calls in
`transport/status.py`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import ClassVar

from protos import fractos_pb2


@dataclass(frozen=True)
class Context:
    """Where in a run an error happened."""

    run_id: str = ""  # 32 hexadecimal digits
    step: int = 0
    operation: str = ""
    node: str = ""
    attempt: int = 0
    causes: tuple[str, ...] = ()  # outermost first
    log_file: str = ""


class FractosError(Exception):
    """Base of the tree.

    `message` says what was wrong (the value), where it came from and what to do; `field` names the argument at fault;
    `retry_after_s` is how long to wait before another try, in seconds; `context` is filled in for failed runs.
    """

    status: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        definite: bool = True,
        retry_after_s: float = 0.0,
        context: Context | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.definite = definite
        self.retry_after_s = retry_after_s
        self.context = context or Context()

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later."""
        return False

    def __str__(self) -> str:
        """The message, and for a failed run a line each for where it failed, why, and where to read more."""
        context = self.context
        lines = [self.message]
        if context.run_id:
            where = f"  run {context.run_id}, attempt {context.attempt}"
            if context.operation:
                where += f", step {context.step} ({context.operation})"
            if context.node:
                where += f" on {context.node}"
            lines.append(where)
        lines += [f"  caused by {cause}" for cause in context.causes]
        if context.log_file:
            lines.append(f"  see {context.log_file}")
        if context.run_id:
            lines.append(f"  see: python3 run_datacenter.py trace {context.run_id}")
        return "\n".join(lines)

    def within(self, context: Context) -> FractosError:
        """Return a copy that carries `context`; the causes of both are kept."""
        copy = type(self)(
            self.message,
            field=self.field,
            definite=self.definite,
            retry_after_s=self.retry_after_s,
            context=replace(context, causes=context.causes or self.context.causes),
        )
        copy.__cause__ = self.__cause__
        return copy


class InvalidArgumentError(FractosError):
    """An argument is wrong, whatever the state of the datacenter."""

    status = "INVALID_ARGUMENT"


class GraphError(InvalidArgumentError):
    """A task graph is wrong; raised while it is built or checked."""


class ConfigurationError(InvalidArgumentError):
    """The configuration or a command-line flag is wrong."""


class NotFoundError(FractosError):
    """No such file, node or run."""

    status = "NOT_FOUND"


class AlreadyExistsError(FractosError):
    """The name or id is taken."""

    status = "ALREADY_EXISTS"


class PermissionDeniedError(FractosError):
    """Outside what the caller may touch."""

    status = "PERMISSION_DENIED"


class UnauthenticatedError(FractosError):
    """The one at the other end has not proved who it is."""

    status = "UNAUTHENTICATED"


class FailedPreconditionError(FractosError):
    """Not possible in the present state; the message says what to do first."""

    status = "FAILED_PRECONDITION"


class OutOfRangeError(FractosError):
    """Well-formed, but beyond a bound that the message names."""

    status = "OUT_OF_RANGE"


class ResourceExhaustedError(FractosError):
    """A limit is reached; the message names it. Retryable if `retry_after_s` is set: a limit on how much at once passes."""

    status = "RESOURCE_EXHAUSTED"

    @property
    def retryable(self) -> bool:
        """Whether the limit is one that passes."""
        return self.retry_after_s > 0


class DeadlineExceededError(FractosError):
    """Not done in time."""

    status = "DEADLINE_EXCEEDED"


class RunCancelledError(FractosError):
    """Someone asked to stop."""

    status = "CANCELLED"


class AbortedError(FractosError):
    """A run was repeated because a node had died, and what one of its steps reads had changed meanwhile."""

    status = "ABORTED"

    @property
    def retryable(self) -> bool:
        """Run anew, it sees one state only."""
        return True


class UnavailableError(FractosError):
    """A node cannot be reached."""

    status = "UNAVAILABLE"

    @property
    def retryable(self) -> bool:
        """It may be reached again later."""
        return True


class MemoryLostError(UnavailableError):
    """Memory is gone with its node, or that cannot be reached. The next attempt of a run makes it again."""


class DataLossError(FractosError):
    """Data is there but damaged."""

    status = "DATA_LOSS"


class UnimplementedError(FractosError):
    """The node has no such operation."""

    status = "UNIMPLEMENTED"


class InternalError(FractosError):
    """A defect in the datacenter or in a device."""

    status = "INTERNAL"


# The tree has one class per status; the more special ones (GraphError) keep to the building of graphs.
_KINDS: list[type[FractosError]] = [FractosError]
_KINDS += FractosError.__subclasses__()
BY_STATUS = {kind.status: kind for kind in _KINDS}


_DEFECTS = {kind.status for kind in (FractosError, InternalError, DataLossError)}
_TROUBLE = {
    kind.status
    for kind in (
        PermissionDeniedError,
        UnauthenticatedError,
        ResourceExhaustedError,
        DeadlineExceededError,
        AbortedError,
        UnavailableError,
    )
}


def log_level(status: str) -> int:
    """How a failure is logged: as an error if it is a defect, a warning if it is trouble, else as a caller's own affair."""
    return logging.ERROR if status in _DEFECTS else logging.WARNING if status in _TROUBLE else logging.INFO


def told_of(failure: fractos_pb2.Failure) -> str:
    """A failure with its status and causes, in one line."""
    return " caused by ".join([f"{failure.status}: {failure.message}", *failure.causes])


def failure_of(error: BaseException, context: Context) -> fractos_pb2.Failure:
    """Translate an exception into its form on the wire. Anything outside the tree becomes INTERNAL."""
    known = error if isinstance(error, FractosError) else InternalError(f"{type(error).__name__}: {error}", definite=False)
    return fractos_pb2.Failure(
        status=known.status,
        message=known.message,
        step=context.step,
        operation=context.operation,
        node=context.node,
        attempt=context.attempt,
        causes=[f"{type(cause).__name__}: {cause}" for cause in _causes(error)],
        log_file=context.log_file,
        definite=known.definite,
        retry_after_s=known.retry_after_s,
        field=known.field,
    )


def error_of(failure: fractos_pb2.Failure, run_id: bytes) -> FractosError:
    """Translate a failure from the wire into the error to raise."""
    return BY_STATUS.get(failure.status, FractosError)(
        failure.message,
        field=failure.field,
        definite=failure.definite,
        retry_after_s=failure.retry_after_s,
        context=Context(
            run_id=run_id.hex(),
            step=failure.step,
            operation=failure.operation,
            node=failure.node,
            attempt=failure.attempt,
            causes=tuple(failure.causes),
            log_file=failure.log_file,
        ),
    )


def _causes(error: BaseException) -> list[BaseException]:
    """The exceptions that led to `error`, nearest first; not those that a `from None` hides."""
    chain: list[BaseException] = []
    cause = _cause(error)
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = _cause(cause)
    return chain


def _cause(error: BaseException) -> BaseException | None:
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
