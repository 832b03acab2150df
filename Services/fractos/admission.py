"""How much an application node lets in, so that no node has to refuse what is under way. Pure.

Each run reserves, for every type of node it visits, as many places as it has steps there, and its graph's size in bytes; it
gives them back when it ends. Inside the datacenter nothing is refused for lack of room, so a ring of full queues cannot form.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from Services.fractos.errors import ResourceExhaustedError


class Admission:
    """Counts what the accepted runs may have in flight."""

    def __init__(self, steps_per_type: int, graph_bytes: int) -> None:
        self._steps_per_type = steps_per_type
        self._graph_bytes = graph_bytes
        self._steps: Counter[str] = Counter()
        self._bytes = 0

    def reserve(self, steps: Mapping[str, int], size_bytes: int) -> None:
        """Reserve room for a run with that many steps on each type of node.

        Raises ResourceExhaustedError, naming the limit, if there is not enough; then nothing is reserved.
        """
        for node_type, count in steps.items():
            if self._steps[node_type] + count > self._steps_per_type:
                raise ResourceExhaustedError(
                    f"{self._steps[node_type]} steps are in flight on the {node_type} nodes and this run has {count} more;"
                    f" the limit is {self._steps_per_type}. Submit again later",
                    retry_after_s=0.1,
                )
        if self._bytes + size_bytes > self._graph_bytes:
            raise ResourceExhaustedError(
                f"the graphs in flight hold {self._bytes} bytes and this one has {size_bytes} more;"
                f" the limit is {self._graph_bytes}. Submit again later",
                retry_after_s=0.1,
            )
        self.reserve_anyway(steps, size_bytes)

    def reserve_anyway(self, steps: Mapping[str, int], size_bytes: int) -> None:
        """Reserve room for a run that was accepted before, whether there is enough or not."""
        self._steps.update(steps)
        self._bytes += size_bytes

    def release(self, steps: Mapping[str, int], size_bytes: int) -> None:
        """Give back what `reserve` took."""
        self._steps.subtract(steps)
        self._bytes -= size_bytes

    def reserved(self) -> int:
        """How many steps have a reservation."""
        return self._steps.total()
