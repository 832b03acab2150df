"""What a ZooKeeper server says of itself, asked with the four-letter words at its client port. Used by `status` and `check`."""

from __future__ import annotations

import asyncio

ANSWER_S = 2.0  # how long a server may take to answer
FORBIDDEN = "is not in the whitelist"


async def mode_of(address: str) -> str | None:
    """The mode of the server at "host:port": "leader", "follower", "observer", "standalone" or "read-only".

    "answers" if it may not tell, "starting" if it does not serve clients yet, None if nothing answers.
    """
    try:
        answer = await asyncio.wait_for(_ask(address, b"srvr"), ANSWER_S)
        modes = [line.removeprefix("Mode: ") for line in answer.splitlines() if line.startswith("Mode: ")]
    except (OSError, asyncio.TimeoutError):
        return None
    return modes[0] if modes else "answers" if FORBIDDEN in answer else "starting"


async def _ask(address: str, word: bytes) -> str:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(word)
        return (await reader.read()).decode(errors="replace")
    finally:
        writer.close()
