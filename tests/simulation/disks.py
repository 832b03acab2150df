"""What survives the death of a process: the journal of runs and the storage folder, each with the lock of its one owner.

The journal follows `Services/fractos/journal.py`, the folder the Device of a storage node: a change is recorded, happens and is
marked, in three separate writes; recovery finds out which of the recorded ones have happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from protos import fractos_pb2
from Services.fractos.errors import AbortedError, FractosError, ResourceExhaustedError
from Services.fractos.events import Recorded
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.records import AttemptRecord, EndRecord, Entry, Inquiry, RunRecord
from tests.simulation.history import Ended, History
from tests.simulation.story import entry_described

if TYPE_CHECKING:
    from tests.simulation.node import SimulatedNode

Path = tuple[str, str]  # client, name


@dataclass(slots=True)
class Lock:
    """Who owns a durable state. Ends with the process that holds it."""

    holder: SimulatedNode | None = None
    epoch: int = 0

    def is_held_by(self, node: SimulatedNode) -> bool:
        """Whether a process may write."""
        return self.holder is node


class Disk:
    """What every disk has: a lock, and times at which it takes nothing."""

    def __init__(self, name: str, history: History) -> None:
        self.name = name
        self.lock = Lock()
        self.is_full = False
        self.history = history

    def check(self, node: SimulatedNode) -> None:
        """Take note of a write by a process that does not own the state. Raises ResourceExhaustedError if the disk is full."""
        if not self.lock.is_held_by(node):
            self.history.violated(f"{node.address} writes to the {self.name}, which it does not own")
        if self.is_full:
            raise ResourceExhaustedError(f"the disk of the {self.name} is full", retry_after_s=0.2)


@dataclass(slots=True)
class _Row:
    record: RunRecord
    failed: bool = False


class Journal(Disk):
    """The journal of runs."""

    def __init__(self, history: History) -> None:
        super().__init__("journal", history)
        self.rows: dict[bytes, _Row] = {}

    def commit(self, node: SimulatedNode, entries: Sequence[Entry]) -> Recorded:
        """Write entries, all or none."""
        try:
            self.check(node)
        except FractosError as error:
            self.history.line(f"{node.name}: the journal takes nothing")
            return Recorded(list(entries), {}, error)
        known = {}
        for entry in entries:
            if isinstance(entry, Inquiry):
                if entry.run_id in self.rows:
                    known[entry.run_id] = self.rows[entry.run_id].record
                continue
            if self.history.is_told:
                self.history.line(f"{node.name} records: {entry_described(entry, self.history.name)}")
            if isinstance(entry, RunRecord):
                row = self.rows.setdefault(entry.run_id, _Row(entry))
                if row.record is entry:
                    self.history.recorded[entry.run_id] = entry.deadline
                else:
                    known[entry.run_id] = row.record
            else:
                self._update(node, entry)
        return Recorded(list(entries), known, None)

    def has_end(self, run_id: bytes) -> bool:
        """Whether it says how a run ended."""
        row = self.rows.get(run_id)
        return row is not None and row.record.result is not None

    def unfinished(self) -> tuple[RunRecord, ...]:
        """The runs that have not ended."""
        return tuple(row.record for row in self.rows.values() if row.record.result is None)

    def stopped(self, now: float) -> tuple[RunRecord, ...]:
        """The runs that failed and whose Requests nodes may still accept."""
        rows = self.rows.values()
        return tuple(row.record for row in rows if row.failed and row.record.deadline > now - CLOCK_BOUND_S)

    def _update(self, node: SimulatedNode, entry: AttemptRecord | EndRecord) -> None:
        row = self.rows.get(entry.run_id)
        if row is None:
            return
        if isinstance(entry, AttemptRecord):
            row.record = row.record._replace(attempt=entry.attempt, placed=dict(entry.placed))
        elif row.record.result is None:  # a run ends once
            row.record = row.record._replace(result=entry.result, graph=b"")
            row.failed = entry.failed
            self.history.ends[entry.run_id].append(Ended(node.now, node.address, entry.result, entry.failed))


@dataclass(frozen=True)
class Change:
    """An entry of the log of changes: a text that is appended, or an integer that is written in place of what was there."""

    path: Path
    what: str | fractos_pb2.BigInteger
    has_happened: bool = False  # on a real disk: whether the temporary file is gone
    is_marked: bool = False
    size_bytes: int = 0


class Folder(Disk):
    """The storage folder that all storage nodes share."""

    def __init__(self, history: History) -> None:
        super().__init__("storage folder", history)
        self.content: dict[Path, fractos_pb2.BigInteger] = {}
        self.writes: list[Path] = []
        self.texts: dict[Path, list[str]] = {}
        self.documents: dict[Path, str] = {}  # texts that were there before, and stay as they are
        self.changes: dict[str, Change] = {}

    def find(self, step_key: str, path: Path, what: str | fractos_pb2.BigInteger) -> Change | None:
        """A change that has been made for a step. Raises AbortedError if it was another one."""
        done = self.changes.get(step_key)
        if done is None:
            return None
        if (done.path, done.what) != (path, what):
            raise AbortedError(f"{step_key} changed something else before", definite=False)
        return self.settled(step_key)

    def settled(self, step_key: str) -> Change | None:
        """Find out whether a recorded change has happened; if not, nothing of it is left."""
        if not self.changes[step_key].has_happened:
            del self.changes[step_key]
            return None
        self.mark(step_key)
        return self.changes[step_key]

    def record(self, step_key: str, path: Path, what: str | fractos_pb2.BigInteger) -> None:
        """The first write of a change."""
        self.changes[step_key] = Change(path, what)

    def apply(self, step_key: str) -> None:
        """The second one: now it has happened."""
        change = self.changes[step_key]
        size_bytes = 0
        if isinstance(change.what, str):
            texts = self.texts.setdefault(change.path, [])
            texts.append(change.what)
            size_bytes = sum(map(len, texts))
        else:
            self.content[change.path] = change.what
            self.writes.append(change.path)
        self.changes[step_key] = replace(change, has_happened=True, size_bytes=size_bytes)

    def mark(self, step_key: str) -> None:
        """The third one: from now on nobody has to find out."""
        self.changes[step_key] = replace(self.changes[step_key], is_marked=True)

    def unmarked(self) -> list[str]:
        """What recovery has to find out about."""
        return [step_key for step_key, change in self.changes.items() if not change.is_marked]

    def count(self) -> Counter[str]:
        """How often each text is in a file."""
        return Counter(text for texts in self.texts.values() for text in texts)


@dataclass
class Disks:
    """The durable states of a datacenter, by the type of the nodes that own them."""

    history: History
    journal: Journal = field(init=False)
    folder: Folder = field(init=False)

    def __post_init__(self) -> None:
        self.journal = Journal(self.history)
        self.folder = Folder(self.history)

    def of_type(self, node_type: str) -> Disk | None:
        """What the nodes of a type work on, if that is durable."""
        return {"application": self.journal, "storage": self.folder}.get(node_type)
