"""Does faults to the processes of the datacenter, and undoes them. Used by the main thread only."""

from __future__ import annotations

import logging
import signal
import time
from dataclasses import dataclass
from types import TracebackType

from Services.datacenter.chaos.grip import Grip
from Services.datacenter.chaos.outages import Outages
from Services.datacenter.chaos.recovery import Recovery
from Services.datacenter.chaos.schedule import SERVERS, Fault, Rows, Target
from Services.datacenter.chaos.watch import Look
from Services.datacenter.observation import SERVER_ROLES, Observation
from Services.datacenter.processes import ProcessEntry, Processes, is_server

log = logging.getLogger("chaos")


@dataclass(frozen=True)
class Stopped:
    """Processes that are stopped, and until when."""

    fault: Fault
    grips: tuple[Grip, ...]
    until: float  # monotonic


class Injector:
    """The faults in force."""

    def __init__(self, processes: Processes, outages: Outages, recovery: Recovery) -> None:
        self._processes = processes
        self._outages = outages
        self._recovery = recovery
        self._rows = Rows()
        self._stopped: list[Stopped] = []

    def __enter__(self) -> Injector:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.undo()

    @property
    def in_force(self) -> list[str]:
        """What is stopped now, in words."""
        return [f"{', '.join(one.fault.targets)} stopped" for one in self._stopped]

    @property
    def silence(self) -> bool:
        """Whether all ZooKeeper servers are stopped."""
        return any(one.fault.kind == "zookeeper-all" for one in self._stopped)

    def targets(self, look: Look) -> list[Target]:
        """The processes that may be hit, as they are now."""
        self._processes.read()
        out = self._outages.now_out()
        entries = [entry for name, entry in self._processes.entries.items() if name in self._outages.names]
        return [self._target(entry, out, look.observation) for entry in entries]

    def inject(self, fault: Fault) -> bool:
        """Do it. Returns whether there was still anything to do it to."""
        number = signal.SIGSTOP if fault.lasts_s else signal.SIGKILL
        entries = [self._processes.entries[name] for name in fault.targets]
        grips = [grip for entry in entries if (grip := Grip.take(entry))]
        now = time.monotonic()
        for grip in grips:
            self._rows.hit(grip.entry.name, _lived_s(grip.entry), grip.entry.restarts)
            self._outages.begin(grip.entry.name, now, held=fault.lasts_s > 0)
        # Recorded before the first signal: if Ctrl-C comes in between, what was stopped must be known.
        stopped = Stopped(fault, tuple(grips), now + fault.lasts_s)
        self._stopped.append(stopped)
        hit = [grip for grip in grips if grip.send(number)]
        what = ", ".join(f"{grip.entry.name} (process {grip.entry.pid})" for grip in hit) or "nothing that was still there"
        log.info("%s: %s sent to %s%s", fault.kind, number.name, what, f" for {fault.lasts_s:.1f} s" if fault.lasts_s else "")
        if hit:
            self._recovery.fault(fault, now)
        if not fault.lasts_s:
            self._let_go(stopped)
        return bool(hit)

    def undo_due(self) -> None:
        """Continue what was stopped long enough."""
        for stopped in [one for one in self._stopped if time.monotonic() >= one.until]:
            self._let_go(stopped)

    def undo(self) -> None:
        """Continue whatever is stopped."""
        for stopped in list(self._stopped):
            self._let_go(stopped)

    def _let_go(self, stopped: Stopped) -> None:
        for grip in stopped.grips:
            if stopped.fault.lasts_s:
                grip.send(signal.SIGCONT)
                self._outages.let_go(grip.entry.name, time.monotonic())
            grip.close()
        self._stopped.remove(stopped)

    def _target(self, entry: ProcessEntry, out: set[str], observation: Observation) -> Target:
        watched = observation.supervisor is not None and observation.supervisor.state == "ready"
        return Target(
            name=entry.name,
            type=type_of(entry.name),
            ready=entry.name in ready_in(observation) and entry.name not in out,
            leads=entry.name in _leaders(observation),
            supervised=entry.supervised and watched,
            dead=entry.name in observation.dead and not (entry.supervised and watched),
            row=self._rows.with_one_more(entry.name, _lived_s(entry), entry.restarts),
        )


def type_of(name: str) -> str:
    """The type of a process: "storage" of storage-0."""
    return SERVERS if is_server(name) else name.rpartition("-")[0]


def ready_in(observation: Observation) -> set[str]:
    """The nodes and servers that serve."""
    serving = {one.server for one in observation.zookeeper if one.role in SERVER_ROLES}
    return serving | {one.node for one in observation.nodes if one.state == "ready"}


def _leaders(observation: Observation) -> set[str]:
    leading = {one.server for one in observation.zookeeper if one.role == "leader"}
    return leading | {one.node for one in observation.nodes if one.role == "leader"}


def _lived_s(entry: ProcessEntry) -> float:
    return time.time() - entry.started
