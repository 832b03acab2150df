"""A real ZooKeeper server for tests, on 127.0.0.1 only."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from Services.datacenter.installation import Installation, find_installation
from Services.fractos.errors import FailedPreconditionError

ROOT = Path(__file__).parent.parent
SESSION_TIMEOUT_S = 3.0  # what the server grants at the most, whatever a client asks for
START_TIMEOUT_S = 60.0


class ZooKeeperServer:
    """One standalone server whose data lie in `folder`. It keeps its port over restarts."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self._installation = installation
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> ZooKeeperServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Start the server and wait until it serves. Where another process got the port first, it takes another one."""
        self.launch()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._serves():
            if self._process is None or self._process.poll() is not None:
                if "Address already in use" not in self._log.read_text():
                    raise RuntimeError(f"ZooKeeper ended:\n{self._log.read_text()}")
                self.port = _free_port()
                self.launch()
            if time.monotonic() > deadline:
                raise RuntimeError(f"ZooKeeper does not serve:\n{self._log.read_text()}")
            time.sleep(0.02)

    def launch(self) -> None:
        """Start the server without waiting."""
        self._folder.mkdir(parents=True, exist_ok=True)
        configuration = self._folder / "zoo.cfg"
        settings = {
            "dataDir": self._folder / "data",
            "clientPort": self.port,
            "clientPortAddress": "127.0.0.1",
            "tickTime": 500,
            "maxSessionTimeout": round(SESSION_TIMEOUT_S * 1000),
            "maxClientCnxns": 0,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "srvr",
        }
        configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        quick = ["-Xmx128m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dzookeeper.forceSync=no"]
        main = "org.apache.zookeeper.server.ZooKeeperServerMain"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [self._installation.java, *quick, "-cp", self._installation.classpath, main, configuration],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kill the server as `kill -9` does. Its data stay."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def forget(self) -> None:
        """Delete the data of a server that is not running."""
        shutil.rmtree(self._folder / "data")

    def pause(self) -> None:
        """Let the server stand still; its connections stay open."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End a pause."""
        self._signal(signal.SIGCONT)

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _serves(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"srvr")
                return b"Mode: standalone" in b"".join(iter(lambda: connection.recv(4096), b""))
        except OSError:
            return False


def find_zookeeper() -> Installation:
    """ZooKeeper as installed here. Where it is missing the test is skipped, but fails where CI runs."""
    try:
        return find_installation([ROOT], os.environ)
    except FailedPreconditionError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def zookeeper_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServer]:
    """One server for all tests; each takes a datacenter name of its own."""
    with ZooKeeperServer(find_zookeeper(), tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.fixture
def own_zookeeper_server(tmp_path: Path) -> Iterator[ZooKeeperServer]:
    """A server for one test, which may pause, kill and restart it."""
    with ZooKeeperServer(find_zookeeper(), tmp_path / "zookeeper") as server:
        yield server


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
