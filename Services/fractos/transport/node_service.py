"""The gRPC service Node: what a node is and does, for those who have the datacenter's key. Made by `node.py`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import psutil

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.controller import Controller
from Services.fractos.errors import ResourceExhaustedError
from Services.fractos.journal import FILE
from Services.fractos.transport.call_proof import DESCRIBE, WATCH, CallVerifier
from Services.fractos.transport.status import translated_errors
from Services.fractos.transport.traffic import Counters
from Services.fractos.watching import Watch

WATCHERS = 16  # at a time

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class NodeServicer(fractos_pb2_grpc.NodeServicer):
    """Describes one node, and tells what happens there. Lives on the event loop."""

    def __init__(self, controller: Controller, verifier: CallVerifier, counters: Counters, state_folder: Path | None) -> None:
        """`state_folder` is the durable state that the node works on, if it does."""
        self._controller = controller
        self._verifier = verifier
        self._counters = counters
        self._state_folder = state_folder
        self._process = psutil.Process()
        self._watchers = 0

    async def Describe(self, request: fractos_pb2.DescribeNodeRequest, context: Context) -> fractos_pb2.NodeDescription:
        """See the proto."""
        identity = self._controller.engine.identity
        async with translated_errors(context, identity):
            self._verifier.check(context.invocation_metadata() or (), DESCRIBE, request)
            return self.describe()
        raise AssertionError("translated_errors ends the call")

    async def Watch(self, request: fractos_pb2.WatchNodeRequest, context: Context) -> AsyncIterator[fractos_pb2.NodeEvents]:
        """See the proto. Begins with a message without events, so that the caller knows from when on it misses nothing."""
        engine = self._controller.engine
        async with translated_errors(context, engine.identity):
            self._verifier.check(context.invocation_metadata() or (), WATCH, request)
            if self._watchers >= WATCHERS:
                raise ResourceExhaustedError(f"{WATCHERS} watch {engine.identity.name}, which is the limit", retry_after_s=1.0)
            watch = Watch(request.one_of)
            self._watchers += 1
            self._controller.observers.append(watch)
            try:
                yield fractos_pb2.NodeEvents()
                while True:
                    yield await watch.take()
            finally:
                self._controller.observers.remove(watch)
                self._watchers -= 1

    def describe(self) -> fractos_pb2.NodeDescription:
        """What there is to say of the node now."""
        controller, engine = self._controller, self._controller.engine
        with self._process.oneshot():
            times = self._process.cpu_times()
            resident_bytes = self._process.memory_info().rss
            started_at = self._process.create_time()
        waiting, running = controller.device_load
        runs = engine.runs
        journal = self._state_folder / FILE if runs is not None and self._state_folder is not None else None
        return fractos_pb2.NodeDescription(
            name=engine.identity.name,
            id=engine.identity.id,
            address=engine.identity.address,
            pid=self._process.pid,
            started_at=started_at,
            now=time.time(),
            cpu_s=times.user + times.system,
            resident_bytes=resident_bytes,
            steps_waiting=waiting,
            steps_running=running,
            steps_done=controller.steps_done,
            steps_failed=controller.steps_failed,
            runs_ended=runs.ended if runs is not None else 0,
            runs_failed=runs.failed if runs is not None else 0,
            runs_in_flight=runs.in_flight() if runs is not None else 0,
            epoch=engine.tenure.epoch if self._state_folder is not None else 0,
            state_folder=str(self._state_folder or ""),
            state_bytes=_size_bytes(journal),
            log_file=engine.identity.log,
            traffic=self._counters.count(),
            memory_limit_bytes=self._counters.memory_limit_bytes,
        )


def _size_bytes(journal: Path | None) -> int:
    """Of a database and its write-ahead log."""
    files = (journal, journal.with_name(f"{FILE}-wal")) if journal is not None else ()
    return sum(file.stat().st_size for file in files if file.exists())
