"""Fixtures for every folder of tests."""

from __future__ import annotations

from tests.zookeeper_server import own_zookeeper_server, zookeeper_server

__all__ = ["own_zookeeper_server", "zookeeper_server"]
