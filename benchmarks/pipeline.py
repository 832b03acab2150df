"""What a prediction costs in processes of which nothing is asked: `python benchmarks/pipeline.py [--rounds 20] [--json]`.

The floor for `bench image`. A bare application, storage and CNN process hand the image prediction on over Unix sockets, as the
nodes of a datacenter do: the picture is read and decoded in storage, named by the network, and the label written with fsync and
rename, each in a thread of its process beside uvloop. Nothing is checked, remembered, journaled or retried; there is one run at
a time and one way to go. Round by round, alternating: the work in one process, these processes, a datacenter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import queue
import statistics
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import cast

import numpy as np
import uvloop

from Services import pictures
from Services.ComputationalNodes.CNN.Node.alone import Predictor
from Services.datacenter import interruption
from Services.datacenter.bench import image
from Services.datacenter.bench.context import temporary_model
from Services.datacenter.bench.graphs import durations_ms
from Services.datacenter.bench.own_datacenter import running

HEADER = struct.Struct("<IB")  # the length of a message, and how many processes it has passed
NEXT = {"client": "application", "application": "storage", "storage": "cnn", "cnn": "storage"}
AT_A_TIME = 25
WARM_UP = 5
READY_S = 120.0  # how long the processes may take, TensorFlow among them; then BrokenBarrierError
Take = Callable[[int, bytes], None]
Work = Callable[[int, bytes], bytes]


class Stream(asyncio.Protocol):
    """One end of a connection."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._buffer = bytearray()
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Take the messages out of what came."""
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            length, passed = HEADER.unpack_from(self._buffer)
            if len(self._buffer) < (end := HEADER.size + length):
                return
            content = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            self._take(passed, content)

    def send(self, passed: int, content: bytes) -> None:
        """Send a message."""
        self._transport.write(HEADER.pack(len(content), passed) + content)


def storage(models: Path, folder: Path) -> Work:
    """Reads the picture; the second time it writes the label."""

    def work(passed: int, content: bytes) -> bytes:
        if passed == 1:
            size = image.SIDE, image.SIDE
            return np.asarray(pictures.decode((folder / image.PICTURE).read_bytes(), *size, source="")).tobytes()
        target = folder / image.LABEL
        new = target.with_suffix(".new")
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.rename(target)
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        return b""

    return work


def cnn(models: Path, folder: Path) -> Work:
    """Names the picture."""
    predictor = Predictor(models, folder / image.PICTURE, folder / image.LABEL)
    return lambda passed, content: predictor.label(np.frombuffer(content, np.uint8).reshape(image.SIDE, image.SIDE, 3)).encode()


WORK: dict[str, Callable[[Path, Path], Work]] = {"storage": storage, "cnn": cnn}


def serve(role: str, models: Path, folder: Path, ready: Barrier) -> None:
    """Be one of the processes, until it is killed."""
    work = WORK[role](models, folder) if role in WORK else None
    uvloop.run(_serve(role, work, folder, ready))


async def _serve(role: str, work: Work | None, folder: Path, ready: Barrier) -> None:
    loop = asyncio.get_running_loop()
    threads = ThreadPoolExecutor(1)
    streams: dict[str, Stream] = {}

    def take(passed: int, content: bytes) -> None:
        if work is None:  # the application: there and back
            streams["storage" if passed == 0 else "client"].send(passed + 1, content)
        else:
            threads.submit(lambda: loop.call_soon_threadsafe(send_on, passed, work(passed, content)))

    def send_on(passed: int, content: bytes) -> None:
        streams["application" if passed == 3 else NEXT[role]].send(passed + 1, content)

    def accepted() -> Stream:
        streams["client"] = Stream(take)  # of the others nothing is asked back on the same connection
        return streams["client"]

    server = await loop.create_unix_server(accepted, str(folder / role))
    await asyncio.to_thread(ready.wait)  # all listen
    for other in {"application": ("storage",), "storage": ("cnn", "application"), "cnn": ("storage",)}[role]:
        _, streams[other] = await loop.create_unix_connection(partial(Stream, take), str(folder / other))
    await asyncio.to_thread(ready.wait)  # all are connected
    await server.serve_forever()  # it would be closed if nobody held it


@contextmanager
def pipeline(models: Path, folder: Path) -> Iterator[Callable[[], None]]:
    """The bare processes, and what sends a prediction through them and waits for its end."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(4)
    roles = ("application", "storage", "cnn")
    processes = [context.Process(target=serve, args=(role, models, folder, ready), daemon=True) for role in roles]
    for process in processes:
        process.start()
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    ended: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    try:
        for _ in ("all listen", "all are connected"):
            ready.wait(READY_S)
        connecting = loop.create_unix_connection(
            lambda: Stream(lambda passed, content: ended.put(content)), str(folder / "application")
        )
        _, stream = asyncio.run_coroutine_threadsafe(connecting, loop).result()

        def predict() -> None:
            loop.call_soon_threadsafe(stream.send, 0, b"")
            ended.get()

        yield predict
    finally:
        loop.call_soon_threadsafe(loop.stop)
        for process in processes:
            process.kill()
            process.join()


def measure(rounds: int) -> dict[str, list[float]]:
    """The median time of a prediction in each round, in milliseconds, by how it was made."""
    found: dict[str, list[float]] = {"one process": [], "bare processes": [], "datacenter": []}
    with (
        temporary_model() as model,
        tempfile.TemporaryDirectory(prefix="mockdc-pipeline-") as folder,
        running(image.NODES, prepare=partial(image.prepare, models=model.folder)) as own,
        image.bare(model.folder, own) as ask,
    ):
        os.link(model.folder.parent / image.PICTURE, Path(folder) / image.PICTURE)
        with pipeline(model.folder, Path(folder)) as predict:
            through: dict[str, Callable[[int], Sequence[float]]] = {
                "one process": ask,
                "bare processes": partial(durations_ms, predict),
                "datacenter": partial(durations_ms, partial(own.connection.run, image.prediction())),
            }
            for _ in range(rounds):
                for name, take in through.items():
                    found[name].append(statistics.median(take(WARM_UP + AT_A_TIME)[WARM_UP:]))
    return found


def main() -> int:
    """Read the command line, measure, print. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=20, help="how many rounds to measure (default: %(default)s)")
    options = parser.parse_args()
    interruption.listen()  # Ctrl-C and SIGTERM stop the datacenter and the processes, too
    found = measure(options.rounds)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, values in found.items():
        ratios = [value / alone for value, alone in zip(values, found["one process"], strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4)
        print(f"{name:16}{statistics.median(values):8.2f} ms   by one process {median:5.2f} ({low:.2f}-{high:.2f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
