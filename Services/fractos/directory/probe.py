"""Whether a process is certainly dead. Used by the ZooKeeper directory, and before a revocation counts as known to all."""

from __future__ import annotations

import asyncio

from Services.fractos.directory.interface import Member

TIMEOUT_S = 0.5


async def certainly_dead(member: Member, own_address: str) -> bool:
    """Whether `member` is on the host of `own_address` and nobody listens at its address.

    The kernel closes the sockets of a process when it dies, however it dies; a paused or busy process still has its own. A
    refusal from another host proves nothing, since a firewall may send it.
    """
    same_host = member.address.rpartition(":")[0] == own_address.rpartition(":")[0]
    return same_host and await refuses(member.address)


async def refuses(address: str) -> bool:
    """Whether connections to host:port are refused. Neither silence nor any other failure is a refusal."""
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), TIMEOUT_S)
    except ConnectionRefusedError:
        return True
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    return False
