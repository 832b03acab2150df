"""What a ZooKeeper server says of itself, asked with the four-letter words at its client port. Used by `status` and `check`."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

ANSWER_S = 2.0  # how long a server may take to answer
FORBIDDEN = "is not in the whitelist"
FIGURES = re.compile(
    r"Latency min/avg/max: [\d.]+/(?P<latency_avg_ms>[\d.]+)/(?P<latency_max_ms>[\d.]+)"
    r"|Connections: (?P<connections>\d+)|Outstanding: (?P<outstanding>\d+)|Node count: (?P<znodes>\d+)"
)


@dataclass(frozen=True)
class ServerFigures:
    """How a server fares. The fields are those of `status --json`; None: it does not say."""

    latency_avg_ms: float | None = None  # of the requests since it began to serve
    latency_max_ms: float | None = None
    connections: int | None = None
    outstanding: int | None = None  # requests that wait
    znodes: int | None = None


NO_FIGURES = ServerFigures()


async def mode_of(address: str) -> str | None:
    """The mode of the server at "host:port": "leader", "follower", "observer", "standalone" or "read-only".

    "answers" if it may not tell, "starting" if it does not serve clients yet, None if nothing answers.
    """
    return (await report_of(address))[0]


async def report_of(address: str) -> tuple[str | None, ServerFigures]:
    """The mode of a server, as `mode_of` tells it, and its figures."""
    try:
        answer = await asyncio.wait_for(_ask(address, b"srvr"), ANSWER_S)
    except (OSError, asyncio.TimeoutError):
        return None, NO_FIGURES
    modes = [line.removeprefix("Mode: ") for line in answer.splitlines() if line.startswith("Mode: ")]
    return modes[0] if modes else "answers" if FORBIDDEN in answer else "starting", read_figures(answer)


def read_figures(answer: str) -> ServerFigures:
    """The figures in a server's answer to `srvr`."""
    said = {name: float(value) for match in FIGURES.finditer(answer) for name, value in match.groupdict().items() if value}
    counts = {name: int(said[name]) for name in ("connections", "outstanding", "znodes") if name in said}
    return ServerFigures(said.get("latency_avg_ms"), said.get("latency_max_ms"), **counts)


async def _ask(address: str, word: bytes) -> str:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    try:
        writer.write(word)
        return (await reader.read()).decode(errors="replace")
    finally:
        writer.close()
