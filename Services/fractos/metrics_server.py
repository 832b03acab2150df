"""Serves the metrics of one node by HTTP, to few at a time: who connects and says nothing costs it neither threads nor files.

Made by `telemetry.py`.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

MOST_CONNECTIONS = 16  # each has a thread; further ones are closed
SILENT_S = 5.0  # how long a peer may say, or take, nothing


class _Handler(WSGIRequestHandler):
    timeout = SILENT_S

    def handle(self) -> None:
        """Answer one request, or none if it does not come."""
        with suppress(TimeoutError, ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """Serves in threads of its own as soon as it is made."""

    daemon_threads = True
    request_queue_size = 64  # connections that are not accepted yet

    def __init__(self, host: str, port: int, app: Callable[..., Iterable[bytes]]) -> None:
        """Port 0: the system chooses. Raises OSError if it cannot listen there."""
        super().__init__((host, port), _Handler)
        self.set_app(app)
        self._free = threading.BoundedSemaphore(MOST_CONNECTIONS)
        threading.Thread(target=self.serve_forever, name="metrics", daemon=True).start()

    def server_bind(self) -> None:
        """Bind the port, without looking the host's name up as the base does: that may take a while."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self.socket.getsockname()
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin a thread for a connection, or close it if there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be had
            self._free.release()
            raise

    def process_request_thread(self, request: socket.socket | tuple[bytes, socket.socket], client_address: Any) -> None:
        """In the thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def close(self) -> None:
        """Let the port go. Waits for half a second at most."""
        self.shutdown()
        self.server_close()
