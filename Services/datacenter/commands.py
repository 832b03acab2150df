"""The commands of `run_datacenter.py`.

Exit codes: 0; 1 if something failed; 2 for a mistake in the command line or the configuration; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from Services.datacenter import checks, ensemble, launcher, layout, logs, training
from Services.datacenter.command_line import parse
from Services.datacenter.installation import find_installation
from Services.datacenter.lock import exclusive
from Services.datacenter.screen import Screen
from Services.datacenter.setup import set_up
from Services.fractos.config import CODE_ROOT, Configuration, load
from Services.fractos.errors import FailedPreconditionError, FractosError, InvalidArgumentError

INTERRUPTED = 130  # as shells report Ctrl-C
DEMO = "Applications/image_prediction_application.py"


def main(folder: Path) -> int:
    """Run the command that this process was started with, for the datacenter in `folder` unless --path names another."""
    options = parse(sys.argv[1:], folder)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup's wish is kept
            signal.signal(number, _interrupt)
    try:
        return COMMANDS[options.command](Task(options, load(options.path), Screen()))
    except InvalidArgumentError as error:
        return _fail(error, 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read our output has gone: no complaint
        return 1
    except (FractosError, OSError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing that this command started is left running", INTERRUPTED)


@dataclass(frozen=True)
class Task:
    """One command with all it needs."""

    options: argparse.Namespace
    configuration: Configuration
    screen: Screen

    @property
    def asked(self) -> Configuration:
        """The configuration with the directory that --directory asks for, or else the one that is in use."""
        if self.options.directory:
            return self.configuration.with_directory(self.options.directory)
        return launcher.as_running(self.configuration) if launcher.is_running(self.configuration) else self.configuration

    def alone(self) -> AbstractContextManager[None]:
        """Keep other launchers of this datacenter out."""
        return exclusive(layout.lock_file(self.configuration), self.screen.say)


def _set_up(task: Task) -> int:
    with task.alone():
        set_up(task.asked, task.screen)
    task.screen.say("everything is set up; start the datacenter with: python3 run_datacenter.py")
    return 0


def _up(task: Task) -> int:
    with task.alone():
        task.screen.table(launcher.up(task.asked, task.screen))
    return 0


def _down(task: Task) -> int:
    with task.alone():
        stopped = launcher.down(task.configuration)
    task.screen.say(f"stopped {', '.join(stopped)}" if stopped else "nothing was running that `up` had started")
    for name in ensemble.running_servers(task.configuration.root):
        task.screen.say(f"{name} runs on: it was started by hand; stop it with zookeeper/{name}/bin/zkServer.sh stop")
    return 0


def _status(task: Task) -> int:
    observation = launcher.observe(launcher.as_running(task.configuration))
    if task.options.json:
        print(json.dumps(observation.as_json(), indent=2))
    else:
        task.screen.table(observation)
        if observation.unready:
            task.screen.say(f"not ready: {', '.join(observation.unready)}; start what is dead with: python3 run_datacenter.py")
    return 1 if observation.unready else 0


def _logs(task: Task) -> int:
    chosen = logs.choose_logs(task.configuration, task.options.node)
    try:
        logs.show_logs(chosen, follow=task.options.follow, write=lambda line: print(line, flush=True))
    except KeyboardInterrupt:  # the way to end --follow
        return 0
    return 0


def _check(task: Task) -> int:
    right = True
    for name, passed, found in checks.check(task.asked):
        task.screen.say(f"{'ok    ' if passed else 'FAILED'}  {name:<13}  {found}")
        right = right and passed
    return 0 if right else 1


def _demo(task: Task) -> int:
    """Up, the image prediction, down; a datacenter that runs already is used and left running."""
    was_running = launcher.is_running(task.configuration)
    configuration = task.asked if was_running else _with_what_there_is(task)
    try:
        with task.alone():
            task.screen.table(launcher.up(configuration, task.screen))
        environment = {**os.environ, "MOCKDC_PATH": str(configuration.root)}  # where connect() looks
        code = subprocess.run([sys.executable, CODE_ROOT / DEMO], env=environment, check=False).returncode
    finally:
        if not was_running:
            with task.alone():
                launcher.down(configuration)
            task.screen.say("the datacenter has been stopped")
    if code:
        raise FailedPreconditionError(f"{DEMO} ended with exit code {code}; the logs are in {configuration.logs_path}")
    return 0


def _with_what_there_is(task: Task) -> Configuration:
    """Use files where the configuration, but not the command line, asks for ZooKeeper and there is none."""
    if task.asked.directory_kind == "zookeeper" and not task.options.directory:
        try:
            find_installation([task.configuration.root, CODE_ROOT], os.environ)
        except FailedPreconditionError as error:
            task.screen.say(f"{error.message}\nGoing on with the file directory instead of ZooKeeper.")
            return task.configuration.with_directory("files")
    return task.asked


def _train(task: Task) -> int:
    dataset: Path = task.options.dataset.resolve()
    if not dataset.is_dir():
        raise InvalidArgumentError(
            f"--dataset {task.options.dataset}: no such folder; give one with a folder of pictures per class"
        )
    training.train(task.configuration, dataset, task.options.model, task.screen)
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
}


def _interrupt(number: int, _: FrameType | None) -> None:
    """Ctrl-C and its like: once, since what follows is the clean-up, which has bounds of its own."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


def _fail(error: BaseException | str, code: int) -> int:
    print(f"error: {error}" if code != INTERRUPTED else error, file=sys.stderr)
    return code
