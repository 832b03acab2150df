"""What the dashboard costs a datacenter: `python benchmarks/dashboard.py [--rounds N] [--json]`.

Three-step runs per second without a dashboard, beside one that nobody looks at, and beside one whose page is looked at,
measured in turn; a ratio is that of one round of each, one after the other. The page is a process that takes all that it is
sent, as fast as a browser draws. Exit code 1 if the unwatched dashboard costs 3 % or more in the median.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

from aiohttp import ClientSession, CookieJar
from ring import ROOT, as_text, datacenter_folder, in_rounds, throughput

from Services.datacenter.bench.graphs import ring
from Services.fractos import Datacenter, connect

RUNS = 12_000  # some seconds: the page chooses anew every second how much it is told
MOST = 0.03  # of the throughput, for a dashboard that nobody looks at
FRAME_S = 1 / 60
ALONE, UNWATCHED, WATCHED = "without a dashboard", "unwatched", "one page watched"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--rounds", type=int, default=20, help="how many rounds to measure (default: %(default)s)")
    options = parser.parse_args()
    with datacenter_folder() as folder, connect(folder, client_id="admin") as datacenter:
        figures = measure(folder, datacenter, options.rounds)
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 1 if figures[f"{UNWATCHED} / {ALONE}"]["median"] <= 1 - MOST else 0


def measure(folder: Path, datacenter: Datacenter, rounds: int) -> dict[str, dict[str, float]]:
    """Return median, lowest and highest of the rounds for each figure."""

    def take() -> dict[str, float]:
        found = {ALONE: throughput(datacenter, ring(3), RUNS)}
        with served(folder) as address:
            found[UNWATCHED] = throughput(datacenter, ring(3), RUNS)
            with watched(address):
                found[WATCHED] = throughput(datacenter, ring(3), RUNS)
        for name in (UNWATCHED, WATCHED):
            found[f"{name} / {ALONE}"] = found[name] / found[ALONE]
        return found

    return in_rounds(take, rounds, warm_up=1)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A dashboard of the datacenter in a folder; gives its address."""
    command = [sys.executable, str(ROOT / "run_datacenter.py"), "--path", str(folder), "dashboard"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(3)]
            yield re.findall(r"http://\S+", lines[1])[0]
        finally:
            process.terminate()


@contextmanager
def watched(address: str) -> Iterator[None]:
    """Have a page open, in a process of its own, that is shown what there is to see."""
    spawning = multiprocessing.get_context("spawn")
    sees = spawning.Event()
    page = spawning.Process(target=look, args=(address, sees), daemon=True)
    page.start()
    try:
        while not sees.wait(0.1):
            if not page.is_alive():
                raise SystemExit(f"the page at {address} has ended with exit code {page.exitcode}")
        yield
    finally:
        page.terminate()
        page.join()


def look(address: str, sees: Event) -> None:
    """Look at the page until this process is ended; `sees` is set once it shows nodes."""
    asyncio.run(_look(address, sees))


async def _look(address: str, sees: Event) -> None:
    origin = address.partition("/?")[0]
    async with ClientSession(headers={"Origin": origin}, cookie_jar=CookieJar(unsafe=True)) as session:  # also from an address
        await session.get(address)  # which sets the cookie
        async with session.ws_connect(f"{origin}/api/live", max_msg_size=0) as live:
            while True:
                await live.send_json({"next": True})
                message = await live.receive_json()
                if message.get("state", {}).get("up"):
                    sees.set()
                await asyncio.sleep(FRAME_S)


if __name__ == "__main__":
    raise SystemExit(main())
