"""The form of a log's lines: how they are written, as text or JSON, what they say of a run, and how they are read again.

Written by nodes and the supervisor, read by `run_datacenter.py logs`.
"""

from __future__ import annotations

import json
import logging
import re
from datetime import datetime, timezone
from typing import Any, NamedTuple

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
FORMS = ("text", "json")
FIELDS = ("run_id", "attempt", "step", "operation")  # in this order at the end of a text line
CONTINUED = "    "  # before the further lines of an entry in a text log: none of them can be taken for an entry
ENTRY = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d{3,6}) ([A-Z]+) ")
ABOUT_RUN = re.compile(r" run_id=([0-9a-f]{32})(?: attempt=\d+)?(?: step=\d+)?(?: operation=\S+)?$")


def about(run_id: bytes, attempt: int = 0, step: int | None = None, operation: str = "") -> dict[str, Any]:
    """What a line is about, for the argument `extra` of a logger. Without a run id it is about no run."""
    if not run_id:
        return {}
    given = {"run_id": run_id.hex(), "attempt": attempt or None, "step": step, "operation": operation or None}
    return {name: value for name, value in given.items() if value is not None}


class TextFormatter(logging.Formatter):
    """`<local time> <level> <node> <logger> <message> run_id=… attempt=… step=… operation=…`; a traceback in further lines."""

    def __init__(self, node: str) -> None:
        super().__init__("%(message)s")
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """One entry."""
        time = datetime.fromtimestamp(record.created).isoformat(" ", "microseconds")
        first, *further = super().format(record).splitlines() or [""]
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        entry = f"{time} {record.levelname} {self._node} {record.name} {first}{fields}"
        return "\n".join([entry, *(f"{CONTINUED}{line}" for line in further)])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, node, logger, message, what it is about, and a traceback."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """One entry."""
        entry: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="microseconds"),
            "level": record.levelname,
            "node": self._node,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def formatter(form: str, node: str) -> logging.Formatter:
    """What writes the log of a node, in one of FORMS."""
    return JsonFormatter(node) if form == "json" else TextFormatter(node)


class Line(NamedTuple):
    """A line of a log. Without its line break."""

    at: float  # Unix time in seconds
    level: int  # of the logging module
    run_id: str  # empty: about no run
    text: str


class LineReader:
    """Reads the lines of one log in their order, whether text or JSON."""

    def __init__(self) -> None:
        self._entry = Line(0.0, logging.NOTSET, "", "")

    def read(self, text: str) -> Line:
        """Tell what a line is about. One that begins no entry, such as those of a traceback, belongs to the entry before."""
        begun = _json_entry(text) if text.startswith('{"time"') else _text_entry(text)
        self._entry = begun or self._entry
        return self._entry._replace(text=text)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name in FIELDS if (value := getattr(record, name, None)) is not None}


def _text_entry(text: str) -> Line | None:
    entry = ENTRY.match(text)
    if entry is None:
        return None
    run = ABOUT_RUN.search(text)
    at = datetime.fromisoformat(entry[1].replace(",", ".")).timestamp()
    return Line(at, _level(entry[2]), run[1] if run else "", text)


def _json_entry(text: str) -> Line | None:
    try:
        entry = json.loads(text)
        at = datetime.fromisoformat(entry["time"]).timestamp()
        return Line(at, _level(entry["level"]), entry.get("run_id", ""), text)
    except (ValueError, KeyError, TypeError):  # it only looks like one
        return None


def _level(name: str) -> int:
    return int(getattr(logging, name, logging.NOTSET))
