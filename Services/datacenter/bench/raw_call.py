"""One raw gRPC unary call, client and server in a process each: the unit that latencies are divided by.

gRPC as it comes: these processes are started by the name of this file and import nothing of the project, which sets switches of
gRPC for itself. Used by `bench latency` and by benchmarks/ring.py.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc

ECHO = "/peer/Echo"


class RawCall:
    """A client and a server that wait to be asked."""

    def __init__(self, client: subprocess.Popen[str]) -> None:
        self._client = client

    def median_ms(self, calls: int) -> float:
        """Have the client call, one call after the other, and return their median duration in milliseconds."""
        return statistics.median(self.durations_ms(calls))

    def durations_ms(self, calls: int) -> list[float]:
        """Have the client call, one call after the other, and return how long each took, in milliseconds."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(f"{calls}\n")
        self._client.stdin.flush()
        return [float(duration) for duration in self._client.stdout.readline().split()]


@contextmanager
def raw_call(experiments: str | None = None) -> Iterator[RawCall]:
    """Start both processes, with these `GRPC_EXPERIMENTS`; both end with the context."""
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    if experiments is not None:
        environment["GRPC_EXPERIMENTS"] = experiments
    with _process(environment, "serve") as server:
        assert server.stdout is not None
        with _process(environment, "call", server.stdout.readline().strip()) as client:
            yield RawCall(client)


@contextmanager
def _process(environment: dict[str, str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """This file as a program; it ends when its stdin is closed."""
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.communicate()


def _first_bytes(request: bytes, context: grpc.ServicerContext) -> bytes:
    return request[:8]


def _serve() -> None:
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_first_bytes)
    server = grpc.server(futures.ThreadPoolExecutor(10))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peer", {"Echo": handler}),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


def _call(port: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        echo: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO)
        for line in sys.stdin:
            durations = []
            for _ in range(int(line)):
                start = time.perf_counter()
                echo(b"x" * 64)
                durations.append(time.perf_counter() - start)
            print(*(duration * 1e3 for duration in durations), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    else:
        _call(sys.argv[2])
