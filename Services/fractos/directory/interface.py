"""Who is alive and where, and what is revoked: what every directory offers, whatever keeps it (ZooKeeper, or files).

Nodes register themselves; nodes, clients and the launcher read. A directory lives on one event loop: its methods are called
there and its watchers are called there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from protos import fractos_pb2


@dataclass(frozen=True)
class DirectoryRecord:
    """Which directory a datacenter uses: what `up` leaves in `<service_config_paths>/directory.json`."""

    kind: str  # "zookeeper" or "files"
    address: str  # ZooKeeper: "host:port,host:port,…[/chroot]"; files: an absolute folder
    datacenter: str  # the datacenter's name
    external: bool = False  # ZooKeeper: whether others run the servers
    username: str = ""  # ZooKeeper: who signs in there; empty: nobody
    password_file: str = ""  # absolute; the password itself is nowhere else

    @property
    def hosts(self) -> str:
        """The ZooKeeper servers of others; empty if the datacenter uses none."""
        return self.address if self.external else ""


@dataclass(frozen=True)
class Member:
    """One registered node."""

    node_type: str  # "math"
    name: str  # "math-0"
    id: str  # a fresh uuid4 per process
    sequence: int  # the lowest of a type leads
    address: str  # "host:port" of its gRPC server
    pid: int
    log: str  # its log file
    registered_at: float  # Unix time in seconds


Watcher = Callable[[tuple[Member, ...]], None]
RevocationWatcher = Callable[[tuple[fractos_pb2.Revocation, ...]], None]


class Directory(ABC):
    """One datacenter's directory. `await start()` first, `await close()` last.

    Losing the directory never makes a living node dead: while it is unreachable, `members()` keeps what was last known, and a
    node that was dropped from it registers again by itself, under the same name and id and with a new sequence number.
    """

    @abstractmethod
    async def start(self, timeout_s: float = 10.0, *, follow: bool = True) -> None:
        """Connect and read who is there. Raises UnavailableError, naming the address, if that takes longer.

        Who does not `follow` the others knows none of them, and costs the directory next to nothing when they come and go.
        """

    @abstractmethod
    async def follow(self) -> None:
        """Read who is there and follow the others from now on, as with `start(follow=True)`.

        Raises UnavailableError if the directory cannot be reached; they are followed nevertheless, once it can.
        """

    @abstractmethod
    async def prepare(self) -> None:
        """Make what nodes need in order to register; called once by the launcher, after `start()`, may be repeated.

        Raises PermissionDeniedError, naming what it may not change, if this process has not the rights.
        """

    @abstractmethod
    async def register(self, node_type: str, index: int | None, *, id: str, address: str, pid: int, log: str) -> Member:
        """List this process as `<node_type>-<index>`; without an index as the lowest that is free.

        In `log`, "{node}" stands for the name. The node's server must be listening at `address` already. The entry lasts until
        `close()` or the death of the process. The entry of a process that is certainly dead (on this host, with nobody
        listening at its address or its lock free) does not count as taken. Raises AlreadyExistsError, naming the holder's pid
        and address, if a living process has the index (another one may be tried then); FailedPreconditionError before
        `start()` or if it is registered already; UnavailableError if the directory cannot be reached.
        """

    @abstractmethod
    def members(self) -> tuple[Member, ...]:
        """All registered nodes as last seen, sorted by type, then sequence."""

    @abstractmethod
    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` with `members()` now, and again after every change."""

    @abstractmethod
    async def put_revocation(self, revocation: fractos_pb2.Revocation) -> None:
        """Keep a record for all who verify capabilities of its service, until it has expired. May be repeated.

        When this returns, `members()` has every node that was listed before the record was there, and a node that is listed
        later finds it. Raises UnavailableError if the directory cannot be reached, and then the record may be there or not;
        PermissionDeniedError if this process has not the rights.
        """

    @abstractmethod
    async def revocations(self, service: str) -> tuple[fractos_pb2.Revocation, ...]:
        """Read all records of a service, the first to expire first. A node that has registered before misses none.

        Those that expired are deleted. Raises UnavailableError if the directory cannot be reached.
        """

    @abstractmethod
    async def watch_revocations(self, service: str, watcher: RevocationWatcher) -> None:
        """As `revocations`, and call `watcher` with all that there are before this returns, then with those that are new."""

    @abstractmethod
    async def close(self) -> None:
        """Take this process's entry out and disconnect. May be called twice."""
