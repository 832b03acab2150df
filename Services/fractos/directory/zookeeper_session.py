"""A ZooKeeper client for an event loop. Used by the ZooKeeper directory.

kazoo works in threads of its own. They meet the loop in one place, `ZooKeeperSession._post`: results, watch events and
changes of state all arrive on the loop through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from kazoo.client import KazooClient, TransactionRequest
from kazoo.exceptions import ConnectionLoss, NoAuthError, NodeExistsError, NoNodeError
from kazoo.protocol.states import KazooState, WatchedEvent
from kazoo.retry import KazooRetry

from Services.fractos.directory.credentials import OPEN, OWN, SHARED, Credentials, owners

SESSION_TIMEOUT_S = 6.0  # what is asked for; the servers may grant another value
SERVERS = 3  # at least as many are listed

# kazoo logs every refused connection, several a second while the servers are down; changes of state are logged here.
logger = logging.getLogger(__name__)
kazoo_logger = logger.getChild("kazoo")
kazoo_logger.setLevel(logging.ERROR)


class ZooKeeperSession:
    """A connection to ZooKeeper that comes back by itself, under a new session where the old one has expired.

    `on_connected` is called each time it is there (again): every watch is gone then and has to be set anew. `on_change` is
    called with the path of each node whose watch has fired.
    """

    def __init__(
        self,
        hosts: str,
        on_connected: Callable[[], None],
        on_change: Callable[[str], None],
        credentials: Credentials | None = None,
    ) -> None:
        """Take `hosts` as "host:port,host:port,…". Raises ValueError if they are not of that form."""
        self._credentials = credentials
        self._hosts = hosts
        self._on_connected = on_connected
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._calls: set[asyncio.Future[Any]] = set()
        # The tries grow apart by 2 % of the time that has passed: a server that comes up is found soon, a long outage is cheap.
        retry = KazooRetry(max_tries=-1, delay=0.1, backoff=1.02, max_delay=1.0, max_jitter=0.1)
        # kazoo waits for the answer to a connection request as long as a session lasts, divided by the number of servers. A
        # lone server that is just starting may accept a request and never answer it, so it is listed repeatedly.
        listed = ",".join([hosts] * -(-SERVERS // len(hosts.split(","))))
        self._client = KazooClient(
            listed,
            timeout=SESSION_TIMEOUT_S,
            connection_retry=retry,
            logger=kazoo_logger,
            auth_data=credentials.sign_in if credentials else None,
            default_acl=OWN if credentials else OPEN,
        )
        self._client.add_listener(self._hear)

    def open(self) -> None:
        """Begin to connect. Returns at once."""
        self._client.start_async()

    async def ensure(self, path: str, *, shared: bool = False) -> None:
        """Create a permanent node and those above it where they are missing; in `shared` ones everybody may create others."""
        await self._call(self._client.ensure_path_async(path, SHARED if shared and self._credentials else None))

    async def claim(self, path: str) -> None:
        """See that this process may change a node and, if it has signed in, that nobody else may."""
        if self._credentials:
            await self._call(self._client.set_acls_async(path, OWN))
        else:
            await self._call(self._client.set_async(path, b""))

    async def belongs(self, path: str) -> tuple[str, str]:
        """The nearest node to `path`, itself or above, that is there, and who may change it, in words."""
        while path:
            try:
                return path, owners((await self._call(self._client.get_acls_async(path)))[0])
            except NoAuthError:
                return path, "others"
            except NoNodeError:
                path = path.rpartition("/")[0]
        return "/", "others"

    async def create(self, path: str, content: bytes) -> None:
        """Create a permanent node, and those above it where they are missing; does nothing if it is there already."""
        with contextlib.suppress(NodeExistsError):
            await self._call(self._client.create_async(path, content, makepath=True))

    async def delete(self, path: str) -> None:
        """Delete a node; does nothing if it is gone already."""
        with contextlib.suppress(NoNodeError):
            await self._call(self._client.delete_async(path))

    async def children(self, path: str, *, watched: bool = True) -> list[str]:
        """The names of a node's children, in no order; their next change is reported if they are `watched`."""
        names: list[str] = await self._call(self._client.get_children_async(path, watch=self._watch if watched else None))
        return names

    async def exists(self, path: str) -> bool:
        """Whether a node is there; its next change is reported."""
        return await self._call(self._client.exists_async(path, watch=self._watch)) is not None

    async def content(self, path: str) -> bytes:
        """A node's content."""
        content: bytes = (await self._call(self._client.get_async(path)))[0]
        return content

    def transaction(self) -> TransactionRequest:
        """Operations to be filled in and committed together."""
        return self._client.transaction()

    async def commit(self, transaction: TransactionRequest) -> list[Any]:
        """Do all or none of the operations. Returns each one's result; after a failure each one's exception."""
        results: list[Any] = await self._call(transaction.commit_async())
        return results

    async def close(self) -> None:
        """End the session, which removes its ephemeral nodes at once, and kazoo's threads."""
        self._client.remove_listener(self._hear)
        with ThreadPoolExecutor(max_workers=1) as executor:
            await self._loop.run_in_executor(executor, self._client.stop)
        self._client.close()

    async def _call(self, result: Any) -> Any:
        """Wait for an asynchronous result of kazoo. Raises what ZooKeeper answered, or ConnectionLoss."""
        future = self._loop.create_future()
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        result.rawlink(lambda done: self._post(_settle, future, done))
        return await future

    def _hear(self, state: str) -> None:
        # Servers whose data were deleted refuse a client that has seen newer ones, for ever. To see the members as they were
        # a moment ago does no harm: the watches catch up, and names are given out by version.
        if state == KazooState.SUSPENDED:
            self._client.last_zxid = 0
        self._post(self._on_state, state)

    def _watch(self, event: WatchedEvent) -> None:
        if event.path is not None:  # else the connection was lost, which `_on_state` hears of
            self._post(self._on_change, event.path)

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed before the session: nobody is left to hear it
            self._loop.call_soon_threadsafe(function, *arguments)

    def _on_state(self, state: str) -> None:
        # kazoo fails its pending calls too, but one that is made just while a session expires it may forget. What was asked
        # before a connection is asked anew with it, so nothing is left waiting for an answer of the one before.
        for future in list(self._calls):
            if not future.done():
                future.set_exception(ConnectionLoss())
        if state == KazooState.CONNECTED:
            logger.info("connected to ZooKeeper at %s", self._hosts)
            self._on_connected()
        else:
            logger.warning("ZooKeeper at %s: %s; going on with the members last known", self._hosts, state.lower())


def _settle(future: asyncio.Future[Any], done: Any) -> None:
    if future.done():
        return
    if done.exception is None:
        future.set_result(done.value)
    else:
        future.set_exception(done.exception)
