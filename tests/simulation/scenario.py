"""What a seed draws: the datacenter, the runs that clients want, and the faults. Plain data, so that parts can be left out."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from Services.fractos.following import FIRST
from Services.fractos.topology import FAST_STAR, RING, STAR
from tests.simulation.tricks import TRICKS
from tests.simulation.world import Conditions

FAULTS_S = 12.0  # from the first submission to the last fault's begin
LONGEST_S = 6.0  # a fault lasts
CLIENTS = ("client-0", "client-1", "client-2")
NODE_TYPES = ("application", "storage", "math", "cnn")


@dataclass(frozen=True)
class Planned:
    """A run or a fault."""

    number: int
    at: float  # seconds from the start


@dataclass(frozen=True)
class Submission(Planned):
    """A run that a client wants."""

    client: str
    graph_seed: int
    timeout_s: float
    cancel_s: float | None  # after the submission
    again_s: float | None  # when it is submitted once more
    other_s: float | None  # when another graph is submitted under its id
    meddle_s: float | None  # when another client tries to cancel it
    trick: str  # how its client tries to do what it may not

    @property
    def topology(self) -> str:
        """How the run travels: every other one as a ring."""
        return (RING, RING, FAST_STAR, STAR)[self.graph_seed >> 30]

    def __str__(self) -> str:
        """As a reader sees it."""
        more = f" as a {self.topology}"
        more += f", with a trick ({self.trick})" if self.trick else ""
        more += f", cancelled after {self.cancel_s:.3f} s" if self.cancel_s is not None else ""
        return f"{self.number:4d}  {self.at:8.3f} s  {self.client} submits run {self.number} with {self.timeout_s:g} s{more}"


@dataclass(frozen=True)
class Fault(Planned):
    """Something that goes wrong. What `node` and `other` are depends on the kind: see `faults.py`."""

    kind: str
    node: str
    other: str
    seconds: float
    extra: float  # between 0 and 1, of which each kind makes what it needs

    def __str__(self) -> str:
        """As a reader sees it."""
        where = f"{self.node} {self.other}".strip()
        return f"{self.number:4d}  {self.at:8.3f} s  {self.kind} {where} for {self.seconds:.3f} s"


@dataclass(frozen=True)
class Scenario:
    """All that is drawn before the simulation begins."""

    seed: int
    counts: Mapping[str, int]
    conditions: Conditions
    device_s: float
    submissions: tuple[Submission, ...]
    faults: tuple[Fault, ...]
    restricted: frozenset[str]  # clients that may touch no files but their own

    def keeping(self, numbers: Collection[int]) -> Scenario:
        """The same with only some of the runs and faults."""
        return replace(
            self,
            submissions=tuple(one for one in self.submissions if one.number in numbers),
            faults=tuple(one for one in self.faults if one.number in numbers),
        )

    @property
    def planned(self) -> list[Planned]:
        """All runs and faults, the first ones first."""
        return sorted((*self.submissions, *self.faults), key=lambda one: one.at)

    @property
    def numbers(self) -> list[int]:
        """Of all runs and faults."""
        return [one.number for one in self.planned]


KINDS = {  # fault → how often it is drawn
    "crash": 6,
    "crash at write": 6,
    "pause": 3,
    "wall": 2,
    "one-way wall": 2,
    "island": 1,
    "cut": 5,
    "slow device": 2,
    "slow network": 1,
    "echo": 2,
    "journal full": 1,
    "storage full": 1,
    "session lost": 1,
    "stale view": 2,
    "ownership refused": 1,
    "revocation": 2,
}


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng = random.Random(seed)
    counts = _counts(rng)
    conditions = Conditions(
        directory_s=rng.choice((0.01, 2.0, 5.0)),
        sync_s=rng.choice((0.0, 0.0, 0.005, 0.05)),
        skew_s=rng.choice((0.0, 0.0, 0.2, 2.5)),
        latency_s=rng.choice((0.0002, 0.005, 0.05)),
        transfer_s=rng.choice((0.0, 0.02, 0.3)),
        inline_limit=rng.choice((1 << 20, 16, 4, 4)),
        memory_bytes=rng.choice((30, 60)) if rng.random() < 0.06 else 1 << 30,
        first=random.Random(f"channels of {seed}").choice((FIRST, FIRST, FIRST, 1, 2)),  # a stream of its own
    )
    restricted = frozenset(client for client in CLIENTS if rng.random() < 0.5)
    moments = sorted(rng.uniform(0.0, FAULTS_S) for _ in range(rng.randint(1, 4)))  # about which things happen together
    submissions = tuple(_submission(rng, number, moments) for number in range(rng.choice((5, 5, 8, 8, 12, 20))))
    amount = rng.choice((0, 1, 2, 3, 4, 6, 9, 12))
    first = len(submissions)
    faults = tuple(_fault(rng, first + index, moments, counts) for index in range(amount))
    return Scenario(seed, counts, conditions, rng.choice((0.001, 0.01, 0.1, 0.3)), submissions, faults, restricted)


def _counts(rng: random.Random) -> dict[str, int]:
    if rng.random() < 0.01:
        return {"application": 3, "storage": 3, "math": rng.randint(10, 40), "cnn": 4}
    return {
        "application": rng.choice((1, 2, 2, 3)),
        "storage": rng.choice((1, 2, 2, 3)),
        "math": rng.choice((1, 2, 2, 3)),
        "cnn": rng.choice((1, 2)),
    }


def _submission(rng: random.Random, number: int, moments: list[float]) -> Submission:
    timeout_s = rng.choice((0.05, 1.0, 5.0, 15.0, 30.0, 30.0, 30.0))
    return Submission(
        number=number,
        at=max(0.0, rng.choice(moments) + rng.gauss(-0.05, 0.1)),
        client=rng.choice(CLIENTS),
        graph_seed=rng.getrandbits(32),
        timeout_s=timeout_s,
        cancel_s=rng.expovariate(5.0) if rng.random() < 0.12 else None,
        again_s=rng.uniform(0.0, 10.0) if rng.random() < 0.2 else None,
        other_s=rng.uniform(0.0, 10.0) if rng.random() < 0.1 else None,
        meddle_s=rng.expovariate(5.0) if rng.random() < 0.1 else None,
        trick=rng.choice(TRICKS) if rng.random() < 0.1 else "",
    )


def _fault(rng: random.Random, number: int, moments: list[float], counts: Mapping[str, int]) -> Fault:
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    node, other = _name(rng, counts), _name(rng, counts)
    if kind == "crash at write" or (kind == "pause" and rng.random() < 0.5):
        node_type = rng.choice(("application", "storage"))  # the first one is mostly the owner
        node = f"{node_type}-{int(rng.random() ** 2 * counts[node_type])}"
    if kind in ("wall", "one-way wall", "cut"):
        while other == node:
            other = rng.choice((_name(rng, counts), rng.choice(CLIENTS)))
    if kind not in ("wall", "one-way wall", "cut") or (kind == "cut" and rng.random() < 0.5):
        other = ""
    if kind in ("journal full", "storage full"):
        node = ""
    if kind == "ownership refused":
        node = rng.choice(("application", "storage"))
    if kind == "revocation":
        node, other = rng.choice(CLIENTS), rng.choice(NODE_TYPES[1:])
    return Fault(
        number=number,
        at=max(0.0, rng.choice(moments) + rng.gauss(0.05, 0.15)),
        kind=kind,
        node=node,
        other=other,
        seconds=0.0 if kind in ("cut", "revocation") else min(LONGEST_S, rng.choice((0.05, 0.5, 3.0)) * rng.uniform(0.5, 2.0)),
        extra=rng.random(),
    )


def _name(rng: random.Random, counts: Mapping[str, int]) -> str:
    """A node, of the types with durable state more often than their number suggests."""
    node_type = rng.choice(NODE_TYPES[:2] if rng.random() < 0.5 else NODE_TYPES)
    return f"{node_type}-{rng.randrange(counts[node_type])}"
