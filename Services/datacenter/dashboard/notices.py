"""What people are told has happened, worked out of two pictures of the datacenter. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]
MOST_REASONS = 3  # of repeated runs, told at once
SAID = {
    "ready": "is ready",
    "dead": "is dead",
    "restarting": "has died and is started again",
    "stopped": "was stopped: it lives and does nothing",
    "stopping": "is about to stop",
    "starting": "is starting",
    "silent": "does not answer",
}


def changes(before: Json | None, after: Json) -> list[str]:
    """What is different."""
    if before is None:
        return []
    return [*_node_changes(_by_name(before), _by_name(after)), *_link_changes(before, after)]


def repetitions(reasons: Counter[str]) -> list[str]:
    """Why runs were repeated."""
    told = [f"{_runs(count)} repeated: {reason}" for reason, count in reasons.most_common(MOST_REASONS)]
    if rest := sum(reasons.values()) - sum(count for _, count in reasons.most_common(MOST_REASONS)):
        told.append(f"{_runs(rest)} repeated for other reasons")
    return told


def _node_changes(before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[str]:
    for name, node in after.items():
        old = before.get(name, {})
        if node["state"] != old.get("state", "dead"):
            yield f"{name} {SAID[node['state']]}"
        elif node["pid"] and old.get("pid") and node["pid"] != old["pid"]:
            yield f"{name} was started again as process {node['pid']}"
        if node["leads"] and not old.get("leads"):
            yield f"{name} leads the {node['type']} nodes"
        epoch, old_epoch = _epoch(node), _epoch(old)
        if epoch and epoch != old_epoch:
            yield f"{name} owns {node['said']['state_folder'] or 'its state'}, epoch {epoch}"
    for name in before.keys() - after.keys():
        yield f"{name} is gone"


def _link_changes(before: Json, after: Json) -> Iterator[str]:
    cut, was_cut = _cuts(after), _cuts(before)
    for pair in sorted(cut - was_cut):
        yield f"the link between {' and '.join(pair)} is cut"
    for pair in sorted(was_cut - cut):
        yield f"the link between {' and '.join(pair)} is whole again"


def _cuts(picture: Json) -> set[tuple[str, ...]]:
    return {tuple(sorted((link["source"], link["target"]))) for link in picture["links"] if link.get("cut")}


def _epoch(node: Json) -> int:
    return int(node.get("said", {}).get("epoch", 0))


def _by_name(picture: Json) -> dict[str, Json]:
    return {node["name"]: node for node in picture["nodes"]}


def _runs(count: int) -> str:
    return "1 run was" if count == 1 else f"{count} runs were"
