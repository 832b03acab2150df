"""The client's side of a revocation, against nodes that answer as a test wants."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.capability import EVERY_RIGHT, issue_for_memory, issue_for_service
from Services.fractos.config import Configuration, load, write_directory_record
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import (
    FailedPreconditionError,
    FractosError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from Services.fractos.revoking import revoke, revoke_all

KEY = bytes(32)
Answers = dict[str, grpc.StatusCode]


def capability(service: str) -> fractos_pb2.Capability:
    return issue_for_service(KEY, bytes(12), service=service, expires_at=2e9)


class Node(fractos_pb2_grpc.CapabilitiesServicer):
    """Does as it is told: revokes, or ends the call with a status."""

    def __init__(self, name: str, told: list[str], answer: grpc.StatusCode) -> None:
        self._name = name
        self._told = told
        self._answer = answer

    async def Revoke(self, request: fractos_pb2.RevokeRequest, context: Any) -> fractos_pb2.RevokeResponse:
        self._told.append(self._name)
        if self._answer != grpc.StatusCode.OK:
            await context.abort(self._answer, "for a reason")
        assert fractos_pb2.Link.FromString(request.capability.links[0]).service == self._name.partition("-")[0]
        return fractos_pb2.RevokeResponse()


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    """Of a datacenter that is to have math and storage nodes."""
    (tmp_path / "data_center_setup.cfg").write_text(
        "[DataCenter]\n[Controllers]\ncontroller_names = math_controller, storage_controller\n"
        "[math_controller]\npaths_to_controller = node.py\n[storage_controller]\npaths_to_controller = node.py\n"
    )
    (tmp_path / "node.py").touch()
    return load(tmp_path)


@asynccontextmanager
async def nodes(configuration: Configuration, answers: Answers) -> AsyncIterator[list[str]]:
    """Nodes of these names, registered, and the list of those that were asked."""
    record = DirectoryRecord("files", str(configuration.service_config_path / "directory"), configuration.name)
    configuration.service_config_path.mkdir(parents=True)
    write_directory_record(configuration, record)
    told: list[str] = []
    async with AsyncExitStack() as stack:
        for name, answer in answers.items():
            server = grpc.aio.server()
            fractos_pb2_grpc.add_CapabilitiesServicer_to_server(Node(name, told, answer), server)
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            stack.push_async_callback(server.stop, 0)
            directory = open_directory(record)
            stack.push_async_callback(directory.close)
            await directory.start()
            node_type, _, index = name.rpartition("-")
            await directory.register(
                node_type, int(index), id=str(uuid.uuid4()), address=f"127.0.0.1:{port}", pid=os.getpid(), log=""
            )
        yield told


def outcome(configuration: Configuration, answers: Answers, *services: str) -> tuple[FractosError | None, list[str]]:
    """What comes of revoking capabilities for some services, and which nodes were asked."""

    async def attempt() -> tuple[FractosError | None, list[str]]:
        async with nodes(configuration, answers) as told:
            try:
                if len(services) == 1:
                    await revoke(configuration, capability(services[0]))
                else:
                    await revoke_all(configuration, map(capability, services))
            except FractosError as error:
                return error, told
            return None, told

    return asyncio.run(attempt())


OK, UNAVAILABLE, DENIED = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.PERMISSION_DENIED


def test_one_node_of_the_service_is_asked(configuration: Configuration) -> None:
    error, told = outcome(configuration, {"math-0": OK, "math-1": OK, "storage-0": OK}, "math")
    assert (error, told) == (None, ["math-0"])


def test_another_one_is_asked_if_the_first_cannot(configuration: Configuration) -> None:
    error, told = outcome(configuration, {"math-0": UNAVAILABLE, "math-1": OK}, "math")
    assert (error, told) == (None, ["math-0", "math-1"])


def test_if_none_can_that_is_said(configuration: Configuration) -> None:
    error, told = outcome(configuration, {"math-0": UNAVAILABLE, "math-1": UNAVAILABLE}, "math")
    assert isinstance(error, UnavailableError)
    assert error.message == "math-1: for a reason"
    assert told == ["math-0", "math-1"]


def test_a_refusal_is_final(configuration: Configuration) -> None:
    error, told = outcome(configuration, {"math-0": DENIED, "math-1": OK}, "math")
    assert isinstance(error, PermissionDeniedError)
    assert told == ["math-0"]


def test_what_can_be_revoked_is_also_if_something_cannot(configuration: Configuration) -> None:
    error, told = outcome(configuration, {"math-0": UNAVAILABLE, "storage-0": OK}, "math", "storage")
    assert isinstance(error, UnavailableError)
    assert told == ["math-0", "storage-0"]


def test_a_service_that_should_run_and_does_not_is_named(configuration: Configuration) -> None:
    error, told = outcome(configuration, {"math-0": OK}, "storage", "math")
    assert isinstance(error, FailedPreconditionError)
    assert error.message.startswith("no node of type storage runs")
    assert told == ["math-0"]


def test_a_service_that_the_datacenter_does_not_have_does_not_matter_unless_it_is_all(configuration: Configuration) -> None:
    error, told = outcome(configuration, {"math-0": OK}, "cnn", "math")
    assert (error, told) == (None, ["math-0"])


def test_the_only_service_must_run(configuration: Configuration) -> None:
    error, told = outcome(configuration, {"math-0": OK}, "cnn")
    assert isinstance(error, FailedPreconditionError)
    assert told == []


def test_a_datacenter_that_does_not_run_cannot_revoke(configuration: Configuration) -> None:
    with pytest.raises(FailedPreconditionError, match=r"does not run.*python3 run_datacenter\.py"):
        asyncio.run(revoke(configuration, capability("math")))
    error, _ = outcome(configuration, {}, "math")
    assert isinstance(error, FailedPreconditionError)


def test_memory_is_not_revoked_here(configuration: Configuration) -> None:
    memory = issue_for_memory(KEY, bytes(12), object=bytes(16), size=1, rights=EVERY_RIGHT, expires_at=2e9)
    for wrong in (memory, fractos_pb2.Capability()):
        with pytest.raises(InvalidArgumentError, match="for no service"):
            asyncio.run(revoke(configuration, wrong))
