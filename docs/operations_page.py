"""The page of operations: the services and messages of `protos/`, with the comments that stand there."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    MethodOptions,
)
from grpc_tools import protoc

from docs.markdown import code, table
from Services.fractos.operations import NOT_DEVICES, is_remembered, snake_case

INTRODUCTION = """\
# Operations

In Python `graph.<type>.<operation>(…)` adds one to a task graph. Every node is also a gRPC server with the service of its
type, for any language: [other languages](../other_languages.md). An argument that is optional may be left out.
"""
VALUES = {".mockdc.fractos.v1.BigInteger": "integer of any size", ".mockdc.fractos.v1.Tensor": "array"}
REPEATING = {
    MethodOptions.NO_SIDE_EFFECTS: "Changes nothing, so it may be repeated.",
    MethodOptions.IDEMPOTENT: "May be repeated: twice is as good as once.",
    MethodOptions.IDEMPOTENCY_UNKNOWN: "Is not repeated when it is not known whether it was done.",
}
REMEMBERED = "The node remembers for which step it was done, so it is done once, however often a run is repeated."
# Where a descriptor keeps its parts: the field numbers in descriptor.proto, which make up the paths of comments.
SYNTAX, MESSAGE, SERVICE, METHOD, FIELD = 12, 4, 6, 2, 2


class Proto:
    """One proto file with its comments."""

    def __init__(self, file: FileDescriptorProto) -> None:
        self.file = file
        self.stem = Path(file.name).stem
        self._comments = {
            tuple(place.path): place.leading_comments or place.trailing_comments for place in file.source_code_info.location
        }
        enums = [*file.enum_type, *(enum for message in file.message_type for enum in message.enum_type)]
        self._enums = {enum.name: [value.name for value in enum.value if value.number] for enum in enums}

    def comment(self, *path: int) -> str:
        """What stands above or beside an element, in one line."""
        return " ".join(self._comments.get(path, "").split()).replace("*", "\\*")

    def paragraph(self, *path: int) -> str:
        """What stands above an element, as a paragraph; nothing for nothing."""
        comment = self.comment(*path)
        return f"\n{comment}\n" if comment else ""

    def type_of(self, field: FieldDescriptorProto) -> str:
        """The type of a field in words."""
        name = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        if field.type == FieldDescriptorProto.TYPE_ENUM:
            name = ", ".join(map(code, self._enums[_last(field.type_name)]))
        elif field.type_name:
            name = VALUES.get(field.type_name) or code(_last(field.type_name))
        if field.label == FieldDescriptorProto.LABEL_REPEATED:
            return f"list of {name}"
        return f"{name}, optional" if field.proto3_optional else name

    def message(self, type_name: str) -> tuple[int, DescriptorProto]:
        """A message of this file and its number in it."""
        return next((i, one) for i, one in enumerate(self.file.message_type) if type_name.endswith(f".{one.name}"))


def page(root: Path) -> str:
    """The page's text."""
    protos = read(root)
    devices = [proto for proto in protos if proto.stem not in NOT_DEVICES]
    others = [proto for proto in protos if proto.stem in NOT_DEVICES]
    return INTRODUCTION + "".join([*map(_device, devices), *map(_contract, others)])


def read(root: Path) -> list[Proto]:
    """Every file of `protos/`, as the compiler sees it."""
    names = sorted(str(path.relative_to(root)) for path in (root / "protos").glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "descriptors"
        known = Path(protoc.__file__).parent / "_proto"  # Google's own
        arguments = ["protoc", f"-I{root}", f"-I{known}", "--include_source_info", f"--descriptor_set_out={output}", *names]
        if protoc.main(arguments) != 0:
            raise ValueError(f"the protos in {root} cannot be compiled")
        return [Proto(file) for file in FileDescriptorSet.FromString(output.read_bytes()).file]


def _device(proto: Proto) -> str:
    """The operations of a type of node, then the messages that they use."""
    service = proto.file.service[0]
    used = {name for method in service.method for name in (method.input_type, method.output_type)}
    parts = [f"\n## `{proto.stem}`\n{proto.paragraph(SYNTAX)}"]
    parts += [_operation(proto, number, method) for number, method in enumerate(service.method)]
    parts += _messages(proto, except_for=used)
    return "".join(parts)


def _operation(proto: Proto, number: int, method: MethodDescriptorProto) -> str:
    input_number, request = proto.message(method.input_type)
    output_number, response = proto.message(method.output_type)
    arguments = ", ".join(field.name for field in request.field)
    outputs = ", ".join(field.name for field in response.field) or "nothing"
    said = f"{proto.comment(SERVICE, 0, METHOD, number)} {_repeating(method)}".strip()
    rows = [("argument", *row) for row in _fields(proto, request, input_number)]
    rows += [("output", *row) for row in _fields(proto, response, output_number)]
    title = f"{proto.stem}.{snake_case(method.name)}({arguments}) → {outputs}"
    return f"\n### `{title}`\n\n{said}\n\n" + table(("", "Name", "Type", ""), *rows)


def _repeating(method: MethodDescriptorProto) -> str:
    """Whether a step of this operation may be repeated, in a sentence."""
    if is_remembered(method.options):
        return REMEMBERED
    return REPEATING[method.options.idempotency_level]


def _contract(proto: Proto) -> str:
    """The services of a file that is no device's, and every message of it."""
    parts = [f"\n## `{proto.file.name}`\n{proto.paragraph(SYNTAX)}"]
    for place, service in enumerate(proto.file.service):
        methods = [_method(proto, place, number, method) for number, method in enumerate(service.method)]
        parts.append(f"\n### Service `{proto.file.package}.{service.name}`\n{proto.paragraph(SERVICE, place)}\n")
        parts.append(table(("Method", "Request", "Response", ""), *methods))
    parts += _messages(proto, except_for=set())
    return "".join(parts)


def _method(proto: Proto, service: int, number: int, method: MethodDescriptorProto) -> tuple[str, str, str, str]:
    request = ("stream of " if method.client_streaming else "") + code(_last(method.input_type))
    response = ("stream of " if method.server_streaming else "") + code(_last(method.output_type))
    return code(method.name), request, response, proto.comment(SERVICE, service, METHOD, number)


def _messages(proto: Proto, except_for: set[str]) -> Iterable[str]:
    for number, message in enumerate(proto.file.message_type):
        if f".{proto.file.package}.{message.name}" not in except_for:
            yield f"\n### Message `{message.name}`\n{proto.paragraph(MESSAGE, number)}\n"
            yield table(("Field", "Type", ""), *_fields(proto, message, number)) if message.field else "It is empty.\n"


def _fields(proto: Proto, message: DescriptorProto, number: int) -> list[tuple[str, str, str]]:
    """Name, type and comment of each field of the message that is the file's `number`th."""
    return [
        (code(field.name), proto.type_of(field), proto.comment(MESSAGE, number, FIELD, place))
        for place, field in enumerate(message.field)
    ]


def _last(name: str) -> str:
    return name.rpartition(".")[2]
