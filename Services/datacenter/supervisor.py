"""The supervisor: a process of its own that starts crashed nodes and ZooKeeper servers again, at growing intervals and not for
ever.

`up` starts it as `python -m Services.datacenter.supervisor ROOT LOG FORMAT LEVEL` and records it like a node, so that `down`
stops it, before anything else. It acts only while it holds the launcher's lock and finds itself in the record: what `down` has
stopped is never started again. It ends by itself when nothing is left to watch.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from Services.datacenter import ensemble, layout
from Services.datacenter.lock import exclusive_now
from Services.datacenter.processes import SUPERVISOR, ProcessEntry, Processes, is_server
from Services.fractos.errors import FractosError
from Services.fractos.log_lines import FORMS, formatter
from Services.fractos.output import LogSettings, log_to_output

LOOK_EVERY_S = 0.25
FIRST_DELAY_S = 0.5  # doubled with every failure in a row
MOST_FAILURES = 5  # in a row
STABLE_S = 60.0  # one that lived so long begins a new row

log = logging.getLogger("supervisor")


@dataclass(frozen=True)
class Failure:
    """A crash that was noticed."""

    row: int  # how many in a row this makes
    due: float  # monotonic time at which the node is to be started again, or given up


class Supervisor:
    """Watches the supervised processes of the datacenter in folder `root`."""

    def __init__(self, root: Path, form: str = FORMS[0]) -> None:
        """`form` is that of the logs."""
        self._root = root
        self._formatter = formatter(form, SUPERVISOR)
        self._processes = Processes(root)
        self._failures: dict[str, tuple[int, Failure]] = {}  # name → the process id that died, and its failure

    def look(self) -> bool:
        """Notice crashes, and start again what is due. Returns whether there is anything left to watch."""
        self._processes.read()
        watched = [entry for entry in self._processes.entries.values() if entry.supervised]
        if not watched or not self._is_recorded():
            return not self._dismissed()
        living = self._processes.living()
        for entry in watched:
            if entry.name not in living and time.monotonic() >= self._failure(entry).due:
                self._act(entry)
        return True

    def _is_recorded(self) -> bool:
        entry = self._processes.entries.get(SUPERVISOR)
        return entry is not None and entry.pid == os.getpid()

    def _dismissed(self) -> bool:
        """Whether to end. Looks again under the lock, since a launcher may just be about to write; if so, leaves the record."""
        if not layout.state(self._root).is_dir():
            return True  # the datacenter's folder has gone
        with exclusive_now(layout.lock_file(self._root)) as held:
            if not held:
                return False
            self._processes.read()
            if not self._is_recorded():
                return True
            if any(entry.supervised for entry in self._processes.entries.values()):
                return False
            self._processes.forget(SUPERVISOR)
        log.info("nothing is left to watch")
        return True

    def _failure(self, entry: ProcessEntry) -> Failure:
        """The failure that the death of this process is, which is noticed now unless it was before."""
        pid, failure = self._failures.get(entry.name, (0, Failure(0, 0.0)))
        if pid != entry.pid:
            lived_s = time.time() - entry.started
            new_row = lived_s > STABLE_S or entry.restarts == 0  # 0: a launcher has started it
            failure = self._fail(entry, 1 if new_row else failure.row + 1)
            how = self._processes.how_it_ended(entry.name)
            log.warning("%s (process %d) has ended after %.0f s %s", entry.name, entry.pid, lived_s, how)
        return failure

    def _fail(self, entry: ProcessEntry, row: int) -> Failure:
        delay_s = FIRST_DELAY_S * 2 ** (row - 1) if row <= MOST_FAILURES else 0.0
        failure = Failure(row, time.monotonic() + delay_s)
        self._failures[entry.name] = entry.pid, failure
        return failure

    def _act(self, entry: ProcessEntry) -> None:
        """Start a dead process again, or leave it dead, unless a launcher is at work or has changed it meanwhile."""
        with exclusive_now(layout.lock_file(self._root)) as held:
            if not held:
                return
            self._processes.read()
            if not self._is_recorded() or self._processes.entries.get(entry.name) != entry:
                return
            row = self._failures[entry.name][1].row
            if self._was_told_to_stop(entry):
                log.info("%s was told to stop: it is not started again", entry.name)
                self._processes.leave_dead(entry.name)
            elif row > MOST_FAILURES:
                log.error("%s has failed %d times in a row: it is not started again before the next `up`", entry.name, row)
                self._processes.leave_dead(entry.name)
            else:
                self._start_again(entry, row)

    def _was_told_to_stop(self, entry: ProcessEntry) -> bool:
        if is_server(entry.name):
            return ensemble.was_stopped(Path(entry.folder))
        return layout.told_to_stop(self._root, entry.name).exists()

    def _start_again(self, entry: ProcessEntry, row: int) -> None:
        message = f"starting {entry.name} again: failure {row} of {MOST_FAILURES} in a row, restart {entry.restarts + 1}"
        log.warning(message)
        try:
            with Path(entry.log).open("a", encoding="utf-8") as its_log:
                told = log.makeRecord(log.name, logging.WARNING, __file__, 0, message, (), None)
                its_log.write(f"{self._formatter.format(told)}\n")
            self._processes.start_again(entry)
        except (FractosError, OSError) as error:
            log.error("%s", error)
            self._fail(entry, row + 1)


def main() -> int:
    """Watch until nothing is left to watch, or a launcher ends this process."""
    settings = LogSettings(form=sys.argv[3], level=sys.argv[4])
    log_to_output(Path(sys.argv[2]), settings)
    supervisor = Supervisor(Path(sys.argv[1]), settings.form)
    log.info("watching the nodes in %s, process %d", sys.argv[1], os.getpid())
    told = ""
    while True:
        try:
            if not supervisor.look():
                return 0
        except (FractosError, OSError) as error:  # a full disk, a damaged record: for a person to mend, and no reason to die
            if str(error) != told:
                log.error("%s", error)
            told = str(error)
        time.sleep(LOOK_EVERY_S)


if __name__ == "__main__":
    sys.exit(main())
