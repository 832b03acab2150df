"""A process that listens, registers in a directory, prints its member as JSON and then waits to be killed.

Usage: python -m tests.service.listed_process KIND ADDRESS DATACENTER INDEX
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import uuid

from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import DirectoryRecord


async def main() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    kind, address, datacenter, index = sys.argv[1:]
    directory = open_directory(DirectoryRecord(kind, address, datacenter))
    await directory.start()
    member = await directory.register(
        "math", int(index), id=str(uuid.uuid4()), address=f"127.0.0.1:{port}", pid=os.getpid(), log=""
    )
    print(json.dumps(dataclasses.asdict(member)), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
