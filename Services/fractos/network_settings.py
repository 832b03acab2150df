"""What data_center_setup.cfg says of the emulated network: [Network], [Racks] and [Network A -> B]. Read by `config.py`."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from Services.fractos.network_rules import ALL, CLIENT, MAXIMUM, NetworkRules, Rule, is_node, is_rack
from Services.fractos.settings_file import Section, Sections

KEYS = set(MAXIMUM)
NETWORK, RACKS = "Network", "Racks"
LINK_SECTION = r"Network\s+(?P<source>\S+)\s*->\s*(?P<target>\S+)"


def read_network_rules(sections: Sections, node_types: Collection[str]) -> NetworkRules:
    """Read what the links are like, noting mistakes; names are checked against the types of node that there are."""
    racks = _racks(sections, node_types)
    whole = _rule(sections.section(NETWORK, KEYS, required=False), ALL, ALL, whole=True)
    rules = [whole] if any(whole.said.values()) else []
    known = [name for name, _ in racks]
    for name in sections.named(LINK_SECTION):
        link = re.fullmatch(LINK_SECTION, name)
        assert link is not None
        section = sections.section(name, KEYS)
        for end in link.groups():
            if fault := fault_of(end, node_types, known):
                sections.mistakes.append(f"[{name}]: {fault}")
        rules.append(_rule(section, *link.groups(), whole=False))
    return NetworkRules(tuple(rules), tuple(racks))


def fault_of(name: str, node_types: Collection[str], racks: Collection[str], *, for_all: bool = True) -> str:
    """What is wrong with the name of one end of a link; empty if nothing is. `for_all`: it may be "*"."""
    groups = [*racks, CLIENT, *([ALL] if for_all else ())]
    if name in groups or (is_node(name) and name.rpartition("-")[0] in node_types):
        return ""
    ends = [*(f"{one}-<n>" for one in sorted(node_types)), *groups]
    return f"{name!r} is no end of a link; give {', '.join(ends[:-1])} or {ends[-1]}"


def _racks(sections: Sections, node_types: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    names = sections.keys(RACKS)
    section = sections.section(RACKS, set(names), required=False)
    racks = []
    for name in names:
        nodes = section.names(name, r"\S+")
        if not is_rack(name):
            section.mistake(name, ", ".join(nodes), "a rack is named by letters, digits and _, and not client")
        for node in nodes:
            if fault := fault_of(node, node_types, (), for_all=False):
                section.mistake(name, node, fault)
        racks.append((name, nodes))
    return racks


def _rule(section: Section, source: str, target: str, *, whole: bool) -> Rule:
    """What a section says; a `whole` one says something about everything."""
    said: dict[str, Any] = {
        key: section.decimal(key, 0, 0, highest) for key, highest in MAXIMUM.items() if whole or section.has(key)
    }
    return Rule(source, target, **said)
