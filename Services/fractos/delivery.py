"""What one step of a run delivers to the next: outputs in its arguments, and the trail. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import Message

from protos import fractos_pb2
from Services.fractos.operations import Catalogue


def bind(
    catalogue: Catalogue,
    step: fractos_pb2.Step,
    edge: fractos_pb2.Edge,
    response: Message,
    beside: Sequence[fractos_pb2.Argument] = (),
) -> tuple[bytes, list[fractos_pb2.Argument]]:
    """Copy outputs into fields of the next step's request message. Serialized messages merge when they are joined.

    `beside` are the outputs that are not in the response, since they are Memory; so are the arguments that are returned last.
    """
    bindings = edge.bindings
    operation = catalogue.get(step.operation) if bindings else None
    if operation is None:
        return b"", []  # the node it goes to refuses an operation that nobody knows
    target = operation.request_class()
    memories = {argument.name: argument.memory for argument in beside}
    bound_beside = []
    for binding in bindings:
        if binding.source in memories:
            bound_beside.append(fractos_pb2.Argument(name=binding.target, memory=memories[binding.source]))
            continue
        value = getattr(response, binding.source)
        if isinstance(value, (bool, int, float, str, bytes)):
            setattr(target, binding.target, value)
        else:
            getattr(target, binding.target).MergeFrom(value)
    return target.SerializeToString(), bound_beside


def other_hops(request: fractos_pb2.Request, arrived: list[fractos_pb2.Request]) -> list[fractos_pb2.Hop]:
    """The hops that the other Requests of a join bring and this one does not."""
    known = {hop.step for hop in request.trail}
    return list({hop.step: hop for other in arrived for hop in other.trail if hop.step not in known}.values())
