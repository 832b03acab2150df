"""Brings a datacenter up and takes it down again. The caller holds the launcher's lock."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from Services.datacenter import ensemble, layout, logs, terminals
from Services.datacenter.next_command import to_type
from Services.datacenter.observation import Observation, Observer, supervisor_status
from Services.datacenter.processes import SUPERVISOR, TERMINALS, Processes, is_server
from Services.datacenter.screen import Screen
from Services.datacenter.setup import set_up
from Services.fractos.config import CODE_ROOT, Configuration, NodeSettings, read_directory_record
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import ConfigurationError, UnavailableError

LOOK_EVERY_S = 0.05
PATIENCE_S = 5.0  # for a directory that should be there already
WATCH_PATIENCE_S = 2.0  # the same for each look of one who looks again
SHOWN_LINES = 15  # of the log of a node that did not come up


@dataclass(frozen=True)
class Launch:
    """What a call of `up` did."""

    id: str  # of the processes that it started
    observation: Observation


def set_up_only(configuration: Configuration, screen: Screen) -> None:
    """Set up what is missing. Raises ConfigurationError if the datacenter runs and is set up otherwise."""
    processes = Processes(configuration.root)
    _check_unchanged(configuration, processes)
    launch = processes.begin_launch()  # of what draws and trains, which `down` ends if this process is killed
    try:
        set_up(configuration, screen, processes.environment("set-up"))
    finally:
        processes.stop({launch})


def up(configuration: Configuration, screen: Screen) -> Launch:
    """Start what does not run yet, and return once every node of the plan is ready. Sets up what is missing.

    If a node dies or is late, and at Ctrl-C, all that this call has started is stopped. Raises ConfigurationError if the
    datacenter runs and is set up otherwise, and UnavailableError with the end of the log of what did not come up.
    """
    processes = Processes(configuration.root)
    _check_unchanged(configuration, processes)
    launch = processes.begin_launch()
    try:
        set_up(configuration, screen, processes.environment("set-up"))
        observation = _start(configuration, processes, screen)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            screen.say("stopping what was started ...")
        processes.stop({launch})
        raise
    return Launch(launch, observation)


def _start(configuration: Configuration, processes: Processes, screen: Screen) -> Observation:
    """Start what does not run yet, and wait until all is ready."""
    observation = observe(configuration)
    if not _of_plan(configuration, observation.unready):
        screen.say(f"the datacenter in {configuration.root} is running already")
    else:
        _spawn(configuration, processes, observation.dead)
        with screen.watching() as show:
            observation = asyncio.run(_until_ready(configuration, processes, show))
    _supervise(configuration, processes)
    return replace(observation, supervisor=supervisor_status(configuration, processes.living()))


def _spawn(configuration: Configuration, processes: Processes, dead: Collection[str]) -> None:
    """Start the servers and the nodes of the plan that are dead."""
    # All at once: a node tries again until ZooKeeper answers, and loading a model takes longer than electing a leader.
    any_restarts = any(controller.restart for controller in configuration.controllers)
    for server in ensemble.read_servers(configuration.root):
        if server.name in dead:
            processes.spawn(server.name, server.command, log=server.output, folder=server.folder, supervised=any_restarts)
    for node in configuration.nodes:
        if node.name in dead:
            settings = configuration.controller(node.node_type)
            processes.spawn(
                node.name,
                node_command(configuration, node),
                log=logs.node_log(configuration, node.name),
                folder=configuration.root,
                supervised=settings is not None and settings.restart,
            )


def _supervise(configuration: Configuration, processes: Processes) -> None:
    """Start the supervisor unless it runs, or has nothing to do. Last: while nodes start, their end is an error of `up`."""
    living = processes.living()
    if SUPERVISOR not in living and any(entry.supervised for entry in living.values()):
        log = logs.node_log(configuration, SUPERVISOR)
        command = [sys.executable, "-m", "Services.datacenter.supervisor", str(configuration.root), str(log)]
        command += [configuration.log.form, configuration.log.level]
        processes.spawn(SUPERVISOR, command, log=log, folder=CODE_ROOT)


def down(root: Path, launch: str | None = None) -> list[str]:
    """Stop what one launch, or else every launch, has started, also if that launcher crashed; return the names of what ran."""
    processes = Processes(root)
    stopped = processes.stop(None if launch is None else {launch})
    if not processes.showing():
        terminals.close(root)
    layout.sweep(root)
    return [name for name in stopped if name != TERMINALS]


def observe(configuration: Configuration, *, closely: bool = False) -> Observation:
    """Look at the datacenter once; `closely` as of `Observer.observe`."""

    async def look() -> Observation:
        processes = Processes(configuration.root)
        async with Observer(configuration, read_directory_record(configuration), processes) as observer:
            return await observer.observe(PATIENCE_S, closely=closely)

    return asyncio.run(look())


def watch(configuration: Configuration, every_s: float, show: Callable[[Observation], None]) -> NoReturn:
    """Look at the datacenter closely again and again until interrupted, also while it is started and stopped."""

    async def look() -> NoReturn:
        processes = Processes(configuration.root)
        while True:
            record = read_directory_record(configuration)
            async with Observer(as_running(configuration), record, processes) as observer:
                while read_directory_record(configuration) == record:
                    processes.read()
                    show(await observer.observe(WATCH_PATIENCE_S, closely=True))
                    await asyncio.sleep(every_s)

    asyncio.run(look())
    raise AssertionError("only an interruption ends this")


def is_running(configuration: Configuration) -> bool:
    """Whether anything that `up` has started lives, or a node that was started by hand under another kind of directory."""
    return bool(Processes(configuration.root).living() or _by_hand(configuration, read_directory_record(configuration)))


def as_running(configuration: Configuration) -> Configuration:
    """The configuration with the kind of directory that the datacenter was last set up or started with."""
    record = read_directory_record(configuration)
    return configuration.with_directory("files" if record.kind == "files" else "zookeeper") if record else configuration


def node_command(configuration: Configuration, node: NodeSettings) -> list[str]:
    """The command line of a node."""
    settings = configuration.controller(node.node_type)
    command = [sys.executable, str(node.controller), "-n", node.name, "--path", str(configuration.root)]
    command += ["--log", str(logs.node_log(configuration, node.name))]
    command += ["--told-to-stop", str(layout.told_to_stop(configuration.root, node.name))]
    if settings and settings.verbose:
        command.append("-v")
    if configuration.directory_kind == "zookeeper":
        command.append("-z")
    return command


def _check_unchanged(configuration: Configuration, processes: Processes) -> None:
    """Refuse to set up a running datacenter with another directory, under which its nodes could not be found."""
    record = read_directory_record(configuration)
    living = dict.fromkeys([*processes.living(), *_by_hand(configuration, record)])
    if not living:
        return
    if record is None:
        difference = f"runs, but its directory is not recorded in {configuration.service_config_path}"
    elif record.kind != configuration.directory_kind:
        difference = f"runs with directory {record.kind!r}, but {configuration.directory_kind!r} is asked for"
    elif record.kind == "zookeeper" and record.hosts != configuration.zookeeper.hosts:
        wish = configuration.zookeeper.hosts or "none: servers of its own"
        difference = f"uses ZooKeeper at {record.address}, but [ZooKeeper] hosts asks for {wish}"
    elif record.datacenter != configuration.name:
        difference = f"runs with the name {record.datacenter!r}, but {configuration.name!r} is asked for"
    else:
        return
    raise ConfigurationError(
        f"this datacenter ({', '.join(living)}) {difference}; stop it first:"
        f" `{to_type(configuration.root, 'down')}`,"
        " and Ctrl-C for what was started by hand"
    )


def _by_hand(configuration: Configuration, record: DirectoryRecord | None) -> list[str]:
    """The nodes that live under a recorded directory other than the one that the configuration asks for.

    With the same one nobody asks: whoever lives there is joined.
    """
    if record is None:
        return []
    external = configuration.external_directory
    asked = configuration.directory_kind, configuration.name, external.hosts if external else ""
    if (record.kind, record.datacenter, record.hosts) == asked:
        return []
    return [node.node for node in observe(configuration).nodes if node.pid is not None]


async def _until_ready(configuration: Configuration, processes: Processes, show: Callable[[Observation], None]) -> Observation:
    """Wait until every server and every node of the plan is ready, or one is dead or late.

    One that others had started and that ends meanwhile, as after a `down` that was killed, is started again.
    """
    deadline = time.monotonic() + configuration.start_timeout_s
    async with Observer(configuration, read_directory_record(configuration), processes) as observer:
        while True:
            observation = await observer.observe(LOOK_EVERY_S)
            show(observation)
            # A node that was started by hand may only seem dead, while the directory has not been read.
            dead = _of_plan(configuration, processes.entries.keys() & set(observation.dead))
            for name in dead:
                if how := processes.how_it_ended(name):
                    raise UnavailableError(_failure(configuration, name, f"ended {how} instead of becoming ready"))
            if gone := [name for name in dead if not processes.started_here(name)]:
                _spawn(configuration, processes, gone)
            late = _of_plan(configuration, observation.unready)
            if not late:
                return observation
            if time.monotonic() > deadline:
                what = f"did not become ready within start_timeout_s = {configuration.start_timeout_s:g} s"
                raise UnavailableError(_failure(configuration, late[0], what))
            await asyncio.sleep(LOOK_EVERY_S)


def _of_plan(configuration: Configuration, names: Iterable[str]) -> list[str]:
    """Leave out the nodes that were started by hand: nobody waits for them."""
    plan = {node.name for node in configuration.nodes}
    return [name for name in names if name in plan or is_server(name)]


def _failure(configuration: Configuration, name: str, what: str) -> str:
    """Say which node or server did not come up, and what its logs end with."""
    lines = [f"{name} {what}"]
    for path in logs.logs_of(configuration, name):
        lines.append(f"  the end of {path}:")
        lines += [f"    {line}" for line in logs.tail(path, SHOWN_LINES)]
    lines.append(
        f"  what was started has been stopped; mend the cause and try again (`{to_type(configuration.root, 'check')}` may help)"
    )
    return "\n".join(lines)
