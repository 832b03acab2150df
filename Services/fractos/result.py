"""How a run ended, as an application sees it: each step's outputs as plain Python values, and the way the run took."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from google.protobuf.message import Message

from protos import application_pb2, fractos_pb2
from Services.fractos.bill import Bill
from Services.fractos.errors import GraphError, NotFoundError
from Services.fractos.graph import Step, TaskGraph
from Services.fractos.values import from_big_integer, from_tensor


@dataclass(frozen=True)
class Hop:
    """One step as it was done. Times are Unix times in seconds, `sent_at` by the clock of the node before."""

    step: int
    operation: str
    node: str
    attempt: int
    sent_at: float
    received_at: float
    started_at: float
    finished_at: float
    request_bytes: int
    response_bytes: int
    fetched_bytes: int = 0  # of the request, what came as Memory from other nodes

    @property
    def wire_ms(self) -> float:
        """From the sender's hand into this node's, in milliseconds."""
        return (self.received_at - self.sent_at) * 1e3

    @property
    def waited_ms(self) -> float:
        """From arrival until the device began, in milliseconds."""
        return (self.started_at - self.received_at) * 1e3

    @property
    def device_ms(self) -> float:
        """How long the device took, in milliseconds."""
        return (self.finished_at - self.started_at) * 1e3


class View:
    """A response, read-only: fields as attributes, integers as `int`, tensors as read-only NumPy arrays, lists as tuples."""

    __slots__ = ("_message",)

    def __init__(self, message: Message) -> None:
        self._message = message

    def __getattr__(self, name: str) -> Any:
        field = self._message.DESCRIPTOR.fields_by_name.get(name)
        if field is None:
            raise AttributeError(f"{self._message.DESCRIPTOR.name} has no field {name!r}; it has {', '.join(dir(self))}")
        value = getattr(self._message, name)
        return tuple(_plain(one) for one in value) if field.is_repeated else _plain(value)

    def __dir__(self) -> list[str]:
        return list(self._message.DESCRIPTOR.fields_by_name)

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={_shown(getattr(self._message, name))}" for name in dir(self))
        return f"{self._message.DESCRIPTOR.name}({fields})"


class Result:
    """The outcome of a run that succeeded. `result[step]` is the step's response."""

    def __init__(self, graph: TaskGraph, message: application_pb2.RunResult) -> None:
        self._graph = graph
        self._message = message
        self._hops = {hop.step: hop for hop in message.trail}
        self.run_id = message.run_id.hex()

    def __getitem__(self, step: Step) -> View:
        """Return a step's response.

        Raises GraphError for a step of another graph, NotFoundError for a large response that nobody asked for.
        """
        if step not in self._graph.steps:
            raise GraphError(f"{step!r} is not a step of graph {self._graph.name!r}")
        hop = self._hops[step._id]
        if not hop.HasField("output"):
            raise NotFoundError(
                f"the response of {step!r} has {hop.response_bytes} bytes and was left in the datacenter;"
                " to bring it here, call graph.output(step) before the run"
            )
        return View(step._operation.response_class.FromString(hop.output))

    @cached_property
    def bill(self) -> Bill:
        """What the run has cost the network, link by link."""
        return Bill(self._message)

    @cached_property
    def trail(self) -> tuple[Hop, ...]:
        """The steps in the order in which they finished."""
        return make_trail(self._graph, self._hops.values())

    def __repr__(self) -> str:
        return f"Result({self._graph.name!r}, run {self.run_id}, {len(self._hops)} steps)"


def make_trail(graph: TaskGraph, hops: Any) -> tuple[Hop, ...]:
    """Return the wire's hops with the names of their operations."""
    operations = {step._id: step._operation.path for step in graph.steps}
    return tuple(
        Hop(
            step=hop.step,
            operation=operations[hop.step],
            node=hop.node,
            attempt=hop.attempt,
            sent_at=hop.sent_at,
            received_at=hop.received_at,
            started_at=hop.started_at,
            finished_at=hop.finished_at,
            request_bytes=hop.request_bytes,
            response_bytes=hop.response_bytes,
            fetched_bytes=hop.fetched_bytes,
        )
        for hop in hops
    )


def _plain(value: Any) -> Any:
    if isinstance(value, fractos_pb2.BigInteger):
        return from_big_integer(value)
    if isinstance(value, fractos_pb2.Tensor):
        return from_tensor(value)
    return View(value) if isinstance(value, Message) else value


def _shown(value: Any) -> str:
    if isinstance(value, fractos_pb2.BigInteger):
        integer = from_big_integer(value)
        return repr(integer) if integer.bit_length() <= 256 else f"<integer of {integer.bit_length()} bits>"
    if isinstance(value, fractos_pb2.Tensor):
        return f"<{value.dtype} array of shape {tuple(value.shape)}>"
    text = repr(View(value)) if isinstance(value, Message) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
