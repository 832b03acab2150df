"""The log of a process whose output was sent to a file, kept within a bound from inside. For nodes and the supervisor."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from Services.fractos.log_lines import formatter

LOG_BYTES = 16 << 20  # a log that has grown larger is put aside as <name>.1, in place of an older one
OWN = ("Services", "Applications", "__main__")  # the loggers whose level is asked for; what others tell below INFO is noise


@dataclass(frozen=True)
class LogSettings:
    """How a process logs."""

    form: str = "text"  # one of log_lines.FORMS
    level: str = "INFO"  # one of log_lines.LEVELS


class BoundedOutput(logging.StreamHandler):  # type: ignore[type-arg]  # no parameter at run time before Python 3.11
    """Logs to the standard error. If that is the file `path`, it is begun anew when it has grown too large.

    Whatever else the process prints, from C too, goes to the new file as well. Nothing is lost.
    """

    def __init__(self, path: Path, most_bytes: int = LOG_BYTES) -> None:
        super().__init__()
        self._path = path
        self._most_bytes = most_bytes

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record."""
        super().emit(record)
        try:
            own = os.fstat(2)
            if own.st_size >= self._most_bytes and os.path.samestat(own, self._path.stat()):
                self._begin_anew()
        except FileNotFoundError:  # someone has deleted it
            return
        except OSError:
            self.handleError(record)

    def _begin_anew(self) -> None:
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        with self._path.open("ab") as new:
            for descriptor in (1, 2):
                os.dup2(new.fileno(), descriptor)


def log_to_output(path: Path, settings: LogSettings) -> None:
    """Log to the standard error, which a launcher may have sent to the file `path`: the log of the node that it is named by."""
    begin_logging([BoundedOutput(path)], path.stem, settings)


def begin_logging(handlers: Sequence[logging.Handler], node: str, settings: LogSettings) -> None:
    """Have this process log as `node`, and in no other way."""
    level = logging.getLevelName(settings.level)
    for handler in handlers:
        handler.setFormatter(formatter(settings.form, node))
    logging.basicConfig(level=max(level, logging.INFO), handlers=handlers, force=True)
    for name in OWN:
        logging.getLogger(name).setLevel(level)
    logging.getLogger("kazoo").setLevel(max(level, logging.WARNING))
