"""The emulated network of a datacenter that runs: the same latency and bandwidth for every link between two nodes."""

from __future__ import annotations

from pathlib import Path

from Services.datacenter.bench.rules import Link
from Services.fractos.config import load
from Services.fractos.network_changes import change
from Services.fractos.network_rules import ALL, Rule


def set_network(root: Path, link: Link) -> None:
    """Have every link be so from now on; returns once every node has confirmed. Raises UnavailableError if one does not."""
    rule = Rule(ALL, ALL, latency_ms=link.latency_ms, bandwidth_mbit=link.bandwidth_mbit)
    change(load(root), lambda before: (rule,))
