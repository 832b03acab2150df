"""What a message costs on its way, without anything of ours around it: `python benchmarks/floor.py [--rounds 10]`.

Four processes in a ring hand one message of 600 bytes on, as Requests travel, over streams that stay open. Per message: the
time, and the processor time of each process that it passes. Round by round, the variants one after the other, beside a raw
gRPC unary call (two messages), so that a slow moment of the machine hits all:

- grpc.aio as it comes; with the switches of gRPC that the project sets; on asyncio's own event loop instead of uvloop; over a
  Unix socket;
- `local_stream.py`, which channels take between nodes of one host;
- a bare socket and event loop: no framing, nothing checked. Less is not to be had from Python.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import grpc
import uvloop

from protos import fractos_pb2
from Services.datacenter.bench.raw_call import raw_call
from Services.fractos.transport.grpc_channel import OPTIONS
from Services.fractos.transport.local_stream import LocalListener, Method, open_stream
from Services.fractos.transport.streams import Outbox, Work

PROCESSES = 4
MESSAGE = b"x" * 600
LAPS = 100  # of a round
HOP = "/floor.Ring/Hop"
SWITCHES = os.environ["GRPC_EXPERIMENTS"]  # those that the project sets

Take = Callable[[bytes], None]
Send = Callable[[bytes], None]


class Variant(NamedTuple):
    """A way to hand messages on."""

    carrier: str  # grpc, local or bare
    loop: str = "uvloop"
    family: str = "tcp"
    experiments: str = SWITCHES


VARIANTS = {
    "grpc.aio as it comes": Variant("grpc", experiments=""),
    "grpc.aio with our switches": Variant("grpc"),
    "the same on asyncio's loop": Variant("grpc", loop="asyncio"),
    "the same over a Unix socket": Variant("grpc", family="unix"),
    "local_stream": Variant("local", family="unix"),
    "a bare TCP socket": Variant("bare"),
    "a bare Unix socket": Variant("bare", family="unix"),
}


class Grpc:
    """Streams of grpc.aio."""

    def __init__(self, family: str, folder: str) -> None:
        self._target = f"unix:{folder}/{os.getpid()}" if family == "unix" else "127.0.0.1:0"

    async def serve(self, take: Take) -> str:
        """Take what comes. Returns the address."""

        async def hop(requests: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
            while isinstance(message := await context.read(), bytes):
                take(message)

        self._server = grpc.aio.server(options=OPTIONS)
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {"Hop": grpc.stream_stream_rpc_method_handler(hop)}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("floor.Ring", handlers),))
        port = self._server.add_insecure_port(self._target)
        await self._server.start()
        return self._target if self._target.startswith("unix") else f"127.0.0.1:{port}"

    async def connect(self, address: str) -> Send:
        """Open the stream to the next one."""
        self._channel = grpc.aio.insecure_channel(address, OPTIONS)
        self._call: Any = self._channel.stream_stream(HOP)()

        outbox: Outbox[bytes] = Outbox(len)

        async def write(messages: list[bytes]) -> None:
            for message in messages:
                await self._call.write(message)

        def send(message: bytes) -> None:
            outbox.put(message)
            outbox.flush()

        outbox.open(write)
        return send


class Local:
    """Streams of the project between two processes of one host."""

    def __init__(self, family: str, folder: str) -> None:
        self._address = f"floor-{os.getpid()}"

    async def serve(self, take: Take) -> str:
        """Take what comes. Returns the address."""

        async def hop(requests: object, stream: Any) -> None:
            while isinstance(frames := await stream.read(), fractos_pb2.Frames):
                take(frames.frames[0])

        self._listener = LocalListener(self._address, 1 << 20)
        await self._listener.serve({HOP: Method(hop, fractos_pb2.Frames)})
        return self._address

    async def connect(self, address: str) -> Send:
        """Open the stream to the next one."""
        stream = await open_stream(address, HOP, (), fractos_pb2.Acknowledgement, 1 << 20)
        assert stream is not None

        def send(message: bytes) -> None:
            Work(stream.write(fractos_pb2.Frames(frames=[message])))

        return send


class Bare(asyncio.Protocol):
    """A socket; what comes at once is taken for one message."""

    def __init__(self, family: str, folder: str) -> None:
        self._path = f"{folder}/{os.getpid()}" if family == "unix" else ""
        self._take: Take

    def data_received(self, data: bytes) -> None:
        """Take what came."""
        self._take(data)

    async def serve(self, take: Take) -> str:
        """Take what comes. Returns the address."""
        self._take = take
        loop = asyncio.get_running_loop()
        if self._path:
            self._server = await loop.create_unix_server(lambda: self, self._path)
            return self._path
        self._server = await loop.create_server(lambda: self, "127.0.0.1", 0)
        return str(self._server.sockets[0].getsockname()[1])

    async def connect(self, address: str) -> Send:
        """Connect to the next one."""
        loop = asyncio.get_running_loop()
        if self._path:
            transport, _ = await loop.create_unix_connection(asyncio.Protocol, address)
        else:
            transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", int(address))
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return transport.write


CARRIERS: dict[str, Callable[[str, str], Any]] = {"grpc": Grpc, "local": Local, "bare": Bare}


class Process:
    """One process of a ring, as its driver sees it. It is told one line and answers one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, line: str) -> str:
        """Say something and wait for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> str:
        """Wait for what it says next."""
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise SystemExit("a process of the ring has ended; its messages are above")
        return line.strip()


class Ring:
    """The processes of one variant; the first one sends a message round and measures."""

    def __init__(self, processes: list[Process]) -> None:
        self._processes = processes
        addresses = [process.answer() for process in processes]
        for process, address in zip(processes, addresses[1:] + addresses[:1], strict=True):
            process.ask(address)
        self.measure()

    def measure(self) -> tuple[float, float]:
        """Microseconds per message: time, and processor time of a process that hands it on."""
        spent = sum(float(process.ask("spent")) for process in self._processes[1:])
        median_s = float(self._processes[0].ask("laps"))
        spent = sum(float(process.ask("spent")) for process in self._processes[1:]) - spent
        return median_s / PROCESSES * 1e6, spent / (PROCESSES - 1) / LAPS * 1e6


@contextmanager
def started(variant: Variant, folder: str) -> Iterator[Ring]:
    """Start a ring; it ends with the context."""
    environment = os.environ | {"GRPC_EXPERIMENTS": variant.experiments}
    command = [sys.executable, __file__, "--process", variant.carrier, variant.loop, variant.family, folder]
    with ExitStack() as stack:
        processes = []
        for _ in range(PROCESSES):
            process = stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            )
            stack.callback(process.kill)
            processes.append(Process(process))
        yield Ring(processes)


async def live(carrier: Any) -> None:
    """Be one process of a ring until stdin is closed."""
    loop = asyncio.get_running_loop()
    back: asyncio.Future[None] | None = None
    sends: list[Send] = []

    def take(message: bytes) -> None:
        if back is not None:
            back.set_result(None)
        else:
            sends[0](message)

    print(await carrier.serve(take), flush=True)
    lines: Callable[[], Awaitable[str]] = lambda: loop.run_in_executor(None, sys.stdin.readline)  # noqa: E731
    sends.append(await carrier.connect((await lines()).strip()))
    print("connected", flush=True)
    while line := (await lines()).strip():
        if line == "spent":
            used = resource.getrusage(resource.RUSAGE_SELF)
            print(used.ru_utime + used.ru_stime, flush=True)
            continue
        durations = []
        for _ in range(LAPS):
            back = loop.create_future()
            start = time.perf_counter()
            sends[0](MESSAGE)
            await back
            durations.append(time.perf_counter() - start)
        back = None
        print(statistics.median(durations), flush=True)
    os._exit(0)  # at once: gRPC would complain that nobody closed anything


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=10, help="how many rounds to measure (default: %(default)s)")
    parser.add_argument("--process", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.process:
        carrier, loop, family, folder = options.process
        run: Callable[[Any], None] = uvloop.run if loop == "uvloop" else asyncio.run
        run(live(CARRIERS[carrier](family, folder)))
        return 0
    rows: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="floor-"))
        raw = stack.enter_context(raw_call())
        rings = {name: stack.enter_context(started(variant, folder)) for name, variant in VARIANTS.items()}
        for _ in range(options.rounds):
            rows.setdefault("half a raw unary call", []).append((raw.median_ms(LAPS) / 2 * 1e3, 0.0))
            for name, one in rings.items():
                rows.setdefault(name, []).append(one.measure())
    figures = {
        name: {
            "median": statistics.median(us for us, _ in values),
            "lowest": min(us for us, _ in values),
            "highest": max(us for us, _ in values),
            "processor": statistics.median(spent for _, spent in values),
        }
        for name, values in rows.items()
    }
    if options.json:
        print(json.dumps(figures, indent=2))
        return 0
    print(f"{'microseconds per message':32}" + "".join(f"{column:>11}" for column in next(iter(figures.values()))))
    for name, figure in figures.items():
        print(f"{name:32}" + "".join(f"{value:11.0f}" for value in figure.values()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
