"""Raw gRPC beside the project: `.venv-peers/bin/python grpc_peer.py sync|aio`. See peer.py.

What somebody writes who needs no more than three servers: a client in the middle that calls one after the other, with the
value in the messages. Nothing is checked, recorded or repeated. With the synchronous stack, or with grpc.aio at both ends.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc
import numpy
from peer import IN_FLIGHT, WORKERS, Peer, leave_interruption_to_the_asker

OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
SHIFT, SCALE = "/peer/Shift", "/peer/Scale"
THREADS = 16  # of the client, for runs at the same time


def shift(value: bytes) -> bytes:
    """One bit to the left."""
    return (int.from_bytes(value, "big") << 1).to_bytes(16, "big")


def scale(data: bytes) -> bytes:
    """Every element times 1.0."""
    return (numpy.frombuffer(data) * 1.0).tobytes()


class Synchronous(Peer):
    """Blocking stubs; several runs at a time take a thread each."""

    def __init__(self, addresses: list[str], stack: ExitStack) -> None:
        channels = [stack.enter_context(grpc.insecure_channel(address, OPTIONS)) for address in addresses]
        self._shifts: list[Any] = [channel.unary_unary(SHIFT) for channel in channels]
        self._scales: list[Any] = [channel.unary_unary(SCALE) for channel in channels]
        self._threads = stack.enter_context(futures.ThreadPoolExecutor(THREADS))

    def chain(self, steps: int) -> int:
        """As Peer says."""
        value = b"\1"
        for step in range(steps):
            value = self._shifts[step % WORKERS](value)
        return int.from_bytes(value, "big")

    def rate(self, runs: int) -> float:
        """As Peer says."""
        start = time.perf_counter()
        list(self._threads.map(lambda _: self.chain(3), range(runs)))
        return runs / (time.perf_counter() - start)

    def large(self, array: numpy.ndarray, steps: int) -> None:
        """As Peer says."""
        data = array.tobytes()
        for step in range(steps):
            data = self._scales[step % WORKERS](data)


class Asynchronous(Peer):
    """grpc.aio stubs; several runs at a time are tasks."""

    def __init__(self, addresses: list[str], stack: ExitStack) -> None:
        self._loop = asyncio.new_event_loop()
        stack.callback(self._loop.close)
        self._loop.run_until_complete(self._connect(addresses))

    def chain(self, steps: int) -> int:
        """As Peer says."""
        return self._loop.run_until_complete(self._chain(steps))

    def rate(self, runs: int) -> float:
        """As Peer says."""
        return self._loop.run_until_complete(self._rate(runs))

    def large(self, array: numpy.ndarray, steps: int) -> None:
        """As Peer says."""
        self._loop.run_until_complete(self._large(array.tobytes(), steps))

    async def _connect(self, addresses: list[str]) -> None:
        channels = [grpc.aio.insecure_channel(address, OPTIONS) for address in addresses]
        self._shifts: list[Any] = [channel.unary_unary(SHIFT) for channel in channels]
        self._scales: list[Any] = [channel.unary_unary(SCALE) for channel in channels]

    async def _chain(self, steps: int) -> int:
        value = b"\1"
        for step in range(steps):
            value = await self._shifts[step % WORKERS](value)
        return int.from_bytes(value, "big")

    async def _rate(self, runs: int) -> float:
        room = asyncio.Semaphore(IN_FLIGHT)

        async def one() -> None:
            async with room:
                await self._chain(3)

        start = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(runs)))
        return runs / (time.perf_counter() - start)

    async def _large(self, data: bytes, steps: int) -> None:
        for step in range(steps):
            data = await self._scales[step % WORKERS](data)


def _handlers(asynchronous: bool) -> grpc.GenericRpcHandler:
    def handler(work: Callable[[bytes], bytes]) -> grpc.RpcMethodHandler[bytes, bytes]:
        async def later(request: bytes, context: object) -> bytes:
            return work(request)

        return grpc.unary_unary_rpc_method_handler(later if asynchronous else lambda request, context: work(request))

    return grpc.method_handlers_generic_handler("peer", {"Shift": handler(shift), "Scale": handler(scale)})


def _serve() -> None:
    server = grpc.server(futures.ThreadPoolExecutor(10), options=OPTIONS)
    server.add_generic_rpc_handlers((_handlers(asynchronous=False),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


async def _serve_asynchronously() -> None:
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((_handlers(asynchronous=True),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


@contextmanager
def _server(kind: str) -> Iterator[str]:
    """A server in a process of its own: its address. It ends with the context."""
    command = [sys.executable, __file__, kind, "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"127.0.0.1:{process.stdout.readline().strip()}"  # type: ignore[union-attr]
        finally:
            process.communicate()


def main() -> None:
    leave_interruption_to_the_asker()
    kind = sys.argv[1]
    if sys.argv[2:] == ["serve"]:
        asyncio.run(_serve_asynchronously()) if kind == "aio" else _serve()
        return
    with ExitStack() as stack:
        addresses = [stack.enter_context(_server(kind)) for _ in range(WORKERS)]
        (Asynchronous if kind == "aio" else Synchronous)(addresses, stack).serve()


if __name__ == "__main__":
    main()
