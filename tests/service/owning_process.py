"""A process that serves its health and may become the owner of a folder, as told on its standard input, a word a line.

`take`: try, and print the outcome as JSON. `watch`: watch the owner. `deaf`: close the server, and at SIGUSR2 exit with 3.
`stubborn`: close the server and ignore SIGUSR2. Ends with its input.

Usage: python -m tests.service.owning_process FOLDER DATACENTER NODE
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from Services.fractos.errors import FractosError
from Services.fractos.ownership import Ownership

YIELDED = 3


async def main() -> None:
    folder, datacenter, node = sys.argv[1:]
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    ownership = Ownership(Path(folder), datacenter, address, node)
    print(json.dumps({"pid": os.getpid(), "address": address}), flush=True)
    while word := (await asyncio.to_thread(sys.stdin.readline)).strip():
        if word == "take":
            print(json.dumps(await take(ownership)), flush=True)
        elif word == "watch":
            ownership.watch()
        else:
            signal.signal(signal.SIGUSR2, signal.SIG_IGN if word == "stubborn" else lambda *_: os._exit(YIELDED))
            await server.stop(None)
            print(json.dumps({}), flush=True)
    ownership.close()
    await server.stop(None)


async def take(ownership: Ownership) -> dict[str, object]:
    try:
        outcome = await ownership.take()
    except FractosError as error:
        return {"outcome": type(error).__name__, "message": error.message}
    return {"outcome": type(outcome).__name__, **dataclasses.asdict(outcome)}


if __name__ == "__main__":
    asyncio.run(main())
