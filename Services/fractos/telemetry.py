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
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

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
APPLICATION = "application"


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
        self._server: MetricsServer | None = None
        self._tracing: Tracing | None = None

    async def begin(self, describe: Callable[[], fractos_pb2.NodeDescription]) -> None:
        """Begin whatever is asked for. `describe` tells the node's present state.

        Raises ConfigurationError if the port for metrics cannot be had.
        """
        if self._configuration.metrics:
            self._serve_metrics(describe)
        else:
            self._found_at.unlink(missing_ok=True)  # a process that was killed may have left it
        if self._controller.engine.runs is not None and wants_traces(os.environ):
            self._begin_tracing()

    async def close(self) -> None:
        """Tell what is left to be told, if that can be done soon, and no more."""
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close)
        if self._server is not None:
            self._found_at.unlink(missing_ok=True)
            await asyncio.to_thread(self._server.close)

    def _serve_metrics(self, describe: Callable[[], fractos_pb2.NodeDescription]) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app  # noqa: PLC0415 - only if asked for

        from Services.fractos.metrics import Metrics  # noqa: PLC0415

        types = frozenset({APPLICATION, *self._catalogue.node_types})
        metrics = Metrics(self._controller, describe, types)
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Collector(metrics.families))
        host, port = self._configuration.grpc_ip, self._port()
        try:
            server = MetricsServer(host, port, make_wsgi_app(registry))
        except OSError as error:
            raise ConfigurationError(
                f"[DataCenter] metrics_port: {self._identity.name} cannot listen at {host}:{port} ({error.strerror});"
                " give another one, or 0 to have the system choose"
            ) from error
        self._server = server
        self._controller.observers.append(metrics)
        target = f"{host}:{server.server_port}"
        labels = {"datacenter": self._configuration.name, "instance": self._identity.name}
        # In the form of Prometheus' file-based service discovery.
        write_atomically(self._found_at, json.dumps([{"targets": [target], "labels": labels}]) + "\n")
        log.info("metrics are at http://%s/metrics", target)

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
