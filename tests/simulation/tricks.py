"""Clients that try to do what they have no right to: what they make of a graph before they submit it.

Each trick is one on a single step; the run must fail there, and the step must not be done.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from protos import fractos_pb2, storage_pb2
from Services.fractos.authority import Authority
from Services.fractos.capability import narrow
from Services.fractos.graph import default_catalogue
from Services.fractos.operations import Operation

if TYPE_CHECKING:
    from tests.simulation.world import World

ANOTHER = "another client's files"  # the graph itself names another client; see `simulation.py`
PAST_S = 10.0  # further ago than any clock is off


class Trickster:
    """One client with one graph."""

    def __init__(self, world: World, authority: Authority, rng: random.Random) -> None:
        self._world = world
        self._authority = authority
        self._rng = rng
        self._tricks: dict[str, Callable[[fractos_pb2.Step, Operation, list[str]], bool]] = {
            "no capability": self._omit,
            "forged": self._forge,
            "expired": self._expire,
            "foreign": self._take_foreign,
            "changed": self._change,
            "widened": self._widen,
            "bound": self._bind_what_is_set,
            "stolen": self._steal,
        }

    def spoil(self, serialized: bytes, trick: str) -> tuple[bytes, bool]:
        """The graph with a step that may not be done, and whether there is one: not every trick can be done on every graph."""
        graph = fractos_pb2.Graph.FromString(serialized)
        bound: dict[int, list[str]] = {step.id: [] for step in graph.steps}
        for step in graph.steps:
            for edge in step.edges:
                bound[edge.to] += [binding.target for binding in edge.bindings]
        for step in self._rng.sample(list(graph.steps), len(graph.steps)):
            operation = default_catalogue().get(step.operation)
            assert operation is not None
            if self._tricks[trick](step, operation, bound[step.id]):
                self._world.history.line(f"step {step.id} is spoilt: {trick}")
                return graph.SerializeToString(), True
        return serialized, False

    def _omit(self, step: fractos_pb2.Step, operation: Operation, bound: list[str]) -> bool:
        step.ClearField("capability")
        return True

    def _forge(self, step: fractos_pb2.Step, operation: Operation, bound: list[str]) -> bool:
        step.capability.seal = self._rng.randbytes(32)
        return True

    def _expire(self, step: fractos_pb2.Step, operation: Operation, bound: list[str]) -> bool:
        past = self._world.now - PAST_S
        step.capability.CopyFrom(narrow(step.capability, self._world.keys.nonce(), expires_at=past))
        return True

    def _take_foreign(self, step: fractos_pb2.Step, operation: Operation, bound: list[str]) -> bool:
        others = [one for one in ("application", "storage", "math", "cnn") if one != operation.node_type]
        step.capability.CopyFrom(self._authority.capability(self._rng.choice(others)))
        return True

    def _change(self, step: fractos_pb2.Step, operation: Operation, bound: list[str]) -> bool:
        """Another name or number than the one that the capability sets."""
        request: Any = operation.request_class.FromString(step.arguments)
        if operation.node_type == "storage":
            request.name += "!"
        elif step.operation == "math.shift_left" and "bits" not in bound:
            request.bits.magnitude = bytes([request.bits.magnitude[0] + 1 if request.bits.magnitude else 1])
        else:
            return False
        step.arguments = request.SerializeToString()
        return True

    def _widen(self, step: fractos_pb2.Step, operation: Operation, bound: list[str]) -> bool:
        """Without the link that narrows it, but with the seal of that."""
        del step.capability.links[-1]
        return True

    def _bind_what_is_set(self, step: fractos_pb2.Step, operation: Operation, bound: list[str]) -> bool:
        """An argument that the capability sets to nothing comes from another step."""
        if not bound:
            return False
        nothing = operation.request_class()
        narrowed = narrow(
            step.capability,
            self._world.keys.nonce(),
            operation=operation.path,
            arguments=nothing,
            set=[self._rng.choice(bound)],
        )
        step.capability.CopyFrom(narrowed)
        return True

    def _steal(self, step: fractos_pb2.Step, operation: Operation, bound: list[str]) -> bool:
        """A text that is the Memory of another run, with a capability that the client has made by itself."""
        if step.operation != "storage.append_text" or "text" in bound:
            return False
        found = [(node, object) for node in self._world.nodes.values() for object in node.store]
        if not found:
            return False
        node, object = self._rng.choice(found)
        capability = self._world.keys.for_memory("a key of my own", object, 1, self._world.now + 60.0)
        memory = fractos_pb2.Memory(owner=node.address, object=object, size=1, capability=capability)
        request = storage_pb2.AppendTextRequest.FromString(step.arguments)
        request.ClearField("text")
        step.arguments = request.SerializeToString()
        step.memories.append(fractos_pb2.Argument(name="text", memory=memory))
        own = self._authority.capability("storage")
        step.capability.CopyFrom(narrow(own, self._world.keys.nonce(), operation=step.operation))
        return True


TRICKS = (ANOTHER, "no capability", "forged", "expired", "foreign", "changed", "widened", "bound", "bound", "stolen", "stolen")
