"""Large values in the messages of operations: found, moved out into Memory, told from one another by what they hold. Pure.

A Tensor or a BigInteger itself says that its bytes are Memory; for bytes and texts an Argument beside the message does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from google.protobuf.message import Message

from protos import fractos_pb2
from Services.fractos.memory_scope import Bytes
from Services.fractos.operations import PAYLOADS, Operation

Arguments: TypeAlias = Sequence[fractos_pb2.Argument]
Read: TypeAlias = Callable[[fractos_pb2.Memory], Bytes]


def part_of(memory: fractos_pb2.Memory) -> tuple[str, bytes, int, int]:
    """What tells the part that a Memory refers to from any other: references to it may differ in their capabilities."""
    return memory.owner, memory.object, memory.offset, memory.size


def references(operation: Operation, request: Message, beside: Arguments) -> list[fractos_pb2.Memory]:
    """All Memory that a request refers to; `beside` is that of its bytes and texts."""
    found = [argument.memory for argument in beside]
    for name in operation.value_arguments:
        if request.HasField(name):
            value = getattr(request, name)
            if value.HasField("memory"):
                found.append(value.memory)
    return found


def references_made(operation: Operation, response: Message, beside: Arguments) -> list[fractos_pb2.Memory]:
    """All Memory that a response refers to; `beside` is that of its bytes and texts."""
    values = [getattr(response, name) for name in operation.value_outputs]
    return [value.memory for value in values if value.HasField("memory")] + [argument.memory for argument in beside]


def refers(operation: Operation, response: Message) -> bool:
    """Whether a response refers to Memory."""
    return any(getattr(response, name).HasField("memory") for name in operation.value_outputs)


def move_out(
    operation: Operation, response: Message, limit: int, leave: Callable[[Bytes], fractos_pb2.Memory]
) -> list[fractos_pb2.Argument]:
    """Replace the outputs of more than `limit` bytes by what `leave` makes of them.

    Returns those that were bytes or texts, which a message cannot refer to.
    """
    for name in operation.value_outputs:
        value = getattr(response, name)
        payload = PAYLOADS[value.DESCRIPTOR.full_name]
        data = getattr(value, payload)
        if len(data) > limit:
            value.memory.CopyFrom(leave(data))
            value.ClearField(payload)
    beside = []
    for name in operation.plain_outputs:
        content = getattr(response, name)
        if len(content) > limit:
            data = content.encode() if isinstance(content, str) else content
            beside.append(fractos_pb2.Argument(name=name, memory=leave(data)))
            response.ClearField(name)
    return beside


def bring_back(operation: Operation, response: Message, beside: Arguments, read: Read) -> Message:
    """The response with all of its values in it: a new message."""
    whole = type(response)()
    whole.CopyFrom(response)
    for name in operation.value_outputs:
        value = getattr(whole, name)
        if value.HasField("memory"):
            setattr(value, PAYLOADS[value.DESCRIPTOR.full_name], bytes(read(value.memory)))
            value.ClearField("memory")
    fill_in(whole, beside, read)
    return whole


def fill_in(message: Message, beside: Arguments, read: Read) -> None:
    """Put bytes and texts into the fields that they belong to. Raises ValueError for a text that is no UTF-8."""
    for argument in beside:
        data = bytes(read(argument.memory))
        is_text = isinstance(getattr(message, argument.name), str)
        setattr(message, argument.name, data.decode() if is_text else data)


def bytes_of(operation: Operation, response: Message, beside: Arguments) -> int:
    """How many bytes of a response are Memory."""
    return sum(memory.size for memory in references_made(operation, response, beside))


def without_places(operation: Operation, request: Message, beside: Arguments) -> bytes:
    """What tells the inputs of one attempt from those of another: the values, wherever they are.

    An attempt may find a value at another node than the one before. Where nobody knows what a Memory holds, the object counts.
    """
    copy = type(request)()
    copy.CopyFrom(request)
    for name in operation.value_arguments:
        if copy.HasField(name):
            value = getattr(copy, name)
            if value.HasField("memory"):
                _forget_place(value.memory)
    rest = [(argument.name, _content_of(argument.memory)) for argument in beside]
    return copy.SerializeToString(deterministic=True) + repr(sorted(rest)).encode()


def _content_of(memory: fractos_pb2.Memory) -> bytes:
    copy = fractos_pb2.Memory()
    copy.CopyFrom(memory)
    _forget_place(copy)
    return copy.SerializeToString(deterministic=True)


def _forget_place(memory: fractos_pb2.Memory) -> None:
    memory.ClearField("capability")
    memory.ClearField("owner")
    if memory.digest:
        memory.ClearField("object")
        memory.ClearField("offset")
