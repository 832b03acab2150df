"""What one node tells the tools of others: metrics to Prometheus, and an application node its runs to OpenTelemetry.

Both are off unless they are asked for, and then their packages are not even imported. Begun and closed by `node.py`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from protos import fractos_pb2
from Services.fractos.config import CODE_ROOT, Configuration, write_atomically
from Services.fractos.controller import Controller
from Services.fractos.errors import ConfigurationError
from Services.fractos.metrics_server import MetricsServer
from Services.fractos.operations import Catalogue
from Services.fractos.tracing import Tracing, wants_traces

if TYPE_CHECKING:
    from prometheus_client.core import Metric

log = logging.getLogger(__name__)

SCRAPE_S = 5.0  # how long the event loop may take to answer a scrape
LISTEN_S = 10.0  # how long a port that is taken is tried again
LISTEN_AGAIN_S = 0.5
APPLICATION = "application"

App: TypeAlias = Callable[..., Iterable[bytes]]  # of WSGI


def check_packages(configuration: Configuration) -> None:
    """Raise ConfigurationError if metrics are asked for and their package is missing."""
    if configuration.metrics and importlib.util.find_spec("prometheus_client") is None:
        raise ConfigurationError(f"[DataCenter] metrics = on needs a package that is missing; type: {_install('metrics')}")


class Telemetry:
    """What a node has to tell with. Lives on the Controller's event loop."""

    def __init__(self, configuration: Configuration, controller: Controller, catalogue: Catalogue) -> None:
        """Nothing is told before `begin`."""
        self._configuration = configuration
        self._controller = controller
        self._catalogue = catalogue
        self._identity = controller.engine.identity
        self._found_at = configuration.metrics_path / f"{self._identity.name}.json"
        self._found = ""  # what is written there
        self._server: MetricsServer | None = None
        self._listening: asyncio.Task[None] | None = None
        self._tracing: Tracing | None = None

    async def begin(self, describe: Callable[[], fractos_pb2.NodeDescription]) -> None:
        """Begin whatever is asked for. `describe` tells the node's present state."""
        if self._configuration.metrics:
            self._begin_metrics(describe)
        else:
            self._found_at.unlink(missing_ok=True)  # a process that was killed may have left it
        if self._controller.engine.runs is not None and wants_traces(os.environ):
            self._begin_tracing()

    async def close_metrics(self) -> None:
        """Give back the port and the file, before another process may have the node's name."""
        if self._listening is not None:
            self._listening.cancel()
        if self._server is None:
            return
        with suppress(FileNotFoundError):
            if self._found_at.read_text() == self._found:  # with the port that is still held: so it is this node's own
                self._found_at.unlink()
        await asyncio.to_thread(self._server.close)

    async def close(self) -> None:
        """Tell what is left to be told, if that can be done soon, and no more."""
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)

    def _begin_metrics(self, describe: Callable[[], fractos_pb2.NodeDescription]) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app  # noqa: PLC0415 - only if asked for

        from Services.fractos.metrics import Metrics  # noqa: PLC0415

        types = frozenset({APPLICATION, *self._catalogue.node_types})
        metrics = Metrics(self._controller, describe, types)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Collector(metrics.families))
        self._controller.observers.append(metrics)
        app = make_wsgi_app(registry)
        if self._serve(app):
            self._listening = asyncio.create_task(self._serve_later(app))

    async def _serve_later(self, app: App) -> None:
        """The port may be held by the node's predecessor, for a moment. If it is for longer, the node does without metrics."""
        deadline = time.monotonic() + LISTEN_S
        while why := self._serve(app):
            if time.monotonic() >= deadline:
                log.warning(
                    "there are no metrics: %s; give another [DataCenter] metrics_port, or 0 to have the system choose", why
                )
                return
            await asyncio.sleep(LISTEN_AGAIN_S)

    def _serve(self, app: App) -> str:
        """Returns why the port cannot be had; nothing if it is."""
        host, port = self._configuration.grpc_ip, self._port()
        try:
            self._server = MetricsServer(host, port, app)
        except OSError as error:
            return f"{self._identity.name} cannot listen at {host}:{port} ({error.strerror})"
        target = f"{host}:{self._server.server_port}"
        labels = {"datacenter": self._configuration.name, "instance": self._identity.name}
        # In the form of Prometheus' file-based service discovery.
        self._found = json.dumps([{"targets": [target], "labels": labels}]) + "\n"
        write_atomically(self._found_at, self._found)
        log.info("metrics are at http://%s/metrics", target)
        return ""

    def _port(self) -> int:
        """Nodes of the plan keep theirs when they are started anew; others take what there is."""
        names = [node.name for node in self._configuration.nodes]
        first, name = self._configuration.metrics_port, self._identity.name
        return first + names.index(name) if first and name in names else 0

    def _begin_tracing(self) -> None:
        """A variable of the environment asks for it, perhaps not on this node's account: so what is missing is no error."""
        try:
            self._tracing = Tracing(self._configuration.name, self._identity.name)
        except ImportError as error:
            log.warning("no traces are sent, although the environment asks for them: %s; type: %s", error, _install("otel"))
        else:
            self._controller.observers.append(self._tracing)


class _Collector:
    """What Prometheus' thread asks, answered on the event loop."""

    def __init__(self, families: Callable[[], list[Metric]]) -> None:
        self._families = families
        self._loop = asyncio.get_running_loop()

    def collect(self) -> Iterator[Metric]:
        """Runs in a thread of the HTTP server. Raises TimeoutError if the node does not answer."""
        yield from asyncio.run_coroutine_threadsafe(self._ask(), self._loop).result(SCRAPE_S)

    async def _ask(self) -> list[Metric]:
        return self._families()


def _install(extra: str) -> str:
    return f"{sys.executable} -m pip install -e '{CODE_ROOT}[{extra}]'"
