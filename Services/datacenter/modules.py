"""Runs a module of a service in a process of its own: the launcher imports no service."""

from __future__ import annotations

import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from Services.fractos.config import CODE_ROOT
from Services.fractos.errors import FailedPreconditionError

SHOWN_LINES = 15  # of the output of a module that failed
GRACE_S = 5.0


def run_module(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    each_line: Callable[[str], None] = lambda line: None,
) -> None:
    """Run `python -m module arguments` to its end, giving each line that it prints to `each_line`.

    The process ends with this call, also if that is interrupted. Raises FailedPreconditionError with the last lines if it
    fails.
    """
    command = [sys.executable, "-m", module, *arguments]
    last: deque[str] = deque(maxlen=SHOWN_LINES)
    with subprocess.Popen(
        command, cwd=CODE_ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout
            for line in process.stdout:
                last.append(line.rstrip())
                each_line(line)
        except BaseException:
            _end(process)
            raise
    if process.returncode != 0:
        lines = "\n".join(f"    {line}" for line in last)
        raise FailedPreconditionError(
            f"`{' '.join(command)}` ended with exit code {process.returncode}; its last lines:\n{lines}"
        )


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
