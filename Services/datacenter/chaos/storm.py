"""One chaos from its beginning to its end: load, probes and faults at the same time, then calm, then the comparison.

The main thread injects; a thread each for the watch, every client and every stream of probes.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from threading import Event

from Services.datacenter import interruption, layout
from Services.datacenter.chaos.checker import Checker, Violation
from Services.datacenter.chaos.clients import Client
from Services.datacenter.chaos.injector import Injector, ready_in, type_of
from Services.datacenter.chaos.options import Options
from Services.datacenter.chaos.outages import Outages
from Services.datacenter.chaos.preparation import learn_predictions, read_picture
from Services.datacenter.chaos.probes import Probe, works
from Services.datacenter.chaos.recovery import Recovery
from Services.datacenter.chaos.report import Report
from Services.datacenter.chaos.schedule import SERVERS, Kind, Schedule
from Services.datacenter.chaos.storage import Store
from Services.datacenter.chaos.watch import Look, Watch
from Services.datacenter.chaos.work import HOME
from Services.datacenter.chaos.workload import CLIENT, Workload
from Services.datacenter.next_command import to_type
from Services.datacenter.processes import Processes, is_node, is_server
from Services.datacenter.screen import Screen
from Services.fractos import Datacenter, FractosError, connect
from Services.fractos.config import Configuration
from Services.fractos.errors import FailedPreconditionError, InvalidArgumentError

CALM_S = 2.0  # before the first fault: what is normal
SETTLE_S = 90.0  # after the last fault: until everything must work again
TICK_S = 0.02


class Storm:
    """A chaos in one running datacenter."""

    def __init__(self, configuration: Configuration, options: Options, screen: Screen) -> None:
        """Raises FailedPreconditionError if the datacenter does not run, InvalidArgumentError for impossible faults."""
        self._configuration = configuration
        self._options = options
        self._screen = screen
        self._processes = Processes(configuration.root)
        types = {name: type_of(name) for name in self._processes.living() if is_node(name) or is_server(name)}
        self._check(types)
        self._types = set(types.values())
        self._supervised = {name for name, entry in self._processes.entries.items() if entry.supervised}
        self._schedule = Schedule(options.seed, kinds_of(options, has_servers=SERVERS in self._types), options.every_s)
        self._outages = Outages(types)
        self._checker = Checker(self._outages)
        self._recovery = Recovery(())
        self._began = time.monotonic()
        self._examples = layout.example_files(configuration) or configuration.root  # there is a storage node
        self._store = Store(secrets.token_hex(8), options.clients, self._examples.parent)

    def run(self) -> tuple[Report, bool]:
        """Run it, and return its report and whether it was interrupted.

        Raises FailedPreconditionError if something is not ready at the beginning, or is taken down meanwhile.
        """
        with Watch(self._configuration, self._tell) as watch, connect(self._configuration.root, client_id=CLIENT) as datacenter:
            if unready := watch.latest.observation.unready:
                raise FailedPreconditionError(f"not ready: {', '.join(unready)}; start it: {to_type(self._configuration.root)}")
            if left := self._store.remove_left(datacenter):
                self._screen.say(f"removed {left} files that an earlier chaos had left in storage")
            try:
                interrupted = self._rage(watch, *self._prepare(datacenter))
                with interruption.ignored():
                    self._checker.report(*self._store.compare(datacenter))
                    return self._report(), interrupted
            finally:
                with interruption.ignored():
                    self._clear(datacenter)

    def _check(self, types: dict[str, str]) -> None:
        if missing := sorted({HOME, "storage"} - set(types.values())):
            raise FailedPreconditionError(
                f"no {' and no '.join(missing)} node runs that `up` has started in {self._configuration.root};"
                f" start it: {to_type(self._configuration.root)}"
            )

    def _prepare(self, datacenter: Datacenter) -> tuple[list[Probe], list[Client]]:
        """Make the files, learn what the network answers, make what keeps the datacenter busy."""
        self._store.make(datacenter)
        predictions = {}
        if "cnn" in self._types:
            predictions = learn_predictions(datacenter, self._store, self._examples, self._screen.say)
        picture = read_picture(datacenter, next(iter(predictions))) if predictions else None
        made = works(self._types, self._store.probe_file, picture)
        self._recovery = Recovery(made.keys())
        probes = [Probe(one, work, self._recovery, self._checker, self._outages) for one, work in made.items()]
        math_nodes = [node.name for node in self._configuration.nodes if node.node_type == "math"]
        clients = []
        for number, files in enumerate(self._store.files):
            rng = Random(f"{self._options.seed} client {number}")
            workload = Workload(rng, files, self._types, predictions, math_nodes)
            clients.append(Client(workload, self._checker, self._outages, rng))
        return probes, clients

    def _rage(self, watch: Watch, probes: Sequence[Probe], clients: Sequence[Client]) -> bool:
        """Load, probes and faults; returns whether they were interrupted. Afterwards no fault is in force, and all is calm."""
        stop = Event()
        interrupted = False
        threads: list[Future[None]] = []
        # The injector undoes what is left when it is left itself: Ctrl-C may come just while faults are being undone.
        with (
            ThreadPoolExecutor(len(probes) + len(clients), "chaos") as pool,
            Injector(self._processes, self._outages, self._recovery) as injector,
        ):
            try:
                threads += [pool.submit(probe.run, self._configuration.root, stop) for probe in probes]
                threads += [pool.submit(client.run, self._configuration.root, stop) for client in clients]
                self._inject(watch, injector, threads)
            except KeyboardInterrupt:
                interrupted = True
                self._screen.say("interrupted: undoing the faults, and waiting for the last runs ...")
            finally:
                with interruption.ignored():
                    injector.undo()
                    try:
                        self._settle(watch, threads)
                    finally:
                        stop.set()
        for thread in threads:
            thread.result()
        return interrupted

    def _inject(self, watch: Watch, injector: Injector, threads: Sequence[Future[None]]) -> None:
        """One fault after the other, until the time is over."""
        self._began = time.monotonic()
        end = self._began + CALM_S + 60 * self._options.minutes
        due = self._began + CALM_S
        with self._screen.line() as show:
            while time.monotonic() < end and not any(thread.done() for thread in threads):  # what ended one is raised later
                injector.undo_due()
                if time.monotonic() >= due:
                    due += self._schedule.pause_s()
                    self._inject_one(watch.latest, injector)
                show(self._line(injector))
                time.sleep(TICK_S)

    def _inject_one(self, look: Look, injector: Injector) -> None:
        targets = injector.targets(look)
        if not targets:
            raise FailedPreconditionError("the datacenter was taken down while the chaos was at work")
        fault = self._schedule.choose(targets, time.monotonic(), silence=injector.silence)
        if fault:
            injector.inject(fault)

    def _line(self, injector: Injector) -> str:
        tally = self._checker.tally
        parts = [
            f"{time.monotonic() - self._began:.0f} of {CALM_S + 60 * self._options.minutes:.0f} s",
            f"{tally.runs:,} runs",
            f"{len(self._recovery.faults)} faults",
            f"{tally.failed.total():,} failed",
            f"{tally.violations.total():,} violations",
            *injector.in_force,
        ]
        return " · ".join(parts)

    def _settle(self, watch: Watch, threads: Sequence[Future[None]]) -> None:
        """Wait until everything works again, while the load goes on. What does not is a violation."""
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            unready = self._unready()
            if not (unready or self._recovery.open()) or not self._processes.entries or any(one.done() for one in threads):
                return
            _ = watch.latest  # raises what has ended the watch
            time.sleep(TICK_S)
        waited = f"{SETTLE_S:.0f} s after the last fault"
        self._checker.report(*(Violation("wrong", f"{name} is not ready {waited}") for name in self._unready()))
        for one in self._recovery.open():
            what = f"{one.fault.kind} of {', '.join(one.fault.targets)}"
            needed = ", ".join(sorted(one.awaited))
            self._checker.report(Violation("lost", f"no run that needs {needed} has succeeded since the {what}"))

    def _unready(self) -> list[str]:
        """What was hit and is not ready again, but for what nobody was to start again."""
        self._processes.read()
        return sorted(self._outages.now_out() & (self._supervised | self._processes.living().keys()))

    def _report(self) -> Report:
        return Report(
            seed=self._options.seed,
            clients=self._options.clients,
            began=self._began,
            ended=time.monotonic(),
            tally=self._checker.tally,
            violations=self._checker.violations,
            faults=self._recovery.faults,
            normal_s=self._recovery.normal_s(),
        )

    def _clear(self, datacenter: Datacenter) -> None:
        try:
            self._store.remove(datacenter)
        except FractosError as error:
            self._screen.say(f"the files of this chaos stay in storage until the next one: {error.message}")

    def _tell(self, look: Look) -> None:
        for name in ready_in(look.observation) & self._outages.now_out():
            self._outages.end(name, look.began)


def kinds_of(options: Options, *, has_servers: bool) -> tuple[Kind, ...]:
    """The kinds of fault to choose from. Raises InvalidArgumentError for one that cannot be."""
    if options.faults and not has_servers and (missing := [kind for kind in options.faults if kind.startswith("zookeeper")]):
        raise InvalidArgumentError(f"--faults {missing[0]}: `up` has started no ZooKeeper server here; leave it out")
    return options.faults or (("kill", "stop", "zookeeper") if has_servers else ("kill", "stop"))
