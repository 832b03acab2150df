"""Which fault comes when: drawn from a seed, within what the datacenter promises to survive. Pure.

A type of several nodes keeps one that is ready; a single node is killed only if the supervisor starts it again. Nothing is hit
so often that the supervisor would give it up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal, get_args

from Services.datacenter.supervisor import MOST_FAILURES, STABLE_S

Kind = Literal["kill", "stop", "zookeeper", "zookeeper-all"]
KINDS: tuple[Kind, ...] = get_args(Kind)
SERVERS = "zookeeper"  # the type of the servers among the targets
WEIGHTS: dict[Kind, float] = {"kill": 4, "stop": 3, "zookeeper": 2, "zookeeper-all": 1}
STOP_S = (1.0, 8.0)
SILENCE_S = (5.0, 30.0)  # of all servers
SLOW_S = {"cnn": 30.0}  # types that start slowly, and how long after one kill the next may come
LEADER_WEIGHT = 3.0  # leaders and owners are where it hurts
LONGEST_ROW = MOST_FAILURES - 1  # one more may come from a standby that ends a stopped owner
MARGIN_S = 5.0  # the supervisor measures lives a little later


@dataclass(frozen=True)
class Target:
    """A process that may be hit, as it is now."""

    name: str  # "storage-0", "zookeeper0"
    type: str  # "storage", or SERVERS
    ready: bool  # it serves, and no fault is in force on it
    leads: bool
    supervised: bool  # it is started again when it crashes
    dead: bool = False  # for good: nobody starts it again
    row: int = 1  # how many crashes in a row one now would make


@dataclass(frozen=True)
class Fault:
    """What is done to which processes. A kill lasts 0 s; anything else is undone after `lasts_s`."""

    kind: Kind
    targets: tuple[str, ...]
    type: str
    lasts_s: float = 0.0


@dataclass(frozen=True)
class _Life:
    row: int
    restarts: int


class Rows:
    """How many crashes in a row each process has had, counted at least as strictly as the supervisor does."""

    def __init__(self) -> None:
        self._hits: dict[str, _Life] = {}

    def with_one_more(self, name: str, lived_s: float, restarts: int) -> int:
        """The length of the row if this process, which lives for so long and was restarted so often, crashed now."""
        if lived_s > STABLE_S + MARGIN_S:
            return 1
        # Before the first hit nobody here knows: every restart may have been one of the row.
        last = self._hits.get(name, _Life(0, -1) if restarts == 0 else _Life(1, 0))
        return max(1, last.row + restarts - last.restarts)

    def hit(self, name: str, lived_s: float, restarts: int) -> None:
        """A fault is about to hit it."""
        self._hits[name] = _Life(self.with_one_more(name, lived_s, restarts), restarts)


class Schedule:
    """The faults of one seed. The draws for each turn are its own, whatever earlier turns found possible."""

    def __init__(self, seed: int, kinds: Sequence[Kind], every_s: float) -> None:
        self._seed = seed
        self._kinds = kinds
        self._every_s = every_s
        self._turn = 0
        self._killed_at: dict[str, float] = {}  # by type

    def pause_s(self) -> float:
        """How long until the next turn: `every_s` on average."""
        return self._every_s * Random(f"{self._seed} pause {self._turn}").uniform(0.5, 1.5)

    def choose(self, targets: Sequence[Target], now: float, *, silence: bool) -> Fault | None:
        """The fault of this turn, or none if nothing may be hit now. `silence`: all ZooKeeper servers are stopped."""
        rng = Random(f"{self._seed} fault {self._turn}")
        self._turn += 1
        for kind in sorted(self._kinds, key=lambda one: rng.random() ** (1 / WEIGHTS[one]), reverse=True):
            fault = self._fault(kind, targets, now, rng, silence=silence)
            if fault:
                return fault
        return None

    def _fault(self, kind: Kind, targets: Sequence[Target], now: float, rng: Random, *, silence: bool) -> Fault | None:
        servers = [one for one in targets if one.type == SERVERS]
        lasts_s = rng.uniform(*(SILENCE_S if kind == "zookeeper-all" else STOP_S))
        if kind in {"zookeeper", "zookeeper-all"} and (silence or not all(one.ready for one in servers)):
            return None
        if kind == "zookeeper-all":
            # A single node that is being started again could not be listed while no server answers.
            if not servers or not _each_type_is_ready(targets):
                return None
            return Fault(kind, tuple(one.name for one in servers), SERVERS, lasts_s)
        if kind == "zookeeper":
            able = [one for one in servers if one.supervised and one.row <= LONGEST_ROW]
        else:
            nodes = [one for one in targets if one.type != SERVERS]
            able = [one for one in nodes if may_hit(one, nodes, kill=kind == "kill", silence=silence)]
        if kind == "kill":
            able = [one for one in able if now >= self._killed_at.get(one.type, float("-inf")) + SLOW_S.get(one.type, 0.0)]
        if not able:
            return None
        chosen = rng.choices(able, [LEADER_WEIGHT if one.leads else 1.0 for one in able])[0]
        if kind == "kill":
            self._killed_at[chosen.type] = now
        return Fault(kind, (chosen.name,), chosen.type, lasts_s if kind == "stop" else 0.0)


def may_hit(target: Target, targets: Sequence[Target], *, kill: bool, silence: bool) -> bool:
    """Whether a node may be killed, or else stopped, without breaking what the promises rest on."""
    alike = [one for one in targets if one.type == target.type and one is not target and not one.dead]
    spared = any(one.ready for one in alike)
    if not target.ready or (alike and not spared):
        return False
    if silence and (not spared or target.type == "application"):  # clients could not find another one
        return False
    if target.supervised and (kill or spared) and target.row > LONGEST_ROW:  # a standby may end what is stopped
        return False
    return spared or target.supervised or not kill


def _each_type_is_ready(targets: Sequence[Target]) -> bool:
    types = {one.type for one in targets}
    return types <= {one.type for one in targets if one.ready}
