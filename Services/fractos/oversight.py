"""What those see who look after a datacenter: its nodes, what happens there, the runs of all clients.

Whoever can read the datacenter's key can: that is the user who started it. Used by `run_datacenter.py` and its page.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import grpc
from google.protobuf.message import Message

from protos import application_pb2, application_pb2_grpc, fractos_pb2, fractos_pb2_grpc
from Services.fractos.config import Configuration, read_directory_record
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import Directory, Member
from Services.fractos.errors import BY_STATUS, FractosError, UnavailableError
from Services.fractos.keys import DATACENTER, load_key
from Services.fractos.transport.call_proof import DESCRIBE, DESCRIBE_RUN, LAUNCHER, LIST_RUNS, WATCH, CallProver
from Services.fractos.transport.grpc_channel import OPTIONS
from Services.fractos.transport.status import from_grpc

FIND_S = 5.0  # how long the directory may take
ANSWER_S = 2.0  # how long a node may take
# How a call ends whose node is not there, hangs, or stops.
_GONE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class Oversight:
    """One who looks after a datacenter. Lives on an event loop; made by `overseeing`."""

    def __init__(self, configuration: Configuration, directory: Directory, *, only_looks: bool = False) -> None:
        """`directory` has been started. For `only_looks` see `overseeing`."""
        self._configuration = configuration
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._only_looks = only_looks
        self.directory = directory

    @cached_property
    def _prover(self) -> CallProver:
        """Raises ConfigurationError without the datacenter's key."""
        key = load_key(self._configuration.keys_path, DATACENTER)
        return CallProver(self._configuration.name, key, LAUNCHER, time.time, secrets.token_bytes)

    def nodes(self) -> tuple[Member, ...]:
        """Those that are listed: of each type the leader first."""
        return self.directory.members()

    async def describe(self, node: Member) -> fractos_pb2.NodeDescription:
        """What a node says of itself. Raises UnavailableError if it does not answer, or the error that it answers with."""
        stub = fractos_pb2_grpc.NodeStub(self._channel(node.address))
        described = await self._ask(node, stub.Describe, DESCRIBE, fractos_pb2.DescribeNodeRequest())
        assert isinstance(described, fractos_pb2.NodeDescription)
        return described

    async def watch(self, node: Member, one_of: int = 1) -> AsyncGenerator[fractos_pb2.NodeEvents, None]:
        """What happens at a node from now on, until the node ends. Raises UnavailableError then, or what it answers with.

        With a large number of runs a node has less to do, and tells whole runs nevertheless, if it tells of `one_of` so many
        only: nodes that are asked for the same share choose the same runs.
        """
        request = fractos_pb2.WatchNodeRequest(one_of=one_of)
        stub = fractos_pb2_grpc.NodeStub(self._channel(node.address))
        call = stub.Watch(request, metadata=self._prover.metadata(node.address, WATCH, request))
        try:
            # Not with `async for`: then the call refers to itself and keeps the connection until garbage is collected.
            while (events := await call.read()) is not grpc.aio.EOF:
                yield events
        except grpc.aio.AioRpcError as error:
            raise _translated(node, error) from error
        finally:
            call.cancel()

    async def runs(
        self, limit: int = 0, state: application_pb2.RunState = application_pb2.RUN_STATE_UNSPECIFIED
    ) -> list[application_pb2.RunInfo]:
        """The newest runs of all clients. Raises UnavailableError if no application node answers, or what one answers with."""
        request = application_pb2.ListRunsRequest(limit=limit, state=state)
        listed = await self._ask_owner(LIST_RUNS, request)
        assert isinstance(listed, application_pb2.ListRunsResponse)
        return list(listed.runs)

    async def describe_run(self, run_id: bytes) -> application_pb2.RunDescription:
        """All that is known of a run but its outputs. Raises NotFoundError besides, and what `runs` raises."""
        described = await self._ask_owner(DESCRIBE_RUN, application_pb2.DescribeRunRequest(run_id=run_id))
        assert isinstance(described, application_pb2.RunDescription)
        return described

    async def hang_up(self, node: Member) -> None:
        """Close the connection to a node that has ended: each of its processes had an address of its own."""
        if channel := self._channels.pop(node.address, None):
            await channel.close()

    async def close(self) -> None:
        """Hang up."""
        for channel in self._channels.values():
            await channel.close()
        await self.directory.close()

    async def _ask_owner(self, method: str, request: Message) -> Message:
        """Ask the application nodes in their order: the owner of the journal answers."""
        reasons = []
        for node in self.nodes():
            if node.node_type != "application":
                continue
            stub = application_pb2_grpc.ApplicationStub(self._channel(node.address))
            try:
                return await self._ask(node, getattr(stub, method.rpartition("/")[2]), method, request)
            except UnavailableError as error:
                if self._only_looks and _is_silence(error):
                    raise
                reasons.append(error.message)
        why = "; ".join(reasons) or "none is listed"
        raise UnavailableError(f"no application node answers ({why}); start what is dead: python3 run_datacenter.py")

    async def _ask(self, node: Member, call: Callable[..., Any], method: str, request: Message) -> Message:
        metadata = self._prover.metadata(node.address, method, request)
        try:
            answer: Message = await call(request, metadata=metadata, timeout=ANSWER_S)
        except grpc.aio.AioRpcError as error:
            raise _translated(node, error) from error
        return answer

    def _channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, OPTIONS)
        return self._channels[address]


def _is_silence(error: UnavailableError) -> bool:
    """Whether a node may live but did not answer."""
    cause = error.__cause__
    return isinstance(cause, grpc.aio.AioRpcError) and cause.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def _translated(node: Member, error: grpc.aio.AioRpcError) -> FractosError:
    """UnavailableError if the node is gone, so that another may be asked; else the error that it answered with."""
    kind = UnavailableError if error.code() in _GONE else BY_STATUS.get(error.code().name, FractosError)
    told = from_grpc(error)
    retry_after_s = told.retry_after_s if told is not None else 0.0
    return kind(f"{node.name}: {error.details()}", retry_after_s=retry_after_s)


@asynccontextmanager
async def overseeing(configuration: Configuration, *, only_looks: bool = False) -> AsyncIterator[Oversight]:
    """Look after a datacenter within the block. Raises UnavailableError if it does not run.

    Who only looks does not ask the standby of an application node that is silent: it would take the other one's work over.
    """
    record = read_directory_record(configuration)
    if record is None:
        raise UnavailableError("the datacenter does not run; start it: python3 run_datacenter.py")
    directory = open_directory(record)
    oversight = Oversight(configuration, directory, only_looks=only_looks)
    try:
        await directory.start(FIND_S)
        yield oversight
    finally:
        await oversight.close()
