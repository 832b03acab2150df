"""Stands between ZooKeeper and its clients: cuts a connection after the server has done what it was asked, ends a session."""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType

from kazoo.client import KazooClient

TRANSACTION = 14  # ZooKeeper's operation code of a transaction
CONNECT_BYTES = 45  # a client's first message: version, last zxid, timeout, session, password (16 bytes), read-only
GRANTED_BYTES = 37  # the answer: version, timeout, session, password, read-only


class ConnectionCutter:
    """Use it as an asynchronous context manager; clients connect to `address`."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._session = (0, b"")  # number and password of the session granted last
        self.cut_after_transaction = False  # the next one, once
        self.cuts = 0

    async def __aenter__(self) -> ConnectionCutter:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()

    async def end_session(self) -> None:
        """Have the server end the session granted last, as it does when it has not heard from the client for too long."""
        await asyncio.to_thread(_end_session, f"127.0.0.1:{self._server_port}", self._session)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        to_server.write(await client.readexactly(4 + CONNECT_BYTES))
        granted = await server.readexactly(4 + GRANTED_BYTES)
        self._session = struct.unpack(">q4x16s", granted[12:40])
        to_client.write(granted)
        answers = asyncio.create_task(_forward(server, to_client))
        try:
            while True:
                (size,) = struct.unpack(">i", header := await client.readexactly(4))
                request = await client.readexactly(size)
                if self.cut_after_transaction and request[4:8] == struct.pack(">i", TRANSACTION):
                    self.cut_after_transaction = False
                    self.cuts += 1
                    answers.cancel()
                    await asyncio.wait({answers})
                    to_server.write(header + request)
                    await server.read(1)  # the answer, which nobody will see
                    break
                to_server.write(header + request)
        except asyncio.IncompleteReadError:
            await answers  # the client closed; the server will too
        finally:
            to_server.close()
            to_client.close()


def _end_session(address: str, session: tuple[int, bytes]) -> None:
    client = KazooClient(address, client_id=session)
    client.start()
    client.stop()
    client.close()


async def _forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
