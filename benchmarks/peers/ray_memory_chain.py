"""Ray's side of memory_chain.py, a program of its own: `.venv-peers/bin/python ray_memory_chain.py ELEMENTS STEPS`.

Three actors multiply an array by a number, in turn, each step reading from the object store what the one before put there.
Prints "ready" once its results are right. Then every line on stdin is one round, answered with two numbers: the milliseconds
until the array was handed in, and until the last step had ended. Ends when stdin is closed.
"""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
import time
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

ACTORS = 3
STORE_BYTES = 512 << 20


class Scaler:
    """An actor's work."""

    def scale(self, array: numpy.ndarray, factor: float) -> numpy.ndarray:
        """Every element times factor."""
        return array * factor


def main() -> None:
    elements, steps = int(sys.argv[1]), int(sys.argv[2])
    array = numpy.arange(elements, dtype=numpy.float64)
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:
        ray.init(
            num_cpus=4,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=STORE_BYTES,
            _temp_dir=folder,
        )
        try:
            actors = [ray.remote(num_cpus=0)(Scaler).remote() for _ in range(ACTORS)]
            if not numpy.array_equal(ray.get(chain(actors, ray.put(array), steps, 2.0)), array * 2.0**steps):
                raise SystemExit("Ray's result is wrong")
            print("ready", flush=True)
            for _ in sys.stdin:
                print(*measured(actors, array, steps), flush=True)
        finally:
            ray.shutdown()


def measured(actors: list[Any], array: numpy.ndarray, steps: int) -> tuple[float, float]:
    """One round. The last result stays where it was made."""
    start = time.perf_counter()
    source = ray.put(array)
    handed_in = time.perf_counter()
    ray.wait([chain(actors, source, steps, 1.0)], fetch_local=False)
    return (handed_in - start) * 1e3, (time.perf_counter() - start) * 1e3


def chain(actors: list[Any], reference: Any, steps: int, factor: float) -> Any:
    """The reference of the last of so many steps over the actors in turn."""
    for step in range(steps):
        reference = actors[step % len(actors)].scale.remote(reference, factor)
    return reference


if __name__ == "__main__":
    main()
