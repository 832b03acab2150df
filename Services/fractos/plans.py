"""The plans of graphs that were submitted lately: the same graph is not checked again. Pure."""

from __future__ import annotations

from collections import OrderedDict

from Services.fractos.operations import Catalogue
from Services.fractos.plan import Plan, make_plan

KEPT = 256
BYTES_KEPT = 64 << 10  # of one; a larger one is checked each time
GRAPH_BYTES = 32 << 10  # of its graph: to look a larger one up takes as long as a part of the check


class Plans:
    """Plans by their serialized graph and topology."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._plans: OrderedDict[tuple[bytes, str], Plan] = OrderedDict()

    def of(self, serialized: bytes, topology: str) -> Plan:
        """The checked graph. Raises what `make_plan` raises."""
        if len(serialized) > GRAPH_BYTES:
            return make_plan(serialized, self._catalogue, topology)
        key = serialized, topology
        plan = self._plans.get(key)
        if plan is not None:
            self._plans.move_to_end(key)
            return plan
        plan = make_plan(serialized, self._catalogue, topology)
        if is_shared(plan):
            self._plans[key] = plan
            if len(self._plans) > KEPT:
                self._plans.popitem(last=False)
        return plan


def is_shared(plan: Plan) -> bool:
    """Whether runs of the same graph have the same plan."""
    return plan.graph_bytes <= GRAPH_BYTES and plan.size_bytes <= BYTES_KEPT
