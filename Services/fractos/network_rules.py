"""How slow each link of the emulated network is: rules for pairs of nodes, racks or all, the most specific of which wins. Pure.

Read from the configuration by `network_settings.py`, changed while the datacenter runs by `network_changes.py`, applied by
`transport/link.py`. What a rule leaves out it leaves to the less specific ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from protos import fractos_pb2
from Services.fractos.errors import InvalidArgumentError

CLIENT = "client"  # whoever calls a node and is none
ALL = "*"  # every node, and clients
HOSTS_CLIENTS = "application"  # a client and an application node are on one host: no link is between them

MAXIMUM = {"latency_ms": 10_000.0, "jitter_ms": 10_000.0, "bandwidth_mbit": 100_000.0, "loss": 0.5}

_NODE = re.compile(r"[a-z][a-z0-9_]*-(0|[1-9][0-9]*)")
_RACK = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Shape:
    """How a link is."""

    latency_ms: float = 0.0  # from the sender to the receiver
    jitter_ms: float = 0.0  # up to how much longer it takes, evenly distributed
    bandwidth_mbit: float = 0.0  # in 10^6 bits per second; 0: no limit
    loss: float = 0.0  # the probability that a packet is lost
    cut: bool = False  # nothing arrives


NONE = Shape()


@dataclass(frozen=True)
class Rule:
    """What is said about the links from `source` to `target`, each a node, a rack, "client" or "*". None: nothing."""

    source: str
    target: str
    latency_ms: float | None = None
    jitter_ms: float | None = None
    bandwidth_mbit: float | None = None
    loss: float | None = None
    cut: bool | None = None

    @property
    def link(self) -> str:
        """The rule's name."""
        return f"{self.source} -> {self.target}"

    @property
    def said(self) -> dict[str, Any]:
        """What it says, by the names of the fields of Shape."""
        return {name: value for name, value in asdict(self).items() if name not in {"source", "target"} and value is not None}

    def over(self, other: Rule) -> Rule:
        """This rule, with what the `other` one says where this says nothing."""
        return replace(other, source=self.source, target=self.target, **self.said)


@dataclass(frozen=True)
class NetworkRules:
    """All that is said about the links."""

    rules: tuple[Rule, ...] = ()  # of two that are equally specific the later one wins
    racks: tuple[tuple[str, tuple[str, ...]], ...] = ()  # the name of each with its nodes

    def shape(self, source: str, target: str) -> Shape:
        """How the link from one node, or CLIENT, to another is. Neither way of a connection works while one of them is cut."""
        there, back = self._directed(source, target), self._directed(target, source)
        return replace(there, cut=True) if back.cut else there

    def changed(self, changes: Iterable[Rule]) -> NetworkRules:
        """These rules and then the `changes`, each merged with what was said about just the same links."""
        rules = {rule.link: rule for rule in self.rules}
        for change in changes:
            before = rules.pop(change.link, None)  # the later it was said, the further behind it stands
            rules[change.link] = change.over(before) if before else change
        return replace(self, rules=tuple(rules.values()))

    def lost_racks(self) -> list[str]:
        """What rules name that is neither a node nor a rack, so that they say nothing; it was a rack when they were made."""
        racks = {name for name, _ in self.racks}
        ends = {end for rule in self.rules for end in (rule.source, rule.target)}
        return sorted(end for end in ends if not (is_node(end) or end in racks or end in {CLIENT, ALL}))

    def _directed(self, source: str, target: str) -> Shape:
        if source == target or {source, target} in ({CLIENT, HOSTS_CLIENTS}, {CLIENT}):
            return NONE
        if CLIENT in {source, target} and HOSTS_CLIENTS in {_type_of(source), _type_of(target)}:
            return NONE
        racks = dict(self.racks)
        matching = []
        for rule in self.rules:
            ranks = _rank(rule.source, source, racks), _rank(rule.target, target, racks)
            if all(ranks):
                matching.append((sum(ranks), rule))
        shape = NONE
        for _, rule in sorted(matching, key=lambda one: one[0]):
            shape = replace(shape, **rule.said)
        return shape


def is_node(name: str) -> bool:
    """Whether it is the name of a node: <type>-<n>."""
    return _NODE.fullmatch(name) is not None


def is_rack(name: str) -> bool:
    """Whether it can be the name of a rack."""
    return _RACK.fullmatch(name) is not None and name != CLIENT


def to_proto(serial: int, rules: NetworkRules) -> fractos_pb2.ShapeRequest:
    """What a node is told."""
    request = fractos_pb2.ShapeRequest(serial=serial)
    for rule in rules.rules:
        request.rules.add(source=rule.source, target=rule.target, **rule.said)
    for name, nodes in rules.racks:
        request.racks.add(name=name, nodes=nodes)
    return request


def from_proto(request: fractos_pb2.ShapeRequest) -> NetworkRules:
    """What a node was told. Raises InvalidArgumentError for what no link can be like."""
    rules = []
    for one in request.rules:
        said = {name: getattr(one, name) for name in (*MAXIMUM, "cut") if one.HasField(name)}
        rules.append(Rule(one.source, one.target, **said))
        check(rules[-1])
    return NetworkRules(tuple(rules), tuple((rack.name, tuple(rack.nodes)) for rack in request.racks))


def check(rule: Rule) -> None:
    """Raise InvalidArgumentError for values that no link can have."""
    for name, highest in MAXIMUM.items():
        value = rule.said.get(name, 0.0)
        if not (math.isfinite(value) and 0 <= value <= highest):
            raise InvalidArgumentError(f"{name} = {value:g} for {rule.link}: give a number from 0 to {highest:g}", field=name)


def _rank(pattern: str, name: str, racks: dict[str, tuple[str, ...]]) -> int:
    """How specific a pattern that names this node is; 0 if it does not."""
    if pattern == name:
        return 3
    if name in racks.get(pattern, ()):
        return 2
    return 1 if pattern == ALL else 0


def _type_of(node: str) -> str:
    return node.rpartition("-")[0]
