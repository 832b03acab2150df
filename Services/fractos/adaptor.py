"""The base of every Adaptor: typed operations on one side, calls of a plain Python Device on the other.

A service subclasses Adaptor and writes one method per rpc of its proto, named in snake_case, that takes the request message
and returns the response message (or raises an error of `errors.py`). The method of an operation that the proto calls
`remembered` takes a second argument, `step: Step | None`: what it is for, so that it is done once when the step is repeated;
None for a call outside any run. The Controller calls the methods in the node's device threads, several at a time; a method
marked `@inline` is called on the event loop itself and must return within some ten microseconds. One that takes long asks
`interruption.current()` now and then whether it still need go on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from google.protobuf.message import Message

from Services.fractos.errors import InternalError
from Services.fractos.operations import Catalogue, Operation
from Services.fractos.step import Step

Method = TypeVar("Method", bound=Callable[..., Message])


def inline(method: Method) -> Method:
    """Mark an Adaptor's method as quick enough to run on the event loop, which saves 0.1 ms."""
    method.inline = True  # type: ignore[attr-defined]
    return method


class Adaptor:
    """Offers the operations of one service. Subclasses set `node_type` and write the methods."""

    node_type: ClassVar[str]
    threads: ClassVar[int] = 4  # how many operations may run at once

    def __init__(self, catalogue: Catalogue) -> None:
        """Check that every operation of the service has its method.

        Raises TypeError naming those that are missing.
        """
        self._methods: dict[str, Callable[..., Message]] = {}
        missing = []
        for operation in catalogue.of_type(self.node_type):
            method = getattr(self, operation.name, None)
            if callable(method):
                self._methods[operation.path] = method
            else:
                missing.append(operation.name)
        self._inline = {path for path, method in self._methods.items() if getattr(method, "inline", False)}
        if missing:
            raise TypeError(f"{type(self).__name__} has no method for {', '.join(missing)} of {self.node_type}.proto")

    def call(self, operation: Operation, request: Message, step: Step | None = None) -> Message:
        """Run one operation. Raises what the method raises, and TypeError if it returns something else than its response.

        `step` is what it is for; without one a remembered operation is done whatever was done before.
        """
        method = self._methods[operation.path]
        try:
            response: Any = method(request, step) if operation.remembered else method(request)
        except Exception:
            raise
        except BaseException as error:  # sys.exit() and the like: a device ends no node
            raise InternalError(f"{operation.path} raised {type(error).__name__}({error})", definite=False) from error
        if not isinstance(response, operation.response_class):
            raise TypeError(
                f"{type(self).__name__}.{operation.name} returned {type(response).__name__},"
                f" not {operation.response_class.__name__}"
            )
        return response

    def offers(self, operation: Operation) -> bool:
        """Whether this Adaptor has a method for `operation`."""
        return operation.path in self._methods

    def is_inline(self, operation: Operation) -> bool:
        """Whether `operation` may run on the event loop."""
        return operation.path in self._inline

    def start(self) -> None:
        """Make the device ready: load, warm up. Runs in a thread before the node is listed. Does nothing by default."""

    @property
    def state_folder(self) -> Path | None:
        """The folder of the lock that makes this node the owner of what the device works on; None: it has no durable state."""
        return None

    def recover(self) -> None:
        """Bring in order what the last owner of the device's durable state left unfinished, as the one owner that it has now.

        Runs in a thread, after `start` and before the first call. Does nothing by default.
        """

    def stop(self) -> None:
        """Release what `start` took. Runs once, after the last call. Does nothing by default."""
