"""What happened in a simulated datacenter, as far as it is checked or told. All parts of the world write it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from protos import fractos_pb2
from Services.fractos.errors import FractosError
from Services.fractos.events import WorkKey
from tests.simulation.agenda import START, Agenda

Tell = Callable[[str], None]


class Execution(NamedTuple):
    """A device began a step."""

    at: float
    node: str
    address: str
    key: WorkKey
    path: str


class Ended(NamedTuple):
    """The end of a run is in the journal."""

    at: float
    address: str  # of the application node that wrote it
    result: bytes
    failed: bool


@dataclass(slots=True)
class Kept:
    """A Memory object of a run, from when until when it was kept."""

    node: str
    address: str
    run_id: bytes
    made_at: float
    freed_at: float = math.inf


class Trouble(NamedTuple):
    """From when until when something was wrong, and what with: a node, a type of nodes, or a disk."""

    begin: float
    end: float
    what: str
    where: str


class History:
    """The record of one simulation. `tell` gets each event as a readable line."""

    def __init__(self, agenda: Agenda, tell: Tell | None = None) -> None:
        self._agenda = agenda
        self.began_at = agenda.now  # the moment from which a scenario counts
        self._tell = tell
        self.executions: list[Execution] = []
        self.violations: list[str] = []
        self.acknowledged: dict[bytes, float] = {}  # run → when its client was told that it is accepted
        self.accepted: dict[bytes, float] = {}  # run → when an application node said so
        self.recorded: dict[bytes, float] = {}  # run → its deadline, by the clock of whoever accepted it
        self.ends: dict[bytes, list[Ended]] = defaultdict(list)
        self.answers: dict[bytes, list[bytes]] = defaultdict(list)  # what clients got
        self.refusals: dict[bytes, list[FractosError]] = defaultdict(list)  # final ones
        self.telling: dict[tuple[str, bytes], float] = {}  # (address, run) → when its home began to tell a node that it is over
        self.told: dict[tuple[str, bytes], float] = {}  # and when that arrived
        self.troubles: list[Trouble] = []
        self.asked: dict[tuple[bytes, int], fractos_pb2.Step] = {}  # (run, step) → the step as its client sent it
        self.revoked: dict[str, dict[bytes, float]] = defaultdict(dict)  # address → what it knows to be revoked, and since when
        self.memory: list[Kept] = []
        self.crowded_out: dict[bytes, None] = {}  # runs that found no room for their Memory, or had it taken away
        self.names: dict[bytes, str] = {}  # run → how the story calls it

    @property
    def is_told(self) -> bool:
        """Whether anyone listens to the story, so that lines for it need not be made in vain."""
        return self._tell is not None

    def line(self, text: str) -> None:
        """Tell that something happened."""
        if self._tell is not None:
            self._tell(f"{self._agenda.now - START:10.4f}  {text}")

    def name(self, run_id: bytes) -> str:
        """What the story calls a run."""
        return self.names.get(run_id) or f"run {run_id.hex()[:6]}"

    def violated(self, text: str) -> None:
        """Take note that a promise was broken."""
        self.violations.append(f"at {self._agenda.now - START:.4f}: {text}")
        self.line(f"VIOLATED  {text}")

    def trouble(self, what: str, where: str, seconds: float) -> None:
        """Take note that something is wrong from now on."""
        now = self._agenda.now
        self.troubles.append(Trouble(now, now + seconds, what, where))
        self.line(f"{where}: {what} for {seconds:.2f} s" if seconds else f"{where}: {what}")

    def submitted(self, run_id: bytes, graph: bytes) -> None:
        """Take note of what a client asks for."""
        for step in fractos_pb2.Graph.FromString(graph).steps:
            self.asked.setdefault((run_id, step.id), step)

    def keep(self, node: str, address: str, run_id: bytes) -> Kept:
        """Take note that a node keeps Memory for a run."""
        kept = Kept(node, address, run_id, self._agenda.now)
        self.memory.append(kept)
        return kept

    def execution(self, node: str, address: str, key: WorkKey, path: str) -> None:
        """Take note that a device begins a step."""
        self.executions.append(Execution(self._agenda.now, node, address, key, path))
        if self._tell is not None:
            self.line(f"{node} does step {key.step} of {self.name(key.run_id)}, {path}, attempt {key.attempt}")
