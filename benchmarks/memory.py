"""What Memory costs: publishing and fetching 8 MiB, on one host and as a stream, and how fast a stream is.

Usage: python -m benchmarks.memory
The owner is another process, over loopback. Times are medians, with the fastest and the slowest tenth.
"""

from __future__ import annotations

import base64
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import grpc
import uvloop

from protos import fractos_pb2
from Services.fractos.memory import MemoryStore
from Services.fractos.placement import Identity
from Services.fractos.transport.grpc_channel import OPTIONS
from Services.fractos.transport.memory_fetcher import MemoryFetcher
from Services.fractos.transport.memory_passing import MemoryPassing
from Services.fractos.transport.memory_service import MemoryService
from Services.fractos.transport.memory_traffic import MemoryTraffic

VALUE_BYTES, STREAM_BYTES = 8 << 20, 256 << 20
ROUNDS, STREAM_ROUNDS = 100, 7


def main() -> None:
    if sys.argv[1:] == ["serve"]:
        uvloop.run(serve())
        return
    with subprocess.Popen([sys.executable, "-m", "benchmarks.memory", "serve"], stdout=subprocess.PIPE, text=True) as owner:
        try:
            assert owner.stdout is not None
            published = [fractos_pb2.Memory.FromString(base64.b64decode(owner.stdout.readline())) for _ in range(2)]
            uvloop.run(measure(*published))
        finally:
            owner.kill()


async def serve() -> None:
    server = grpc.aio.server(options=OPTIONS)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    store, traffic = new_store(address), MemoryTraffic()
    fetcher = MemoryFetcher(store, time.time, traffic)
    identity = Identity("benchmark", "benchmark-0", address)
    service = MemoryService(store, fetcher, identity, lambda _: 0.0, time.time, traffic, lambda _: True)
    server.add_generic_rpc_handlers((service.handler(),))
    await server.start()
    MemoryPassing(store, time.time, traffic, lambda _: 0.0).start()
    for size in (VALUE_BYTES, STREAM_BYTES):
        print(base64.b64encode(publish(store, os.urandom(size)).SerializeToString()).decode(), flush=True)
    await server.wait_for_termination()


async def measure(value: fractos_pb2.Memory, large: fractos_pb2.Memory) -> None:
    own = new_store("127.0.0.1:0")
    data = os.urandom(VALUE_BYTES)

    async def publish_and_free() -> None:
        own.free(publish(own, data).object)

    await report("publish 8 MiB", publish_and_free, ROUNDS)
    for way, streams_only in (("mapped", False), ("stream", True)):
        fetcher = MemoryFetcher(own, time.time, MemoryTraffic(), streams_only=streams_only)

        async def fetch(memory: fractos_pb2.Memory = value, fetcher: MemoryFetcher = fetcher) -> None:
            with await fetcher.fetch(memory, time.time() + 60) as view:
                sum(view.buffer[::4096])  # every page is there

        await report(f"fetch and touch 8 MiB, {way}", fetch, ROUNDS)
        if streams_only:
            median_s = await report("fetch 256 MiB, stream", lambda: fetch(large), STREAM_ROUNDS)
            print(f"{'stream':32} {STREAM_BYTES / median_s / 1e9:8.2f} GB/s")
        await fetcher.close()


async def report(name: str, action: Callable[[], Awaitable[None]], rounds: int) -> float:
    """Print how long it takes. Returns the median in seconds."""
    durations = []
    for _ in range(rounds):
        began = time.perf_counter()
        await action()
        durations.append(time.perf_counter() - began)
    durations.sort()
    median_s, tenth = statistics.median(durations), rounds // 10
    print(f"{name:32} {median_s * 1e3:8.2f} ms   ({durations[tenth] * 1e3:.2f} to {durations[-1 - tenth] * 1e3:.2f})")
    return median_s


def new_store(address: str) -> MemoryStore:
    """A store that allows everything."""
    return MemoryStore(
        address,
        1 << 30,
        check=lambda *_: None,
        issue=lambda *_: fractos_pb2.Capability(),
        randomness=os.urandom,
        clock=time.time,
    )


def publish(store: MemoryStore, data: bytes) -> fractos_pb2.Memory:
    """Keep bytes for some run."""
    return store.publish(data, run_id=b"r" * 16, began_at=0.0, expires_at=time.time() + 3600)


if __name__ == "__main__":
    main()
