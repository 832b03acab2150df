"""Tells the log of a node each step and run, where that is asked for: `log_level = DEBUG`. Costs nothing elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from protos import fractos_pb2
from Services.fractos.events import Effect, Event
from Services.fractos.log_lines import about
from Services.fractos.watching import Kind, Watch

log = logging.getLogger(__name__)

OF_STEPS = {Kind.REQUEST_RECEIVED, Kind.STEP_DONE, Kind.STEP_FAILED, Kind.COMPLETION_RECEIVED}


class EventLog:
    """Observes a Controller."""

    def __init__(self) -> None:
        self._watch = Watch()

    def saw(self, event: Event, effects: Sequence[Effect], now: float) -> None:
        """Log what is worth telling of it."""
        for one in self._watch.told(event, effects, now):
            step, operation = (one.step, one.operation) if one.kind in OF_STEPS else (None, "")
            log.debug("%s", _text(one), extra=about(one.run_id, one.attempt, step, operation))


def is_wanted() -> bool:
    """Whether the log takes what an EventLog tells."""
    return log.isEnabledFor(logging.DEBUG)


def _text(event: fractos_pb2.NodeEvent) -> str:
    text = Kind.Kind.Name(event.kind).lower().replace("_", " ")
    if event.kind not in OF_STEPS and event.operation:
        text += f" of {event.operation}"
    if event.source:
        text += f" from {event.source}, {event.bytes} bytes"
    if event.started_at:
        text += f" after {1000 * (event.at - event.started_at):.1f} ms"
    return f"{text}: {event.detail}" if event.detail else text
