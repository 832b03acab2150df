"""Fixtures for every folder of tests."""

from __future__ import annotations

import signal

from tests.zookeeper_server import own_zookeeper_server, zookeeper_server

__all__ = ["own_zookeeper_server", "zookeeper_server"]

# A shell that starts the tests in the background has them ignore SIGINT, nohup SIGHUP, and every process that they start would
# inherit it.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
