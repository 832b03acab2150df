"""A node for the tests of the launcher: a real gRPC server that lists itself and serves health, without a device.

Environment variables, each with the name of a node: SMALL_NODE_FAIL ends it at once, SMALL_NODE_FAIL_AGAIN at every start but
the first, SMALL_NODE_HANG never starts it, SMALL_NODE_REFUSE has it revoke nothing and take no other links.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import uuid
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.config import load, read_directory_record
from Services.fractos.directory import open_directory


class Capabilities(fractos_pb2_grpc.CapabilitiesServicer):
    """Writes down what it was told to revoke, a line each: the node's name, and the service and client of the root."""

    def __init__(self, name: str, root: Path) -> None:
        self._name = name
        self._told = root / "revoked"

    async def Revoke(self, request: Any, context: Any) -> fractos_pb2.RevokeResponse:
        if os.environ.get("SMALL_NODE_REFUSE") == self._name:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "storage-1 could not be told; try again")
        root = fractos_pb2.Link.FromString(request.capability.links[0])
        with self._told.open("a") as file:
            file.write(f"{self._name} {root.service} {root.client_id}\n")
        return fractos_pb2.RevokeResponse()


class Network(fractos_pb2_grpc.NetworkServicer):
    """Writes down what it was told of the emulated links, a line each: the node's name, and the rules."""

    def __init__(self, name: str, root: Path) -> None:
        self._name = name
        self._told = root / "links"

    async def Shape(self, request: Any, context: Any) -> fractos_pb2.ShapeResponse:
        if os.environ.get("SMALL_NODE_REFUSE") == self._name:
            await context.abort(grpc.StatusCode.INTERNAL, "it does not want to")
        links = ", ".join(f"{rule.source}->{rule.target} {rule.latency_ms:g}" for rule in request.rules)
        with self._told.open("a") as file:
            file.write(f"{self._name}: {links}\n")
        return fractos_pb2.ShapeResponse()


async def live(name: str, root: Path, log: str, told_to_stop: Path | None) -> None:
    stop = asyncio.Event()

    def end() -> None:
        stop.set()
        if told_to_stop:
            told_to_stop.touch()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    configuration = load(root)
    record = read_directory_record(configuration)
    assert record
    server = grpc.aio.server()
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    fractos_pb2_grpc.add_CapabilitiesServicer_to_server(Capabilities(name, root), server)
    fractos_pb2_grpc.add_NetworkServicer_to_server(Network(name, root), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    directory = open_directory(record)
    await directory.start(60)
    node_type, _, index = name.rpartition("-")
    address = f"127.0.0.1:{port}"
    await directory.register(node_type, int(index), id=str(uuid.uuid4()), address=address, pid=os.getpid(), log=log)
    print(f"{name} serves at {address}", flush=True)
    await stop.wait()
    await directory.close()
    await server.stop(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", dest="name", required=True)
    parser.add_argument("--path", type=Path, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--told-to-stop", type=Path)
    parser.add_argument("-v", action="store_true")
    parser.add_argument("-z", action="store_true")
    options = parser.parse_args()
    if os.environ.get("SMALL_NODE_FAIL") == options.name:
        sys.exit(f"{options.name} was told to fail")
    if os.environ.get("SMALL_NODE_FAIL_AGAIN") == options.name and options.told_to_stop.with_suffix(".before").exists():
        sys.exit(f"{options.name} was told to fail at its second start")
    if "SMALL_NODE_FAIL_AGAIN" in os.environ:
        options.told_to_stop.with_suffix(".before").touch()
    if os.environ.get("SMALL_NODE_HANG") == options.name:
        signal.pause()
    asyncio.run(live(options.name, options.path, options.log, options.told_to_stop))


if __name__ == "__main__":
    main()
