"""Task graphs: how an application says what it wants. Everything that can be known to be wrong is refused here, at the line
that says it.

    graph = TaskGraph("image prediction")
    picture = graph.storage.read_image(client_id="admin", name="cat.jpg", width=128, height=128)
    answer = graph.cnn.predict(image=picture.image)
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from protos import fractos_pb2
from Services.fractos.errors import FractosError, GraphError
from Services.fractos.memory_reference import MemoryReference
from Services.fractos.operations import Catalogue, Operation
from Services.fractos.values import to_big_integer, to_tensor

BIG_INTEGER = fractos_pb2.BigInteger.DESCRIPTOR.full_name
TENSOR = fractos_pb2.Tensor.DESCRIPTOR.full_name
MAX_STEPS = 1000
MAX_NAME_LENGTH = 200  # characters, of a graph's and a node's name: runs are kept and shown with them
SCALARS = {value: key.removeprefix("TYPE_").lower() for key, value in vars(FieldDescriptor).items() if key.startswith("TYPE_")}
# Protobuf itself is more lenient than a typed interface should be: it takes bytes for a string and True for 1.
PYTHON_TYPES: dict[int, tuple[type, ...]] = {
    FieldDescriptor.CPPTYPE_BOOL: (bool,),
    FieldDescriptor.CPPTYPE_DOUBLE: (float, int),
    FieldDescriptor.CPPTYPE_FLOAT: (float, int),
    FieldDescriptor.CPPTYPE_STRING: (str,),
}


@cache
def default_catalogue() -> Catalogue:
    """The operations of every service in `protos/`."""
    return Catalogue.from_protos()


class Output:
    """One field of a step's response, to be an argument of another step."""

    __slots__ = ("_field", "_step")

    def __init__(self, step: Step, field: FieldDescriptor) -> None:
        self._step = step
        self._field = field

    def __repr__(self) -> str:
        return f"{self._step!r}.{self._field.name}"


class Step:
    """One operation in a graph. Its attributes are the fields of its response."""

    __slots__ = ("_graph", "_id", "_operation")

    def __init__(self, graph: TaskGraph, id: int, operation: Operation) -> None:
        self._graph = graph
        self._id = id
        self._operation = operation

    def __getattr__(self, name: str) -> Output:
        if name.startswith("__"):
            raise AttributeError(name)
        fields = self._operation.outputs()
        if name not in fields:
            raise GraphError(f"{self!r} has no output {name!r}{_near(name, fields)}")
        return Output(self, fields[name])

    def __repr__(self) -> str:
        return f"step {self._id} ({self._operation.path})"


class Node:
    """The operations of a type of node, or of one node: `graph.math`, `graph.node("math-1")`."""

    __slots__ = ("_graph", "_name", "_type")

    def __init__(self, graph: TaskGraph, node_type: str, name: str) -> None:
        self._graph = graph
        self._type = node_type
        self._name = name

    def __getattr__(self, name: str) -> _Call:
        if name.startswith("__"):
            raise AttributeError(name)
        operation = self._graph._catalogue.get(f"{self._type}.{name}")
        if operation is None:
            names = [operation.name for operation in self._graph._catalogue.of_type(self._type)]
            raise GraphError(f"{self._type} nodes have no operation {name!r}{_near(name, names)}")
        return _Call(self._graph, operation, self._name)


class _Call:
    """An operation that waits for its arguments."""

    __slots__ = ("_graph", "_node", "_operation")

    def __init__(self, graph: TaskGraph, operation: Operation, node: str) -> None:
        self._graph = graph
        self._operation = operation
        self._node = node

    def __call__(self, *unnamed: object, after: Step | Iterable[Step] = (), **arguments: object) -> Step:
        """Add the step. An argument is a plain value or another step's output; `after` steps are done before it."""
        if unnamed:
            names = ", ".join(f"{name}=..." for name in self._operation.arguments())
            raise GraphError(f"name the arguments of {self._operation.path}: {names}")
        return self._graph._add(self._operation, self._node, arguments, [after] if isinstance(after, Step) else list(after))


