"""A training seen from the Device: its process, and how far it is."""

from __future__ import annotations

import enum
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from Services.ComputationalNodes.CNN.Node.training import MODULE, Options

log = logging.getLogger(__name__)

CODE_ROOT = Path(__file__).resolve().parents[4]
GRACE_S = 5.0  # between asking the process to stop and killing it


class State(enum.Enum):
    """Whether a training goes on, or how it ended."""

    RUNNING = enum.auto()
    COMPLETE = enum.auto()
    CANCELLED = enum.auto()
    FAILED = enum.auto()


@dataclass(frozen=True)
class Progress:
    """How far a training is; the figures are those of the last epoch done."""

    state: State
    epochs: int  # at the most
    epoch: int = 0  # epochs done
    accuracy: float = 0.0
    loss: float = 0.0
    validation_accuracy: float = 0.0
    validation_loss: float = 0.0
    error: str = ""  # why it failed
    read: int = 0  # files looked at, before the first epoch
    pictures: int = 0  # files there are


class Training:
    """One run of `training.py`. Safe in several threads."""

    def __init__(self, options: Options, when_complete: Callable[[], None]) -> None:
        """Start the process. Once the model is there, `when_complete` is called in another thread; then it is complete."""
        self.model = options.model
        self._progress = Progress(State.RUNNING, options.epochs)
        self._when_complete = when_complete
        self._cancelled = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE, *options.arguments()],
            cwd=CODE_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
        )
        self._follower = threading.Thread(target=self._follow, name=f"training {self.model}", daemon=True)
        self._follower.start()

    @property
    def progress(self) -> Progress:
        """How far it is by now."""
        return self._progress

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._progress.state is State.RUNNING

    def cancel(self) -> bool:
        """Stop it and wait until it has ended, a few seconds at the most. Returns whether this kept it from its end."""
        if self.running:
            self._cancelled = True
            self._process.terminate()
            try:
                self._process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
            self._follower.join()
        return self._progress.state is State.CANCELLED

    def _follow(self) -> None:
        """Follow the process until it ends. Whatever goes wrong, the training has ended then."""
        try:
            self._end(*self._read())
        except Exception as error:
            log.exception("the training of model %s cannot be followed", self.model)
            self._process.kill()
            self._fail(f"{type(error).__name__}: {error}")

    def _read(self) -> tuple[bool, str]:
        """Read what the process prints. Returns whether it is done, and what it says that went wrong."""
        assert self._process.stdout
        done, error = False, ""
        with self._process:
            for line in self._process.stdout:
                event = _event(line)
                kind = event.pop("event", None)
                if kind in {"reading", "epoch"}:
                    self._progress = replace(self._progress, **event)
                elif kind == "done":
                    done = True
                elif kind == "error":
                    error = str(event["message"])
                elif kind is None:
                    log.info("training of %s: %s", self.model, line.rstrip())
        return done, error

    def _end(self, done: bool, error: str) -> None:
        if done:
            self._when_complete()
            self._progress = replace(self._progress, state=State.COMPLETE)
            log.info("model %s is trained", self.model)
        elif self._cancelled:
            self._progress = replace(self._progress, state=State.CANCELLED)
            log.info("the training of model %s was cancelled", self.model)
        else:
            self._fail(error or f"the process of the training ended with code {self._process.returncode}; see the node's log")

    def _fail(self, error: str) -> None:
        self._progress = replace(self._progress, state=State.FAILED, error=error)
        log.warning("the training of model %s failed: %s", self.model, error)


def _event(line: str) -> dict[str, Any]:
    """The event of a line; empty for the lines that are none, such as TensorFlow's messages."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
