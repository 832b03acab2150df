"""A slower device than the one that there is: each call waits as long as that one would take longer. Used by `device_calls.py`.

A call takes the latency more. The bytes of its request and of its response, with their Memory, are moved at the bandwidth,
which all calls of the device share in the order in which they ask for it.
"""

from __future__ import annotations

import math
import threading
import time

from Services.fractos.config import DeviceSettings
from Services.fractos.interruption import current


class DeviceModel:
    """The model of one device. `begin` and `end` are called in device threads."""

    def __init__(self, settings: DeviceSettings) -> None:
        self.parallelism = settings.parallelism  # how many calls at once; 0: as many as the Adaptor has threads
        self._latency_s = settings.latency_ms / 1e3
        self._bytes_per_s = settings.bandwidth_mb_s * 1e6 or math.inf
        self._free_at = 0.0  # when the bytes that were asked to be moved have been, by the monotonic clock
        self._lock = threading.Lock()

    @classmethod
    def of(cls, settings: DeviceSettings) -> DeviceModel | None:
        """The model; None for the device as it is."""
        return cls(settings) if settings != DeviceSettings() else None

    def begin(self, request_bytes: int) -> None:
        """Wait before a call. Raises what `Interruption.wait` raises, when its answer is not wanted any more.

        Raises DeadlineExceededError at once if its bytes would not be moved before its deadline.
        """
        self._wait(self._latency_s, request_bytes)

    def end(self, response_bytes: int) -> None:
        """Wait after a call, likewise."""
        self._wait(0.0, response_bytes)

    def _wait(self, seconds: float, size_bytes: int) -> None:
        """Wait so long, and until so many bytes more have been moved. Who does not wait to the end takes no bandwidth."""
        interruption = current()
        moving_s = size_bytes / self._bytes_per_s
        if not moving_s:
            if seconds:
                interruption.wait(seconds)
            return
        with self._lock:
            now = time.monotonic()
            begins_at = max(now, self._free_at)
            seconds += begins_at + moving_s - now
            interruption.check_time_for(seconds)
            self._free_at = begins_at + moving_s
        try:
            interruption.wait(seconds)
        except BaseException:
            with self._lock:  # else what nobody wants any more would keep the device busy, without bound
                self._free_at -= min(moving_s, max(0.0, begins_at + moving_s - time.monotonic()))
            raise
