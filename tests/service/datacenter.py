"""Directories of one datacenter for a test, and nodes listed in them; all closed when the test is over."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from types import TracebackType

from Services.fractos.directory.interface import Directory, DirectoryRecord, Member


class Datacenter:
    """Use it as an asynchronous context manager."""

    def __init__(self, record: DirectoryRecord, make: Callable[[DirectoryRecord], Directory]) -> None:
        self.record = record
        self._make = make
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Datacenter:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def open(self, *, follow: bool = True) -> Directory:
        """A directory, started."""
        directory = self._make(self.record)
        self._stack.push_async_callback(directory.close)
        await directory.start(follow=follow)
        return directory

    async def node(self, node_type: str = "math", index: int | None = None) -> tuple[Directory, Member]:
        """A directory of its own in which a node is listed, and that node."""
        directory = await self.open()
        return directory, await self.register(directory, node_type, index)

    async def register(self, directory: Directory, node_type: str = "math", index: int | None = None) -> Member:
        """List a node, which listens, in `directory`."""
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        self._stack.callback(server.close)
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return await directory.register(
            node_type, index, id=str(uuid.uuid4()), address=address, pid=os.getpid(), log="node.log"
        )

    async def process(self, index: int) -> tuple[subprocess.Popen[bytes], Member]:
        """A process of its own, listed as `math-<index>`, and its member."""
        process = _start(self.record, index)
        self._stack.callback(_end, process)
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        return process, Member(**json.loads(line))


def _start(record: DirectoryRecord, index: int) -> subprocess.Popen[bytes]:
    program = [sys.executable, "-m", "tests.service.listed_process"]
    return subprocess.Popen([*program, record.kind, record.address, record.datacenter, str(index)], stdout=subprocess.PIPE)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
