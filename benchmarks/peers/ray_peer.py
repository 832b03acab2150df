"""Ray's side of beside_peers.py: `.venv-peers/bin/python ray_peer.py actors|compiled`. See peer.py.

Three actors without CPUs of their own, called with references, as Ray's documentation advises for chains that shall not pass
through the driver; or the same actors in a compiled graph, its own answer to the overhead of calls (an alpha feature).
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import tempfile
import time
from collections import deque
from typing import Any

# Read when Ray is imported. It has a token of its own, since it would leave one in the user's home otherwise, and listens on
# loopback only: that is what it does where, by this switch, no other host can join it.
os.environ |= {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}

import numpy
import ray
from peer import IN_FLIGHT, WORKERS, Peer, leave_interruption_to_the_asker
from ray.dag import InputNode

STORE_BYTES = 512 << 20
BUFFER_BYTES = 16 << 20  # of a compiled graph's channel: more than the array
COMPILED_IN_FLIGHT = 10  # what a compiled graph admits


class Worker:
    """An actor's work."""

    def shift(self, value: int) -> int:
        """One bit to the left."""
        return value << 1

    def scale(self, array: numpy.ndarray) -> numpy.ndarray:
        """Every element times 1.0, in a new array."""
        return array * 1.0


class Actors(Peer):
    """References go from actor to actor; the driver waits for the last."""

    def __init__(self) -> None:
        self._actors = [ray.remote(num_cpus=0)(Worker).remote() for _ in range(WORKERS)]

    def chain(self, steps: int) -> int:
        """As Peer says."""
        return int(ray.get(self._submit(steps)))

    def rate(self, runs: int) -> float:
        """As Peer says."""
        return _rate(lambda: self._submit(3), runs, IN_FLIGHT)

    def large(self, array: numpy.ndarray, steps: int) -> None:
        """As Peer says."""
        reference = ray.put(array)
        for step in range(steps):
            reference = self._actors[step % WORKERS].scale.remote(reference)
        ray.wait([reference], fetch_local=False)

    def _submit(self, steps: int) -> Any:
        reference: Any = 1
        for step in range(steps):
            reference = self._actors[step % WORKERS].shift.remote(reference)
        return reference


class Compiled(Peer):
    """One graph at a time: an actor takes part in no more. Compiling is not measured.

    Its actors wait by asking again and again, which would take processors from all others: after a measurement it is torn down.
    """

    def __init__(self) -> None:
        self._actors = [ray.remote(num_cpus=0)(Worker).remote() for _ in range(WORKERS)]
        self._compiled: tuple[tuple[str, int], Any] | None = None

    def chain(self, steps: int) -> int:
        """As Peer says."""
        return int(ray.get(self.graph("shift", steps).execute(1)))

    def rate(self, runs: int) -> float:
        """As Peer says."""
        graph = self.graph("shift", 3)
        return _rate(lambda: graph.execute(1), runs, COMPILED_IN_FLIGHT)

    def large(self, array: numpy.ndarray, steps: int) -> None:
        """As Peer says."""
        ray.get(self.graph("scale", steps).execute(array))

    def graph(self, method: str, steps: int) -> Any:
        """The graph of a chain."""
        if self._compiled is None or self._compiled[0] != (method, steps):
            if self._compiled is not None:
                self._compiled[1].teardown()
            with InputNode() as first:
                node: Any = first
                for step in range(steps):
                    node = getattr(self._actors[step % WORKERS], method).bind(node)
            graph = node.experimental_compile(_buffer_size_bytes=BUFFER_BYTES, _max_inflight_executions=COMPILED_IN_FLIGHT)
            self._compiled = (method, steps), graph
        return self._compiled[1]

    def measured(self, work: str, numbers: list[int], array: numpy.ndarray) -> float:
        """As Peer says."""
        try:
            return super().measured(work, numbers, array)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the actors."""
        if self._compiled is not None:
            self._compiled[1].teardown()
            self._compiled = None


def main() -> None:
    leave_interruption_to_the_asker()
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray.init(
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=STORE_BYTES,
            _temp_dir=folder,
            logging_level=logging.WARNING,
        )
        logging.getLogger("ray").setLevel(logging.WARNING)  # each graph that is compiled or torn down would be told of
        try:
            peer = Compiled() if sys.argv[1] == "compiled" else Actors()
            peer.serve()
            if isinstance(peer, Compiled):
                peer.close()
        finally:
            ray.shutdown()


def _rate(submit: Any, runs: int, in_flight: int) -> float:
    start = time.perf_counter()
    flying = deque(submit() for _ in range(min(in_flight, runs)))
    for _ in range(runs - len(flying)):
        ray.get(flying.popleft())
        flying.append(submit())
    for one in flying:
        ray.get(one)
    return runs / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
