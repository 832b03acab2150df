"""Slows, cuts and heals emulated links, as the page asks; the same as `run_datacenter.py network`. Calls block."""

from __future__ import annotations

from Services.datacenter.network import cut, healed
from Services.fractos.config import Configuration
from Services.fractos.errors import InvalidArgumentError
from Services.fractos.network_changes import Edit, change
from Services.fractos.network_rules import ALL, NetworkRules, Rule, check, is_node


def slow_link(configuration: Configuration, source: str, target: str, latency_ms: float) -> str:
    """Have everything between two nodes, or between all, take so much longer, both ways."""
    ends = _ends(source, target)
    rules = [Rule(*pair, latency_ms=latency_ms) for pair in dict.fromkeys((ends, ends[::-1]))]
    for rule in rules:
        check(rule)
    edit: Edit = lambda before: NetworkRules(before).changed(rules).rules  # noqa: E731
    change(configuration, edit)
    return f"{_link(ends)} takes {latency_ms:g} ms each way"


def cut_link(configuration: Configuration, source: str, target: str) -> str:
    """Have nothing arrive between two nodes."""
    ends = _ends(source, target)
    if ALL in ends:
        raise InvalidArgumentError("cut which link? give two nodes")
    change(configuration, cut(ends))
    return f"{_link(ends)} is cut"


def heal_link(configuration: Configuration, source: str, target: str) -> str:
    """End a cut."""
    ends = _ends(source, target)
    change(configuration, healed(configuration, ends))
    return f"{_link(ends)} is whole again"


def reset_links(configuration: Configuration) -> str:
    """Have all links be as the configuration says."""
    change(configuration, None)
    return "all links are as the configuration says"


def _ends(source: str, target: str) -> tuple[str, str]:
    if source == target == ALL or (is_node(source) and is_node(target) and source != target):
        return source, target
    raise InvalidArgumentError(f"there is no link from {source[:40]!r} to {target[:40]!r}")


def _link(ends: tuple[str, str]) -> str:
    return "every link" if ALL in ends else f"the link between {ends[0]} and {ends[1]}"
