"""How a run travels: as a ring, a star or something in between. A rewrite of the graph, for the same engine. Pure.

In a ring each node sends the next steps on their way itself. In a star every step is sent alone, and its outputs go back to the
application node, whose `centre.py` sends whatever waits for them. A fast-star leaves the values where they were made and has
the next nodes fetch them there.
"""

from __future__ import annotations

from collections.abc import Iterable

from protos import fractos_pb2
from Services.fractos.errors import InvalidArgumentError

RING, FAST_STAR, STAR = "ring", "fast-star", "star"
TOPOLOGIES = (RING, FAST_STAR, STAR)


def check_topology(name: str) -> str:
    """Return the topology of that name; without one a ring. Raises InvalidArgumentError."""
    if name not in ("", *TOPOLOGIES):
        known = ", ".join(TOPOLOGIES)
        raise InvalidArgumentError(f"there is no topology {name[:40]!r}; there is {known}", field="topology")
    return name or RING


def rewrite(steps: Iterable[fractos_pb2.Step], topology: str) -> None:
    """Have the steps of a graph travel so. Their edges stay: they say which outputs are needed."""
    for step in steps:
        step.reply = topology != RING and bool(step.edges)
        step.leave = topology == FAST_STAR and bool(step.edges)
        if topology != RING:
            step.needs = min(step.needs, 1)  # the centre waits for all that a step needs, and sends one Request
