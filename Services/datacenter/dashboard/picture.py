"""What the page draws: nodes, servers and links as plain values, put together from what everybody says. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from protos import fractos_pb2
from Services.datacenter.observation import NodeStatus, ServerStatus
from Services.fractos.network_rules import NONE, NetworkRules

ALL_PAIRS = 12  # of more nodes only links that were used are looked at
OLDEST_S = 3.5  # what a node said longer ago no longer counts

Json = dict[str, Any]


@dataclass(frozen=True)
class Said:
    """What a node has said of itself the last two times."""

    last: fractos_pb2.NodeDescription
    before: fractos_pb2.NodeDescription | None = None

    def rate(self, name: str) -> float:
        """How much a number grows in a second, by the node's own clock."""
        return _rate(getattr(self.last, name), getattr(self.before, name) if self.before else None, self._between)

    @property
    def links(self) -> Iterable[tuple[str, Json]]:
        """What goes to each address."""
        before = {link.peer: link for link in self.before.traffic.links} if self.before else {}
        for link in self.last.traffic.links:
            old = before.get(link.peer)
            yield (
                link.peer,
                {
                    "frames": link.frames_sent,
                    "bytes": _bytes(link),
                    "frames_s": _rate(link.frames_sent, old.frames_sent if old else None, self._between),
                    "bytes_s": _rate(_bytes(link), _bytes(old) if old else None, self._between),
                },
            )

    @property
    def _between(self) -> float:
        return self.last.now - self.before.now if self.before else 0.0


@dataclass(frozen=True)
class Process:
    """What the system says of a node's process."""

    ours: bool = False  # `up` has started it and this user may signal it
    stopped: bool = False  # by SIGSTOP
    silent: bool = False  # it has answered before, and does not now


def picture(
    statuses: Iterable[NodeStatus],
    servers: Iterable[ServerStatus],
    said: Mapping[str, Said],
    processes: Mapping[str, Process],
    rules: NetworkRules,
    root: str,
) -> Json:
    """All that is drawn. `said` has the nodes that answer; `servers` are those of ZooKeeper; folders are those in `root`."""
    nodes = [_node(status, said.get(status.node), processes.get(status.node, Process()), root) for status in statuses]
    return {
        "nodes": nodes,
        "servers": [{"name": one.server, "role": one.role, "address": one.address} for one in servers],
        "links": _links({node["name"]: node["address"] for node in nodes if node["address"]}, said, rules),
        "rules": [{"link": rule.link, **rule.said} for rule in rules.rules],
    }


def _node(status: NodeStatus, said: Said | None, process: Process, root: str) -> Json:
    is_silent = process.silent and status.state == "starting"
    state = "stopped" if process.stopped else "silent" if is_silent else status.state
    node: Json = {
        "name": status.node,
        "type": status.type,
        "state": state,
        "leads": status.role == "leader" and status.state == "ready",
        "address": status.address or "",
        "pid": status.pid or 0,
        "log": status.log,
        "restarts": status.restarts,
        "ours": process.ours,
    }
    return node | {"said": _told(said, root)} if said else node


def _told(said: Said, root: str) -> Json:
    """What a node has said, for people."""
    last = said.last
    return {
        "epoch": last.epoch,
        "state_folder": last.state_folder.removeprefix(f"{root}/"),
        "up_s": max(0.0, last.now - last.started_at),
        "cpu": said.rate("cpu_s"),
        "resident": last.resident_bytes,
        "waiting": last.steps_waiting,
        "running": last.steps_running,
        "done": last.steps_done,
        "done_s": said.rate("steps_done"),
        "failed": last.steps_failed,
        "memory_objects": last.traffic.memory_objects,
        "memory": last.traffic.memory_bytes,
        "memory_limit": last.memory_limit_bytes,
        "in_flight": last.runs_in_flight,
        "ended": last.runs_ended,
        "ended_s": said.rate("runs_ended"),
        "runs_failed": last.runs_failed,
    }


def _links(addresses: Mapping[str, str], said: Mapping[str, Said], rules: NetworkRules) -> list[Json]:
    """The links that were used, or about which something is said."""
    names = {address: name for name, address in addresses.items()}
    links: dict[tuple[str, str], Json] = {}
    for source, one in said.items():
        for address, traffic in one.links:
            if (target := names.get(address)) and target != source:
                links[source, target] = traffic
    if len(addresses) <= ALL_PAIRS:
        for pair in permutations(sorted(addresses), 2):
            if rules.shape(*pair) != NONE:
                links.setdefault(pair, {})
    found = []
    for (source, target), traffic in sorted(links.items()):
        shape = rules.shape(source, target)
        shaped = {"latency_ms": shape.latency_ms, "bandwidth_mbit": shape.bandwidth_mbit, "loss": shape.loss, "cut": shape.cut}
        found.append({"source": source, "target": target, **traffic, **{key: value for key, value in shaped.items() if value}})
    return found


def _bytes(link: fractos_pb2.LinkCount) -> int:
    return link.frame_bytes_sent + link.memory_mapped + link.memory_streamed


def _rate(last: float, before: float | None, seconds: float) -> float:
    if before is None or seconds <= 0:
        return 0.0
    return max(0.0, round((last - before) / seconds, 3))
