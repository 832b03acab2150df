"""Dask's side of beside_peers.py: `.venv-peers/bin/python dask_peer.py`. See peer.py.

A LocalCluster of three worker processes with a thread each, tasks submitted as futures that depend on one another: its
documented way for chains that grow at run time. Tasks are pinned to the workers in turn, as everywhere here.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import numpy
from distributed import Client, LocalCluster, wait
from peer import IN_FLIGHT, WORKERS, Peer, leave_interruption_to_the_asker


def shift(value: int) -> int:
    """One bit to the left."""
    return value << 1


def scale(array: numpy.ndarray) -> numpy.ndarray:
    """Every element times 1.0, in a new array."""
    return array * 1.0


class Dask(Peer):
    """The scheduler is in this process, where its clients reach it quickest."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._workers = sorted(client.scheduler_info()["workers"])

    def chain(self, steps: int) -> int:
        """As Peer says."""
        return int(self._submit(shift, 1, steps).result())

    def rate(self, runs: int) -> float:
        """As Peer says."""
        start = time.perf_counter()
        flying = deque(self._submit(shift, 1, 3) for _ in range(min(IN_FLIGHT, runs)))
        for _ in range(runs - len(flying)):
            flying.popleft().result()
            flying.append(self._submit(shift, 1, 3))
        for one in flying:
            one.result()
        return runs / (time.perf_counter() - start)

    def large(self, array: numpy.ndarray, steps: int) -> None:
        """As Peer says."""
        source = self._client.scatter(array, workers=[self._workers[0]], hash=False)
        wait(self._submit(scale, source, steps))

    def _submit(self, work: Any, value: Any, steps: int) -> Any:
        for step in range(steps):
            value = self._client.submit(work, value, workers=[self._workers[step % WORKERS]], pure=False)
        return value


def main() -> None:
    leave_interruption_to_the_asker()
    with (
        LocalCluster(n_workers=WORKERS, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        Dask(client).serve()


if __name__ == "__main__":
    main()
