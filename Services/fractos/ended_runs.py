"""The runs that ended lately at an application node, within bounds: older ones only its journal knows. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from Services.fractos.run import Run

KEPT = 1000
BYTES_KEPT = 64 << 20  # of results and of outlines, although runs of the same graph share one


class EndedRuns:
    """Ended runs by id, the oldest first."""

    def __init__(self) -> None:
        self._runs: OrderedDict[bytes, Run] = OrderedDict()
        self._bytes = 0

    def add(self, run: Run) -> None:
        """Keep a run, and let the oldest ones go if need be."""
        self._runs[run.run_id] = run
        self._bytes += _size_bytes(run)
        while len(self._runs) > 1 and (len(self._runs) > KEPT or self._bytes > BYTES_KEPT):
            _, oldest = self._runs.popitem(last=False)
            self._bytes -= _size_bytes(oldest)

    def get(self, run_id: bytes) -> Run | None:
        """The run with that id, if it is kept."""
        return self._runs.get(run_id)

    def newest_first(self) -> Iterator[Run]:
        """All of them."""
        return reversed(self._runs.values())


def _size_bytes(run: Run) -> int:
    return run.result_bytes + len(run.plan.outline)
