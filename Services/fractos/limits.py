"""How much one node holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """At each limit the node says so: to a client that can come again, or at admission, so that it is not reached inside."""

    runs_remembered: int = 500_000
    calls: int = 20_000  # device calls waiting or running
    held: int = 20_000  # Requests that wait until it is settled who owns what they work on
    links_per_type: int = 8  # to how many nodes of each type an application node keeps channels that no run names
    steps_per_type: int = 10_000  # in flight from one application node on all nodes of a type
    graph_bytes: int = 512 << 20  # in flight from one application node
    answers_kept_s: float = 60.0  # how long an answer can be asked for again, after its run's deadline
