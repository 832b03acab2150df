"""What a client's graphs carry: for each step the client's capability for its service, narrowed to that very step.

Nobody is asked for it. Whoever gets hold of such a capability can do the step again, with the arguments that the client gave
it (long ones excepted, see SET_BYTES), for some hours, and nothing else. Used by `client.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from google.protobuf.message import Message

from protos import fractos_pb2
from Services.fractos.capability import NONCE_BYTES, Rights, narrow
from Services.fractos.errors import PermissionDeniedError
from Services.fractos.graph import TaskGraph
from Services.fractos.large_values import references
from Services.fractos.operations import Catalogue, Operation
from Services.fractos.plan import MAX_TIMEOUT_S

LIFETIME_S = 2 * MAX_TIMEOUT_S  # of what a graph carries; it is used again for half of that
SET_BYTES = 256  # longer arguments are not set a second time in the capability


class Authority:
    """What one client may do. Used by one thread at a time for each graph."""

    def __init__(
        self,
        client_id: str,
        capabilities: Mapping[str, fractos_pb2.Capability],
        clock: Callable[[], float],
        randomness: Callable[[int], bytes],
    ) -> None:
        """`capabilities` by service: the types of node, and "application" for running graphs."""
        self.client_id = client_id
        self._capabilities = capabilities
        self._clock = clock
        self._randomness = randomness
        self._made: WeakKeyDictionary[TaskGraph, tuple[bytes, float, bytes]] = WeakKeyDictionary()

    def capability(self, service: str) -> fractos_pb2.Capability:
        """The client's own capability for a service. Raises PermissionDeniedError if it has none."""
        capability = self._capabilities.get(service)
        if capability is None:
            raise PermissionDeniedError(
                f"client {self.client_id!r} has no capability for {service} nodes, which were perhaps added later; type:"
                f" python3 run_datacenter.py clients add {self.client_id}"
            )
        return capability

    def graph(self, graph: TaskGraph) -> bytes:
        """The graph as it is submitted, with the capabilities that its steps need; the same bytes again for an hour."""
        plain = graph.serialized()
        now = self._clock()
        serialized, until, made = self._made.get(graph, (b"", 0.0, b""))
        if serialized is plain and now < until:
            return made
        made = self._with_capabilities(plain, graph.catalogue, now + LIFETIME_S)
        self._made[graph] = (plain, now + LIFETIME_S / 2, made)
        return made

    def _with_capabilities(self, plain: bytes, catalogue: Catalogue, expires_at: float) -> bytes:
        graph = fractos_pb2.Graph.FromString(plain)
        bound: dict[int, set[str]] = {step.id: {argument.name for argument in step.memories} for step in graph.steps}
        for step in graph.steps:
            for edge in step.edges:
                bound[edge.to].update(binding.target for binding in edge.bindings)
        for step in graph.steps:
            operation = catalogue.get(step.operation)
            assert operation is not None  # it was looked up when the graph was built
            request = operation.request_class.FromString(step.arguments)
            if memories := references(operation, request, step.memories):
                for memory in memories:
                    self._narrow_memory(memory, expires_at)
                step.arguments = request.SerializeToString()
            step.capability.CopyFrom(self._for_step(step, operation, request, bound[step.id], expires_at))
        return graph.SerializeToString()

    def _for_step(
        self, step: fractos_pb2.Step, operation: Operation, request: Message, bound: set[str], expires_at: float
    ) -> fractos_pb2.Capability:
        arguments: Any = operation.request_class()
        arguments.CopyFrom(request)
        names = []
        for name, field in operation.arguments().items():
            value = getattr(arguments, name)
            size = value.ByteSize() if isinstance(value, Message) else len(value) if hasattr(value, "__len__") else 0
            if name in bound or size > SET_BYTES:
                arguments.ClearField(name)
            else:
                names.append(field.name)
        return narrow(
            self.capability(operation.node_type),
            self._randomness(NONCE_BYTES),
            expires_at=expires_at,
            operation=operation.path,
            node=step.node,
            arguments=arguments,
            set=names,
        )

    def _narrow_memory(self, memory: fractos_pb2.Memory, expires_at: float) -> None:
        narrowed = narrow(
            memory.capability,
            self._randomness(NONCE_BYTES),
            expires_at=expires_at,
            offset=memory.offset,
            size=memory.size,
            rights=Rights.READ,
        )
        memory.capability.CopyFrom(narrowed)
