"""What several logs say in order of time: of one run, or from some level on. For `logs --run` and `logs --level`."""

from __future__ import annotations

import heapq
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from Services.datacenter.logs import POLL_S, LogFile
from Services.fractos.log_lines import Line, LineReader

SETTLE_S = 0.05  # how long a line waits for earlier ones of other logs, which may be on their way to the disk


@dataclass(frozen=True)
class Wanted:
    """Which lines are shown."""

    run: str = ""  # how the id of their run begins or ends; empty: also those about no run
    level: int = logging.NOTSET  # the least

    def admits(self, line: Line) -> bool:
        """Whether a line is shown."""
        return line.level >= self.level and (line.run_id.startswith(self.run) or line.run_id.endswith(self.run))


class MergedLogs:
    """Some logs as if they were one. The lines name their nodes themselves."""

    def __init__(self, paths: Iterable[Path], wanted: Wanted) -> None:
        self._logs = [(LogFile(path), LineReader()) for path in paths]
        self._wanted = wanted
        self.run_ids: set[str] = set()  # of the runs that the lines shown so far are about

    def show(self, write: Callable[[str], None], lines: int | None = None) -> int:
        """Write what there is, or the last `lines` of it. Returns how many lines that was."""
        found: Iterable[Line] = heapq.merge(*map(self._existing, self._logs), key=attrgetter("at"))
        count = 0
        for line in deque(found, lines) if lines else found:
            self._write(line, write)
            count += 1
        return count

    def follow(
        self,
        write: Callable[[str], None],
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Go on with what is added, until interrupted. To be called after `show`."""
        waiting: list[Line] = []
        while True:
            settled = clock() - SETTLE_S
            for file, reader in self._logs:
                waiting += filter(self._wanted.admits, map(reader.read, file.added()))
            waiting.sort(key=attrgetter("at"))
            while waiting and waiting[0].at < settled:
                self._write(waiting.pop(0), write)
            sleep(POLL_S)

    def _existing(self, log: tuple[LogFile, LineReader]) -> Iterator[Line]:
        file, reader = log
        return filter(self._wanted.admits, map(reader.read, file.existing()))

    def _write(self, line: Line, write: Callable[[str], None]) -> None:
        if line.run_id:
            self.run_ids.add(line.run_id)
        write(line.text)
