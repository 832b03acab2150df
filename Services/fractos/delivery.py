"""What one step of a run delivers to the next: outputs in its arguments, and the trail. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from google.protobuf.message import Message

from protos import fractos_pb2
from Services.fractos.operations import PAYLOADS, Catalogue

SMALL_OUTPUT_BYTES = 4096  # responses up to this size come home with the trail, unasked


class Outputs(NamedTuple):
    """What a step has made."""

    response: Message
    beside: Sequence[fractos_pb2.Argument]  # bytes and texts that are Memory, and so not in the response
    whole: bytes | None  # the response with all of its values, serialized: for the client that asked for it


class Bound(NamedTuple):
    """Arguments of a step that another step has made."""

    arguments: bytes  # fields of the request message; serialized messages merge when they are joined
    memories: list[fractos_pb2.Argument]  # bytes and texts that are not in it, since they are Memory
    value_bytes: int  # of the values in it: integers of any size, arrays, bytes and texts


def bind(catalogue: Catalogue, step: fractos_pb2.Step, edge: fractos_pb2.Edge, outputs: Outputs) -> Bound:
    """Copy outputs into fields of the next step's request message."""
    bindings = edge.bindings
    operation = catalogue.get(step.operation) if bindings else None
    if operation is None:
        return Bound(b"", [], 0)  # the node it goes to refuses an operation that nobody knows
    target = operation.request_class()
    memories = {argument.name: argument.memory for argument in outputs.beside}
    bound_beside = []
    value_bytes = 0
    for binding in bindings:
        if binding.source in memories:
            bound_beside.append(fractos_pb2.Argument(name=binding.target, memory=memories[binding.source]))
        else:
            value_bytes += _copy(outputs.response, binding.source, target, binding.target)
    return Bound(target.SerializeToString(), bound_beside, value_bytes)


def reply_of(step: fractos_pb2.Step, outputs: Outputs) -> fractos_pb2.Reply:
    """The outputs of a step that others wait for, and no others."""
    carried = type(outputs.response)()
    memories = {argument.name: argument for argument in outputs.beside}
    reply = fractos_pb2.Reply()
    for name in dict.fromkeys(binding.source for edge in step.edges for binding in edge.bindings):
        if name in memories:
            reply.memories.append(memories[name])
        else:
            reply.value_bytes += _copy(outputs.response, name, carried, name)
    reply.response = carried.SerializeToString()
    return reply


def other_hops(request: fractos_pb2.Request, arrived: list[fractos_pb2.Request]) -> list[fractos_pb2.Hop]:
    """The hops that the other Requests of a join bring and this one does not."""
    known = {hop.step for hop in request.trail}
    return list({hop.step: hop for other in arrived for hop in other.trail if hop.step not in known}.values())


def _copy(source: Message, name: str, target: Message, target_name: str) -> int:
    """Copy a field; returns the bytes of the value in it."""
    value: Any = getattr(source, name)
    if isinstance(value, (bytes, str)):
        setattr(target, target_name, value)
        return len(value) if isinstance(value, bytes) or value.isascii() else len(value.encode())
    if isinstance(value, (bool, int, float)):
        setattr(target, target_name, value)
        return 0
    getattr(target, target_name).MergeFrom(value)
    payload = PAYLOADS.get(value.DESCRIPTOR.full_name) if isinstance(value, Message) else None
    return len(getattr(value, payload)) if payload else 0
