"""The processes that the launcher started: spawned, recorded, found again after a crash, stopped.

A process counts as the recorded one only if its start time agrees, since the system gives a process id to another process
later. Each also carries the launch it belongs to in its environment, so that one whose launcher was killed before it could be
recorded, and whatever it has started itself, are found too. The record names the folder it is about and counts for no other, so
that a copy of a datacenter's folder has no power over the processes of the first.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from io import BufferedWriter
from pathlib import Path

import psutil

from Services.datacenter import interruption, layout
from Services.fractos.config import write_atomically
from Services.fractos.errors import FailedPreconditionError

LAUNCH_VARIABLE = "MOCKDC_LAUNCH"
NAME_VARIABLE = "MOCKDC_PROCESS"
LARGEST_LOG_BYTES = 10_000_000  # a larger log is put aside when its node starts again
GRACE_S = 5.0  # how long a process may take to stop before it is killed
ROUNDS = 2  # a process may have started another while it was being stopped
POLL_S = 0.02
SAME_START_S = 2.0  # the system computes start times from its clock, which may have been set since


@dataclass(frozen=True)
class ProcessEntry:
    """One process in the record."""

    name: str  # "storage-0", "zookeeper0"
    pid: int
    started: float  # Unix time in seconds
    launch: str
    log: str


class Processes:
    """The processes of one datacenter that its launchers started. Used by one launcher at a time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._record = layout.process_record(root)
        self._launches: list[str] = []  # all that may have living processes; the last is the present one
        self._entries: dict[str, ProcessEntry] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._read()

    def begin_launch(self) -> str:
        """Record a new launch, which the processes spawned from now on belong to, and return its id. Ended ones are dropped."""
        self._forget({launch for launch in self._launches if not self._find({launch})})
        self._launches.append(uuid.uuid4().hex)
        self._write()
        return self._launches[-1]

    def environment(self, name: str) -> dict[str, str]:
        """The environment of a process of the present launch."""
        return {**os.environ, LAUNCH_VARIABLE: self._launches[-1], NAME_VARIABLE: name, "PYTHONUNBUFFERED": "1"}

    def spawn(self, name: str, command: list[str], *, log: Path, folder: Path) -> None:
        """Start a process in a session of its own, in `folder`, its output appended to `log`, and record it.

        Raises FailedPreconditionError if the system refuses.
        """
        try:
            with _open_log(log) as output:
                child = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=self.environment(name),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            started = psutil.Process(child.pid).create_time()
        except OSError as error:
            raise FailedPreconditionError(f"cannot start {name} ({' '.join(command)}): {error}") from error
        self._children[name] = child
        self._entries[name] = ProcessEntry(name, child.pid, started, self._launches[-1], str(log))
        self._write()

    @property
    def names(self) -> set[str]:
        """The names of the recorded processes, dead or alive."""
        return set(self._entries)

    def living(self) -> dict[str, ProcessEntry]:
        """The recorded processes that live, by name."""
        return {name: entry for name, entry in self._entries.items() if _living_process(entry) is not None}

    def running(self) -> list[str]:
        """The names of all that was started, recorded or not, and lives."""
        return sorted(set(self._find(set(self._launches)).values()))

    def exit_code(self, name: str) -> int | None:
        """How a process spawned by this launcher ended; negative: the number of the signal; None if that is not known."""
        child = self._children.get(name)
        return child.poll() if child else None

    def stop(self, launches: Iterable[str] | None = None) -> list[str]:
        """Stop what was started, in all launches or in some, and return the names of what lived.

        Nodes come first and ZooKeeper servers last, so that nodes can sign off. SIGTERM, and SIGKILL after 5 seconds. Signals
        to this process are ignored meanwhile. Raises FailedPreconditionError if a process cannot be ended.
        """
        doomed = set(self._launches if launches is None else launches)
        stopped: dict[str, None] = {}
        with interruption.ignored():
            for wanted in (_is_node, is_server) if doomed else ():
                for _ in range(ROUNDS):
                    found = self._find(doomed, wanted)
                    stopped.update(dict.fromkeys(found.values()))
                    _stop(list(found))
                if left := self._find(doomed, wanted):
                    raise FailedPreconditionError(
                        f"cannot end {', '.join(f'{name} (process {one.pid})' for one, name in left.items())};"
                        " end what is left by hand, then try again"
                    )
            self._forget(doomed)
            self._write()
        return list(stopped)

    def _forget(self, launches: set[str]) -> None:
        self._launches = [launch for launch in self._launches if launch not in launches]
        self._entries = {name: entry for name, entry in self._entries.items() if entry.launch not in launches}

    def _find(self, launches: set[str], wanted: Callable[[str], bool] = lambda name: True) -> dict[psutil.Process, str]:
        """The living processes of some launches, with their names."""
        found: dict[psutil.Process, str] = {}
        for entry in self._entries.values():
            process = _living_process(entry)
            if process and entry.launch in launches:
                found[process] = entry.name
        for process in psutil.process_iter():
            environment = _environment(process)
            if environment.get(LAUNCH_VARIABLE) in launches and is_alive(process) and process.pid != os.getpid():
                found.setdefault(process, environment.get(NAME_VARIABLE, ""))
        return {process: name for process, name in found.items() if wanted(name)}

    def _read(self) -> None:
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


def _is_node(name: str) -> bool:
    return not is_server(name)


def is_alive(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended but was not reaped by its parent does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pid_is_alive(pid: int) -> bool:
    """Whether a process with that id runs."""
    try:
        return is_alive(psutil.Process(pid))
    except (psutil.NoSuchProcess, ValueError):
        return False


def _living_process(entry: ProcessEntry) -> psutil.Process | None:
    try:
        process = psutil.Process(entry.pid)
        same = abs(process.create_time() - entry.started) < SAME_START_S
    except psutil.NoSuchProcess:
        return None
    return process if same and is_alive(process) else None


def _environment(process: psutil.Process) -> Mapping[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return {}


def _open_log(log: Path) -> BufferedWriter:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        log.replace(log.with_name(f"{log.name}.1"))
    return log.open("ab")


def _stop(processes: list[psutil.Process]) -> None:
    """End processes: ask, wait, kill, wait."""
    for ask in (psutil.Process.terminate, psutil.Process.kill):
        for process in processes:
            try:
                ask(process)
            except psutil.Error:  # has ended, or cannot be ended: the caller looks again
                continue
        deadline = time.monotonic() + GRACE_S
        while processes and time.monotonic() < deadline:
            processes = [process for process in processes if is_alive(process)]
            time.sleep(POLL_S)
