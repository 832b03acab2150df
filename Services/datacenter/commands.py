"""The commands of `run_datacenter.py`.

Exit codes: 0; 1 if something failed; 2 for a mistake in the command line or the configuration; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

from Services.datacenter import (
    checks,
    clients,
    completion,
    download,
    ensemble,
    interruption,
    launcher,
    layout,
    logs,
    network,
    new,
    terminals,
    training,
)
from Services.datacenter.bench import command as bench
from Services.datacenter.bench import options as bench_options
from Services.datacenter.chaos.command import run_chaos
from Services.datacenter.chaos.options import Options
from Services.datacenter.command_line import make_parser, parse
from Services.datacenter.dashboard.command import run_dashboard
from Services.datacenter.drawing.command import run_graph
from Services.datacenter.lock import exclusive
from Services.datacenter.merged_logs import MergedLogs, Wanted
from Services.datacenter.models import read_models
from Services.datacenter.next_command import to_type
from Services.datacenter.observation import Observation
from Services.datacenter.processes import Processes
from Services.datacenter.screen import Screen
from Services.datacenter.setup import provide_installation
from Services.datacenter.tracing import command as tracing
from Services.datacenter.tracing.finding import LAST
from Services.fractos.config import CODE_ROOT, CONFIGURATION_FILE, Configuration, load
from Services.fractos.errors import ConfigurationError, FailedPreconditionError, FractosError, InvalidArgumentError
from Services.fractos.network_changes import read_state

INTERRUPTED = 130  # as shells report Ctrl-C
LEAVING = {"setup", "up", "down", "demo", "chaos"}  # the commands that may leave something running when they are interrupted
DEMO = "Applications/image_prediction_application.py"


def main(folder: Path) -> int:
    """Run the command that this process was started with, for the datacenter in `folder` unless --path names another."""
    options = parse(sys.argv[1:], folder)
    interruption.listen()
    try:
        return _run(Task(options, options.path.resolve(), Screen()))
    except InvalidArgumentError as error:
        return _fail(error, 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone: no complaint
        return 1
    except FractosError as error:
        return _fail(error, 1)
    except OSError as error:
        remedy = "; make room on that disk, then try again" if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
        return _fail(f"{error.filename or 'the system'}: {error.strerror or error}{remedy}", 1)


@dataclass(frozen=True)
class Task:
    """One command with all it needs."""

    options: argparse.Namespace
    root: Path  # of the datacenter
    screen: Screen

    @cached_property
    def configuration(self) -> Configuration:
        """What data_center_setup.cfg says; `down` goes without."""
        return load(self.root)

    @property
    def asked(self) -> Configuration:
        """The configuration with the directory that --directory asks for, or else the one that is in use."""
        if self.options.directory:
            return self.configuration.with_directory(self.options.directory)
        return launcher.as_running(self.configuration) if launcher.is_running(self.configuration) else self.configuration

    def fetch(self) -> None:
        """Download ZooKeeper if the command line asks for it."""
        if not self.options.download_zookeeper:
            return
        if self.asked.directory_kind != "zookeeper" or self.asked.external_directory:
            uses = self.configuration.zookeeper.hosts if self.asked.external_directory else "files"
            raise ConfigurationError(f"--download-zookeeper: this datacenter uses {uses}; leave the flag out")
        download.download(self.configuration.zookeeper, self.root, self.screen)

    def alone(self) -> AbstractContextManager[None]:
        """Keep other launchers of this datacenter out."""
        return exclusive(layout.lock_file(self.root), self.screen.say)


def _run(task: Task) -> int:
    try:
        if task.options.command not in {"down", "completion", "bench", "graph"}:
            _ = task.configuration  # now, so that a mistake in it or in --path is said before the lock file is made
        return COMMANDS[task.options.command](task)
    except KeyboardInterrupt:
        if task.options.command not in LEAVING:
            return _fail("interrupted", INTERRUPTED)
        left = Processes(task.root).running()
        state = "nothing that this command started is left running"
        if left:
            state = f"still running: {', '.join(left)}; to stop that: {to_type(task.root, 'down')}"
        return _fail(f"interrupted; {state}", INTERRUPTED)


def _set_up(task: Task) -> int:
    with task.alone():
        task.fetch()
        launcher.set_up_only(task.asked, task.screen)
    task.screen.say(f"everything is set up; start the datacenter with: {to_type(task.root)}")
    return 0


def _up(task: Task) -> int:
    terminal = terminals.choose(task.options.terminal, os.environ, on_terminal=sys.stdout.isatty())
    with task.alone():
        task.fetch()
        task.screen.table(launcher.up(task.asked, task.screen).observation)
        _warn(task)
        terminals.show(terminal, task.configuration, task.screen)
    return 0


def _down(task: Task) -> int:
    stopped = []
    if layout.state(task.root).is_dir():
        with task.alone():
            stopped = launcher.down(task.root)
    elif not (task.root / CONFIGURATION_FILE).is_file():
        load(task.root)  # says that this is no datacenter
    task.screen.say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running that `up` had started")
    for name in ensemble.running_servers(task.root):
        task.screen.say(f"{name} runs on: it was started by hand; stop it with zookeeper/{name}/bin/zkServer.sh stop")
    return 0


def _status(task: Task) -> int:
    if task.options.watch:
        return _watch_status(task)
    observation = launcher.observe(launcher.as_running(task.configuration), closely=True)
    models = read_models(layout.models(task.configuration))
    if task.options.json:
        print(json.dumps({**observation.as_json(), "models": [asdict(model) for model in models]}, indent=2))
    else:
        task.screen.status(observation, task.root)
        task.screen.models(models)
        _warn(task)
        if observation.unready:
            task.screen.say(f"not ready: {', '.join(observation.unready)}; start what is dead with: {to_type(task.root)}")
    return 1 if observation.unready else 0


def _watch_status(task: Task) -> int:
    every_s = task.options.every

    def as_text(show: Callable[[str, Observation], None]) -> Callable[[Observation], None]:
        return lambda observation: show(f"{datetime.now():%Y-%m-%d %H:%M:%S}, every {every_s:g} s until Ctrl-C", observation)

    def as_json(observation: Observation) -> None:
        print(json.dumps({"time": time.time(), **observation.as_json()}), flush=True)

    try:
        if task.options.json:
            launcher.watch(task.configuration, every_s, as_json)
        with task.screen.live_status(task.root) as show:
            launcher.watch(task.configuration, every_s, as_text(show))
    except KeyboardInterrupt:  # the way to end it
        return 0


def _warn(task: Task) -> None:
    if task.configuration.authorization == "open":
        task.screen.warn(
            "warning: authorization = open: whoever reaches a node may do anything there; for what is not an experiment, set"
            f" authorization = checked in {CONFIGURATION_FILE}"
        )
    if changes := read_state(task.configuration).changes:
        links = ", ".join(rule.link for rule in changes)
        task.screen.say(f"the emulated network was changed ({links}); see: {to_type(task.root, 'network show')}")


def _logs(task: Task) -> int:
    options = task.options
    chosen = logs.choose_logs(task.configuration, options.node)
    if options.run == LAST:
        options.run = tracing.last_run(task.configuration)
    try:
        if options.run or options.level:
            _show_merged(options, list(chosen.values()), task.root)
        else:
            logs.show_logs(chosen, follow=options.follow, write=_write_line, lines=options.lines or logs.SHOWN_LINES)
    except KeyboardInterrupt:  # the way to end --follow
        return 0
    return 0


def _show_merged(options: argparse.Namespace, paths: list[Path], root: Path) -> None:
    wanted = Wanted(options.run or "", getattr(logging, options.level or "NOTSET"))
    merged = MergedLogs(paths, wanted)
    count = merged.show(_write_line, options.lines or (None if options.run else logs.SHOWN_LINES))
    remark = Screen(sys.stderr).say  # beside what may be read by a program
    if options.run and not count:
        remark(
            f"no line of the logs is about a run {options.run}: one that goes well leaves none unless log_level = DEBUG;"
            f" what the nodes know of it: {to_type(root, f'trace {options.run}')}"
        )
    elif options.run and len(merged.run_ids) > 1:
        remark(
            f"these are {len(merged.run_ids)} runs whose ids begin or end with {options.run}; for one of them give more digits"
        )
    if options.follow:
        merged.follow(_write_line)


def _write_line(line: str) -> None:
    print(line, flush=True)


def _check(task: Task) -> int:
    right = True
    for name, passed, found in checks.check(task.asked):
        task.screen.say(f"{'ok    ' if passed else 'FAILED'}  {name:<13}  {found}", hang=23)
        right = right and passed
    return 0 if right else 1


def _demo(task: Task) -> int:
    """Up, the image prediction, down; a datacenter that runs already is used and left running."""
    terminal = terminals.choose(task.options.terminal, os.environ, on_terminal=sys.stdout.isatty())
    with task.alone():
        task.fetch()
        launch = launcher.up(_with_what_there_is(task), task.screen)
        terminals.show(terminal, task.configuration, task.screen)
    try:
        task.screen.table(launch.observation)
        environment = {**os.environ, "MOCKDC_PATH": str(task.root)}  # where connect() looks
        code = subprocess.run([sys.executable, CODE_ROOT / DEMO], env=environment, check=False).returncode
    finally:
        with task.alone():
            stopped = launcher.down(task.root, launch.id)
        if stopped:
            task.screen.say(f"stopped {', '.join(stopped)}")
    if code:
        raise FailedPreconditionError(f"{DEMO} ended with exit code {code}; the logs are in {task.configuration.logs_path}")
    return 0


def _with_what_there_is(task: Task) -> Configuration:
    """Use files where the configuration, but not the command line, asks for servers of its own and ZooKeeper cannot be had."""
    asked = task.asked
    if asked.directory_kind == "zookeeper" and not asked.external_directory and not task.options.directory:
        try:
            provide_installation(asked)
        except (FractosError, OSError) as error:
            task.screen.say(f"{error}\nGoing on with the file directory instead of ZooKeeper.")
            return task.configuration.with_directory("files")
    return asked


def _train(task: Task) -> int:
    dataset: Path = task.options.dataset.resolve()
    if not dataset.exists():
        raise InvalidArgumentError(
            f"--dataset {task.options.dataset}: no such folder or file; give one with a folder of pictures per class"
        )
    name = task.options.model
    if before := [model for model in read_models(layout.models(task.configuration)) if model.model == name]:
        task.screen.say(
            f"model {name!r} ({', '.join(before[0].classes)}) serves until this one is complete, and is then replaced;"
            " to keep both, interrupt this and give another --model NAME"
        )
    try:
        training.train(task.configuration, dataset, name, task.screen, os.environ)
    except KeyboardInterrupt:
        return _fail("interrupted; the training was cancelled and the models are as they were", INTERRUPTED)
    return 0


def _chaos(task: Task) -> int:
    return run_chaos(launcher.as_running(task.configuration), Options.of(task.options), task.screen)


def _dashboard(task: Task) -> int:
    return run_dashboard(task.configuration, task.options.port, task.screen)


def _bench(task: Task) -> int:
    return bench.run_bench(bench_options.Options.of(task.options), task.screen)


def _clients(task: Task) -> int:
    run = clients.COMMANDS[task.options.action]
    # Nobody may sweep the unfinished file of one that is added away, or complete one that is being revoked.
    with nullcontext() if task.options.action == "list" else task.alone():
        return run(task.configuration, task.options, task.screen)


def _network(task: Task) -> int:
    return network.run_network(launcher.as_running(task.configuration), task.options, task.screen)


def _runs(task: Task) -> int:
    return tracing.run_runs(task.configuration, task.options, task.screen)


def _trace(task: Task) -> int:
    return tracing.run_trace(task.configuration, task.options, task.screen)


def _graph(task: Task) -> int:
    return run_graph(task.options, task.root)


def _new(task: Task) -> int:
    return new.run_new(task.configuration, task.options, task.screen)


def _completion(task: Task) -> int:
    print(completion.script(make_parser(), task.options.shell))
    return 0


COMMANDS: dict[str, Callable[[Task], int]] = {
    "setup": _set_up,
    "up": _up,
    "down": _down,
    "status": _status,
    "logs": _logs,
    "check": _check,
    "demo": _demo,
    "train": _train,
    "chaos": _chaos,
    "dashboard": _dashboard,
    "bench": _bench,
    "clients": _clients,
    "network": _network,
    "runs": _runs,
    "trace": _trace,
    "graph": _graph,
    "new": _new,
    "completion": _completion,
}


def _fail(error: BaseException | str, code: int) -> int:
    Screen(sys.stderr).say(f"error: {error}" if code != INTERRUPTED else str(error))
    return code
