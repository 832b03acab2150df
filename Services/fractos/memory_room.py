"""How much Memory a node may hold, and who has to make room when it is full: the youngest runs. Used by `memory.py`. Pure.

At the limit nobody waits, so that runs cannot wait for one another for ever. The oldest run always gets room, so there is
progress.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from Services.fractos.errors import ResourceExhaustedError

RETRY_AFTER_S = 0.5

Age = tuple[float, bytes]  # when a run began, in Unix seconds, and its id: the smaller is the older


@dataclass
class _Share:
    """What a run holds."""

    age: Age
    objects: dict[bytes, int] = field(default_factory=dict)  # their sizes in bytes, in the order they were made


class MemoryRoom:
    """Who holds how much."""

    def __init__(self, node: str, limit_bytes: int, limit_objects: int) -> None:
        self._node = node
        self._limit_bytes = limit_bytes
        self._limit_objects = limit_objects
        self._sizes: dict[bytes, int] = {}
        self._runs: dict[bytes, _Share] = {}
        self.used_bytes = 0

    @property
    def is_crowded(self) -> bool:
        """Whether half of the objects that there may be are there."""
        return len(self._sizes) > self._limit_objects // 2

    def make(self, size: int, age: Age | None) -> list[bytes]:
        """Return the objects to take from younger runs so that another one fits. Nothing is changed.

        `age`: None for a client's object, which nobody has to make room for. Raises ResourceExhaustedError.
        """
        if size > self._limit_bytes:
            raise self._full(size, "which is more than all of it", retry_after_s=0.0)
        taken: list[bytes] = []
        excess_bytes = self.used_bytes + size - self._limit_bytes
        excess_objects = len(self._sizes) + 1 - self._limit_objects
        for number, held_bytes in self._younger(age) if excess_bytes > 0 or excess_objects > 0 else ():
            taken.append(number)
            excess_bytes, excess_objects = excess_bytes - held_bytes, excess_objects - 1
            if excess_bytes <= 0 and excess_objects <= 0:
                break
        if excess_bytes > 0 or excess_objects > 0:
            raise self._full(size, "and no younger run holds enough to make room", RETRY_AFTER_S)
        return taken

    def add(self, number: bytes, size: int, age: Age | None) -> None:
        """Count an object."""
        self._sizes[number] = size
        self.used_bytes += size
        if age is not None:
            self._runs.setdefault(age[1], _Share(age)).objects[number] = size

    def remove(self, number: bytes, run_id: bytes) -> None:
        """Count an object no more. `run_id` is empty for a client's."""
        self.used_bytes -= self._sizes.pop(number)
        if run_id:
            share = self._runs[run_id]
            del share.objects[number]
            if not share.objects:
                del self._runs[run_id]

    def objects_of(self, run_id: bytes) -> list[bytes]:
        """The objects of a run."""
        share = self._runs.get(run_id)
        return list(share.objects) if share is not None else []

    def _younger(self, age: Age | None) -> Iterable[tuple[bytes, int]]:
        """The objects of younger runs, those of the youngest first."""
        if age is None:
            return
        for share in sorted(self._runs.values(), key=lambda share: share.age, reverse=True):
            if share.age <= age:
                return
            yield from reversed(share.objects.items())

    def _full(self, size: int, why: str, retry_after_s: float) -> ResourceExhaustedError:
        return ResourceExhaustedError(
            f"{self._node} has no room for a Memory of {size} bytes: {self.used_bytes} of {self._limit_bytes} bytes are used,"
            f" in {len(self._sizes)} of {self._limit_objects} objects, {why}; raise"
            f" limit_mb in [Memory] of data_center_setup.cfg",
            retry_after_s=retry_after_s,
        )
