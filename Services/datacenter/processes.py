"""The processes that the launcher and its supervisor started: spawned, recorded, found again after a crash, stopped.

A process counts as the recorded one only if its start time agrees, since the system gives a process id to another process
later. Each also carries the launch it belongs to in its environment, so that one whose launcher was killed before it could be
recorded, and whatever it has started itself, are found too. The record names the folder it is about and counts for no other, so
that a copy of a datacenter's folder has no power over the processes of the first.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from io import BufferedWriter
from pathlib import Path

import psutil

from Services.datacenter import interruption, layout
from Services.datacenter.system import command_of, end, environment_of, is_alive, same_process
from Services.fractos.config import write_atomically
from Services.fractos.errors import FailedPreconditionError

LAUNCH_VARIABLE = "MOCKDC_LAUNCH"
NAME_VARIABLE = "MOCKDC_PROCESS"
SUPERVISOR = "supervisor"
TERMINALS = "terminals"  # whatever shows logs: of the launch that opened it, but never recorded
LARGEST_LOG_BYTES = 10_000_000  # a larger log is put aside when its node starts again
ROUNDS = 2  # a process may have started another while it was being stopped


@dataclass(frozen=True)
class ProcessEntry:
    """One process in the record."""

    name: str  # "storage-0", "zookeeper0"
    pid: int
    started: float  # Unix time in seconds
    launch: str
    log: str
    command: Sequence[str] = ()
    folder: str = ""  # in which the command runs
    supervised: bool = False  # the supervisor starts it again when it crashes
    restarts: int = 0  # how often it has done so


class Processes:
    """The processes of one datacenter that its launchers started. Changed only by who holds the launcher's lock."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._record = layout.process_record(root)
        self._launches: list[str] = []  # all that may have living processes; the last is the present one
        self._entries: dict[str, ProcessEntry] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self.read()

    def begin_launch(self) -> str:
        """Record a new launch, which the processes spawned from now on belong to, and return its id. Ended ones are dropped."""
        self._end_strays()
        self._forget({launch for launch in self._launches if not self._find({launch})})
        self._launches.append(uuid.uuid4().hex)
        self._write()
        return self._launches[-1]

    def mark(self, name: str) -> dict[str, str]:
        """The variables that make a process one of the present launch."""
        return {LAUNCH_VARIABLE: self._launches[-1], NAME_VARIABLE: name}

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a process of the present launch that is not recorded."""
        return {**os.environ, **self.mark(name)}

    def spawn(self, name: str, command: list[str], *, log: Path, folder: Path, supervised: bool = False) -> None:
        """Start a process in a session of its own, in `folder`, its output appended to `log`, and record it.

        Raises FailedPreconditionError if the system refuses.
        """
        self._start(ProcessEntry(name, 0, 0.0, self._launches[-1], str(log), command, str(folder), supervised))

    def start_again(self, entry: ProcessEntry) -> None:
        """Start a process that has died as it was started before. What it has left running itself is ended first."""
        self._end_strays()
        self._start(replace(entry, restarts=entry.restarts + 1))

    def forget(self, name: str) -> None:
        """Take a process that has ended, or is about to end itself, out of the record."""
        del self._entries[name]
        self._write()

    def leave_dead(self, name: str) -> None:
        """Have the supervisor start a process no more."""
        self._entries[name] = replace(self._entries[name], supervised=False)
        self._write()

    def _start(self, entry: ProcessEntry) -> None:
        layout.told_to_stop(self._root, entry.name).unlink(missing_ok=True)
        try:
            with _open_log(Path(entry.log)) as output:
                child = subprocess.Popen(
                    entry.command,
                    cwd=entry.folder,
                    env={
                        **os.environ,
                        LAUNCH_VARIABLE: entry.launch,
                        NAME_VARIABLE: entry.name,
                        "PYTHONUNBUFFERED": "1",
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            started = psutil.Process(child.pid).create_time()
        except OSError as error:
            raise FailedPreconditionError(f"cannot start {entry.name} ({' '.join(entry.command)}): {error}") from error
        self._children[entry.name] = child
        self._entries[entry.name] = replace(entry, pid=child.pid, started=started)
        try:
            self._write()
        except OSError:  # a full disk: what is not in the record would be taken for dead
            child.kill()
            child.wait()
            raise

    @property
    def entries(self) -> Mapping[str, ProcessEntry]:
        """The recorded processes by name, dead or alive."""
        return self._entries

    def living(self) -> dict[str, ProcessEntry]:
        """The recorded processes that live, by name."""
        return {name: entry for name, entry in self._entries.items() if same_process(entry.pid, entry.started) is not None}

    def running(self) -> list[str]:
        """The names of all that was started, recorded or not, and lives."""
        return sorted(set(self._find(set(self._launches)).values()))

    def started_here(self, name: str) -> bool:
        """Whether it is this launcher that has started a process of that name last."""
        child = self._children.get(name)
        return child is not None and child.pid == self._entries[name].pid

    def how_it_ended(self, name: str) -> str:
        """How a process that this one started ended, in words; empty if that is not known."""
        code = self.exit_code(name)
        if code is None:
            return ""
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"

    def exit_code(self, name: str) -> int | None:
        """How a process that this one started ended; negative: the number of the signal; None if that is not known."""
        return self._children[name].poll() if self.started_here(name) else None

    def stop(self, launches: Iterable[str] | None = None) -> list[str]:
        """Stop what was started, in all launches or in some, and return the names of what lived.

        The supervisor comes first, and ZooKeeper servers last, so that nodes can sign off. SIGTERM, and SIGKILL
        after 5 seconds. Signals to this process are ignored meanwhile. Raises FailedPreconditionError if a process cannot be
        ended.
        """
        doomed = set(self._launches if launches is None else launches)
        stopped: dict[str, None] = {}
        with interruption.ignored():
            for wanted in (_is_supervisor, _is_in_between, is_server) if doomed else ():
                for _ in range(ROUNDS):
                    found = self._find(doomed, wanted)
                    stopped.update(dict.fromkeys(found.values()))
                    end(list(found))
                if left := self._find(doomed, wanted):
                    raise FailedPreconditionError(
                        f"cannot end {', '.join(f'{name} (process {one.pid})' for one, name in left.items())};"
                        " end what is left by hand, then try again"
                    )
            self._forget(doomed)
            self._write()
        return list(stopped)

    def _forget(self, launches: set[str]) -> None:
        for name in (name for name, entry in self._entries.items() if entry.launch in launches):
            layout.told_to_stop(self._root, name).unlink(missing_ok=True)
        self._launches = [launch for launch in self._launches if launch not in launches]
        self._entries = {name: entry for name, entry in self._entries.items() if entry.launch not in launches}

    def _find(self, launches: set[str], wanted: Callable[[str], bool] = lambda name: True) -> dict[psutil.Process, str]:
        """The living processes of some launches, with their names."""
        found: dict[psutil.Process, str] = {}
        for entry in self._entries.values():
            process = same_process(entry.pid, entry.started)
            if process and entry.launch in launches:
                found[process] = entry.name
        for process in psutil.process_iter():
            environment = environment_of(process)
            if environment.get(LAUNCH_VARIABLE) in launches and is_alive(process) and process.pid != os.getpid():
                found.setdefault(process, environment.get(NAME_VARIABLE, ""))
        return {process: name for process, name in found.items() if wanted(name)}

    def _end_strays(self) -> None:
        """End what was started by a launcher that was killed before it could record it, or by a process that has died."""
        living = self.living().keys() | {TERMINALS}
        end([process for process, name in self._find(set(self._launches)).items() if name not in living])

    def showing(self) -> set[str]:
        """The logs that terminals show."""
        found = self._find(set(self._launches), lambda name: name == TERMINALS)
        return {words[-1] for process in found if (words := command_of(process))}

    def read(self) -> None:
        """Read the record, which others change too. Raises FailedPreconditionError if it is damaged."""
        self._launches, self._entries = [], {}
        for child in self._children.values():
            child.poll()  # so that what has ended is no zombie
        try:
            content = json.loads(self._record.read_text(encoding="utf-8"))
            if content["root"] != str(self._root):
                return
            self._launches = list(content["launches"])
            self._entries = {entry["name"]: ProcessEntry(**entry) for entry in content["processes"]}
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            raise FailedPreconditionError(
                f"{self._record}, the record of the processes that were started, is damaged ({error});"
                " end the datacenter's processes by hand if there are any, and delete the file"
            ) from error

    def _write(self) -> None:
        if not self._launches:
            self._record.unlink(missing_ok=True)
            return
        processes = [asdict(entry) for entry in self._entries.values()]
        content = {"root": str(self._root), "launches": self._launches, "processes": processes}
        write_atomically(self._record, json.dumps(content, indent=2) + "\n")


def is_server(name: str) -> bool:
    """Whether a process is a ZooKeeper server (`zookeeper0`) and not a node (`storage-0`)."""
    return name.startswith("zookeeper") and "-" not in name


def is_node(name: str) -> bool:
    """Whether a process is a node."""
    return re.fullmatch(r".+-\d+", name) is not None


def _is_supervisor(name: str) -> bool:
    return name == SUPERVISOR


def _is_in_between(name: str) -> bool:
    return not is_server(name) and not _is_supervisor(name)


def _open_log(log: Path) -> BufferedWriter:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
    return log.open("ab")
