"""The command `dashboard`: opens a port, says where the page is, and serves it until Ctrl-C."""

from __future__ import annotations

import asyncio
import errno
import importlib.util
import logging
import os
import secrets
import signal
import socket
import sys
from pathlib import Path

from Services.datacenter import interruption, layout
from Services.datacenter.dashboard.doors import HOST, Doors
from Services.datacenter.screen import Screen
from Services.fractos.config import CODE_ROOT, Configuration
from Services.fractos.errors import FailedPreconditionError, PermissionDeniedError

PACKAGE = "aiohttp"
SECRET_BYTES = 16
CLOSE_S = 2.0  # how long pages may take to hang up


def run_dashboard(configuration: Configuration, port: int, screen: Screen) -> int:
    """Serve the page. Raises FailedPreconditionError if the port is taken or the server's package is missing."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise FailedPreconditionError(
            f"the dashboard needs the package {PACKAGE}; in {CODE_ROOT} type: {sys.executable} -m pip install -e '.[dashboard]'"
        )
    _check_owner(configuration.root)
    for noisy in ("kazoo", "Services.fractos.directory"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # that ZooKeeper is down is seen on the page
    with _listening(port) as listener:
        doors = Doors(listener.getsockname()[1], secrets.token_hex(SECRET_BYTES), secrets.token_hex(SECRET_BYTES))
        asyncio.run(_serve(configuration.root, doors, listener, screen))
    return 0


async def _serve(root: Path, doors: Doors, listener: socket.socket, screen: Screen) -> None:
    from aiohttp import web  # noqa: PLC0415 - an extra: the other commands go without

    from Services.datacenter.dashboard.server import Server  # noqa: PLC0415

    told_to_end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in interruption.SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, told_to_end.set)
    server = Server(root, doors)
    runner = web.AppRunner(server.application(), access_log=None, handle_signals=False, shutdown_timeout=CLOSE_S)
    await runner.setup()
    looking = asyncio.create_task(server.look())
    try:
        await web.SockSite(runner, listener).start()
        screen.say("the dashboard is at")
        screen.command(doors.address)
        screen.say("whoever has this address can kill nodes there; Ctrl-C ends it")
        ended = asyncio.create_task(told_to_end.wait())
        await asyncio.wait({ended, looking}, return_when=asyncio.FIRST_COMPLETED)
        if looking.done():
            looking.result()  # a defect: it looks until it is cancelled
    finally:
        looking.cancel()
        await server.close()
        await runner.cleanup()
        await asyncio.gather(looking, return_exceptions=True)


def _listening(port: int) -> socket.socket:
    """A socket at a port, or at a free one."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        taken = "it is taken" if error.errno == errno.EADDRINUSE else str(error.strerror)
        raise FailedPreconditionError(f"--port {port}: {taken}; give another one, or none to have a free one chosen") from error
    return listener


def _check_owner(root: Path) -> None:
    """Only who has started a datacenter may look after it: its key is that user's, and so are its processes."""
    made = layout.state(root)
    if made.exists() and (owner := made.stat().st_uid) != os.geteuid():
        raise PermissionDeniedError(f"user {owner} has started the datacenter in {root}: only that user may look after it")