class TaskGraph:
    """A task graph under construction. `name` shows up wherever the run does."""

    def __init__(self, name: str, *, catalogue: Catalogue | None = None) -> None:
        check_length(name)
        self._catalogue = catalogue or default_catalogue()
        self._message = fractos_pb2.Graph(name=name)
        self._steps: list[Step] = []
        self._bytes: bytes | None = None

    @property
    def catalogue(self) -> Catalogue:
        """The operations that its steps are chosen from."""
        return self._catalogue

    @property
    def name(self) -> str:
        """The graph's name."""
        return self._message.name

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps in the order in which they were added."""
        return tuple(self._steps)

    def __getattr__(self, node_type: str) -> Node:
        if node_type.startswith("_"):
            raise AttributeError(node_type)
        return Node(self, self._known_type(node_type), "")

    def node(self, name: str) -> Node:
        """Return one node, to pin steps to it. `name` is `<type>-<n>`, for example "math-1"."""
        check_length(name)
        match = re.fullmatch(r"(.+)-(0|[1-9][0-9]*)", name)
        if match is None:
            raise GraphError(f"{name!r} is not the name of a node; names are <type>-<n>, for example math-0")
        return Node(self, self._known_type(match[1]), name)

    def output(self, step: Step) -> Step:
        """Have the whole response of a step brought to the client, whatever its size. Returns the step."""
        self._own(step)
        self._message.steps[step._id].output = True
        self._bytes = None
        return step

    def serialized(self) -> bytes:
        """The graph as it is submitted: a serialized `mockdc.fractos.v1.Graph`."""
        if not self._steps:
            raise GraphError(f"graph {self.name!r} has no steps")
        if self._bytes is None:
            self._bytes = self._message.SerializeToString()
        return self._bytes

    def _known_type(self, node_type: str) -> str:
        if node_type not in self._catalogue.node_types:
            raise GraphError(f"there is no node type {node_type!r}{_near(node_type, self._catalogue.node_types)}")
        return node_type

    def _own(self, step: object) -> Step:
        if not isinstance(step, Step):
            raise GraphError(f"{step!r} is not a step; steps are what graph.<type>.<operation>(…) returns")
        if step._graph is not self:
            raise GraphError(f"{step!r} belongs to graph {step._graph.name!r}, not to {self.name!r}")
        return step

    def _add(self, operation: Operation, node: str, arguments: dict[str, object], after: list[Step]) -> Step:
        if len(self._steps) >= MAX_STEPS:
            raise GraphError(f"graph {self.name!r} has {MAX_STEPS} steps, which is the most it can have")
        check_names(operation, arguments)
        request = operation.request_class()
        beside: list[fractos_pb2.Argument] = []
        bindings: dict[int, list[fractos_pb2.Binding]] = {self._own(step)._id: [] for step in after}
        for name, value in arguments.items():
            field = operation.arguments()[name]
            if isinstance(value, Step):
                raise GraphError(f"{operation.path}({name}=…): {value!r} is a step; name one of its outputs{_outputs(value)}")
            if isinstance(value, Output):
                source = self._own(value._step)
                check_binding(source._operation, value._field, operation, field)
                bindings.setdefault(source._id, []).append(fractos_pb2.Binding(source=value._field.name, target=name))
            elif isinstance(value, MemoryReference) and name in operation.plain_arguments:
                beside.append(_beside(operation, name, value))
            else:
                set_field(operation, request, field, value)
        step = Step(self, len(self._steps), operation)
        arguments_bytes = request.SerializeToString()
        self._message.steps.add(id=step._id, operation=operation.path, arguments=arguments_bytes, node=node, memories=beside)
        for source_id, made in bindings.items():
            self._message.steps[source_id].edges.add(to=step._id, bindings=made)
        self._steps.append(step)
        self._bytes = None
        return step


def _beside(operation: Operation, name: str, value: MemoryReference) -> fractos_pb2.Argument:
    try:
        return fractos_pb2.Argument(name=name, memory=value.plain())
    except GraphError as error:
        raise GraphError(f"{operation.path}({name}={value!r}): {error}", field=name) from error


def check_length(name: str) -> None:
    """Raise GraphError if a name is too long."""
    if len(name) > MAX_NAME_LENGTH:
        raise GraphError(f"the name {_short(name)} has {len(name)} characters; the limit is {MAX_NAME_LENGTH}")


def check_names(operation: Operation, given: Iterable[str]) -> None:
    """Raise GraphError if an argument is unknown or a required one is missing."""
    given = list(given)
    known = operation.arguments()
    for name in given:
        if name not in known:
            raise GraphError(f"{operation.path} has no argument {name!r}{_near(name, known)}", field=name)
    missing = [name for name in operation.required() if name not in given]
    if missing:
        raise GraphError(f"{operation.path} lacks {', '.join(missing)}; its arguments are {', '.join(known)}", field=missing[0])


def check_binding(source: Operation, output: FieldDescriptor, target: Operation, argument: FieldDescriptor) -> None:
    """Raise GraphError if an output cannot be an argument because their types differ."""
    if _type_name(output) != _type_name(argument):
        raise GraphError(
            f"{target.path}({argument.name}=…) takes {_type_name(argument)},"
            f" but {source.path}'s {output.name} is {_type_name(output)}",
            field=argument.name,
        )


def set_field(operation: Operation, request: Message, field: FieldDescriptor, value: Any) -> None:
    """Put a plain value into a request: an int into a BigInteger, an array into a Tensor. Raises GraphError if it is no fit."""
    try:
        if field.is_repeated:
            getattr(request, field.name).extend(value)
        elif field.message_type is not None:
            getattr(request, field.name).CopyFrom(_to_message(field.message_type.full_name, value))
        else:
            kinds = (bytes,) if field.type == FieldDescriptor.TYPE_BYTES else PYTHON_TYPES.get(field.cpp_type, (int,))
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise TypeError(f"got {type(value).__name__}")
            setattr(request, field.name, value)
    except (TypeError, ValueError, OverflowError, FractosError) as error:
        raise GraphError(
            f"{operation.path}({field.name}={_short(value)}): takes {_type_name(field)}: {error}", field=field.name
        ) from error


def _to_message(kind: str, value: Any) -> Message:
    """The message of type `kind` that stands for a plain value."""
    if kind == BIG_INTEGER and isinstance(value, int) and not isinstance(value, bool):
        return to_big_integer(value)
    if kind == TENSOR and isinstance(value, MemoryReference):
        return value.tensor()
    if kind == TENSOR and hasattr(value, "__array_interface__"):
        return to_tensor(value)
    if isinstance(value, Message):
        return value
    raise TypeError(f"got {type(value).__name__}")


def _type_name(field: FieldDescriptor) -> str:
    if field.message_type is None:
        name = SCALARS[field.type]
    else:
        name = {BIG_INTEGER: "an integer", TENSOR: "an array"}.get(field.message_type.full_name, field.message_type.name)
    return f"a list of {name}" if field.is_repeated else name


def _near(name: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known)
    return f"; did you mean {' or '.join(near)}?" if near else f"; there is {', '.join(known) or 'none'}"


def _outputs(step: Step) -> str:
    names = list(step._operation.outputs())
    return f": {', '.join(names)}" if names else " (it has none; to order the two write after=step)"


def _short(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
