"""What the services of the datacenter offer, read from their descriptors: nothing about an operation is said twice.

A service `Math` in `protos/math.proto` offers its unary rpcs as the operations of nodes of type `math`, under their names in
snake_case. The application service is not a device and offers none.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any, cast

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message

import protos
from protos import fractos_pb2

NOT_DEVICES = {"fractos", "application"}
# The messages that stand for values, and where their bytes are unless they are Memory.
PAYLOADS = {fractos_pb2.Tensor.DESCRIPTOR.full_name: "data", fractos_pb2.BigInteger.DESCRIPTOR.full_name: "magnitude"}


@dataclass(frozen=True)
class Operation:
    """One rpc of one service."""

    path: str  # "math.shift_left"
    node_type: str  # "math"
    name: str  # "shift_left"
    rpc: str  # "/mockdc.math.v1.Math/ShiftLeft"
    request_class: type[Message]
    response_class: type[Message]
    idempotency: int  # a MethodOptions.IdempotencyLevel
    remembered: bool = False  # the device keeps which step of which run it did it for: its method gets the step as well

    @property
    def repeatable(self) -> bool:
        """Whether asking twice, for the same step, is as good as once."""
        return self.remembered or self.idempotency != MethodOptions.IDEMPOTENCY_UNKNOWN

    def arguments(self) -> Mapping[str, FieldDescriptor]:
        """The fields of the request by name."""
        return self._arguments

    def required(self) -> Sequence[str]:
        """The arguments that must be given: all that the proto does not call `optional` or `repeated`."""
        return self._required

    def outputs(self) -> Mapping[str, FieldDescriptor]:
        """The fields of the response by name."""
        return self._outputs

    # Descriptors are slow to walk, and every step of every graph is checked against them.

    @cached_property
    def _arguments(self) -> dict[str, FieldDescriptor]:
        return {field.name: field for field in _fields(self.request_class)}

    @cached_property
    def _required(self) -> list[str]:
        return [field.name for field in _fields(self.request_class) if not is_optional(field)]

    @cached_property
    def _outputs(self) -> dict[str, FieldDescriptor]:
        return {field.name: field for field in _fields(self.response_class)}

    @cached_property
    def has_client(self) -> bool:
        """Whether it works on the files of the client that an argument names."""
        return "client_id" in self.arguments()

    @cached_property
    def value_arguments(self) -> tuple[str, ...]:
        """The arguments that are arrays or integers of any size."""
        return tuple(field.name for field in _fields(self.request_class) if _is_value(field))

    @cached_property
    def value_outputs(self) -> tuple[str, ...]:
        """The outputs that are arrays or integers of any size."""
        return tuple(field.name for field in _fields(self.response_class) if _is_value(field))

    @cached_property
    def plain_arguments(self) -> tuple[str, ...]:
        """The arguments that are bytes or texts."""
        return tuple(field.name for field in _fields(self.request_class) if _is_plain(field))

    @cached_property
    def plain_outputs(self) -> tuple[str, ...]:
        """The outputs that are bytes or texts."""
        return tuple(field.name for field in _fields(self.response_class) if _is_plain(field))


class Catalogue:
    """All operations of all services, by path."""

    def __init__(self, modules: Iterable[ModuleType]) -> None:
        """Read the services of generated `<type>_pb2` modules.

        Raises ValueError where two rpcs of a service have the same name in snake_case.
        """
        self._operations: dict[str, Operation] = {}
        for module in modules:
            node_type = module.__name__.rpartition(".")[2].removesuffix("_pb2")
            for service in module.DESCRIPTOR.services_by_name.values():
                for method in service.methods:
                    self._add(node_type, method)
        self.node_types = tuple(sorted({operation.node_type for operation in self}))

    @classmethod
    def from_protos(cls) -> Catalogue:
        """The catalogue of every device in the `protos` package."""
        names = sorted(info.name for info in pkgutil.iter_modules(protos.__path__) if info.name.endswith("_pb2"))
        return cls(importlib.import_module(f"protos.{name}") for name in names if name.removesuffix("_pb2") not in NOT_DEVICES)

    def __iter__(self) -> Iterator[Operation]:
        return iter(self._operations.values())

    def __contains__(self, path: str) -> bool:
        return path in self._operations

    def get(self, path: str) -> Operation | None:
        """The operation with that path, if there is one."""
        return self._operations.get(path)

    def of_type(self, node_type: str) -> list[Operation]:
        """The operations that nodes of a type offer."""
        return [operation for operation in self if operation.node_type == node_type]

    def _add(self, node_type: str, method: MethodDescriptor) -> None:
        operation = Operation(
            path=f"{node_type}.{snake_case(method.name)}",
            node_type=node_type,
            name=snake_case(method.name),
            rpc=f"/{method.containing_service.full_name}/{method.name}",
            request_class=message_factory.GetMessageClass(method.input_type),
            response_class=message_factory.GetMessageClass(method.output_type),
            idempotency=method.GetOptions().idempotency_level,
            remembered=is_remembered(method.GetOptions()),
        )
        other = self._operations.setdefault(operation.path, operation)
        if other is not operation:
            raise ValueError(f"{other.rpc} and {operation.rpc} are both {operation.path} in Python; rename one of them")


def is_remembered(options: Any) -> bool:
    """Whether an rpc's options say that the device remembers for which step it did it."""
    return bool(options.Extensions[fractos_pb2.remembered])


def _is_value(field: FieldDescriptor) -> bool:
    return not field.is_repeated and field.message_type is not None and field.message_type.full_name in PAYLOADS


def _is_plain(field: FieldDescriptor) -> bool:
    return not field.is_repeated and field.type in (FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_STRING)


def _fields(message_class: type[Message]) -> list[FieldDescriptor]:
    return cast(list[FieldDescriptor], list(message_class.DESCRIPTOR.fields))


def snake_case(name: str) -> str:
    """`ReadImage` → `read_image`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def is_optional(field: FieldDescriptor) -> bool:
    """Whether an argument may be left out: `optional` or `repeated` in the proto."""
    oneof = field.containing_oneof
    return field.is_repeated or (oneof is not None and oneof.name == f"_{field.name}")
