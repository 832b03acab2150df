"""Revokes capabilities: asks a node of the service that each is for, which tells the others. Used by the launcher.

Whoever holds a capability may revoke it, and with it all that was derived from it.
"""

from __future__ import annotations

from collections.abc import Iterable

import grpc

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.config import Configuration, read_directory_record
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import Member
from Services.fractos.errors import (
    BY_STATUS,
    FailedPreconditionError,
    FractosError,
    InvalidArgumentError,
    UnavailableError,
)
from Services.fractos.transport.grpc_channel import OPTIONS

FIND_S = 5.0  # how long the directory may take
ANSWER_S = 10.0  # how long a node may take to tell all others
_ASK_ANOTHER = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


async def revoke(configuration: Configuration, capability: fractos_pb2.Capability) -> None:
    """Have a capability for a service, and all that were derived from it, count no more. May be repeated.

    Raises FailedPreconditionError if no node of the service runs, UnavailableError if not all could be told, what the node
    says otherwise, and InvalidArgumentError for one that is for no service.
    """
    await revoke_all(configuration, [capability])


async def revoke_all(configuration: Configuration, capabilities: Iterable[fractos_pb2.Capability]) -> None:
    """The same for several, but for those whose service the datacenter neither runs nor is configured to."""
    by_service = [(_service(capability), capability) for capability in capabilities]
    members = await _members(configuration)
    failures: list[FractosError] = []
    for service, capability in by_service:
        nodes = [member for member in members if member.node_type == service]
        if not nodes and len(by_service) > 1 and not configuration.controller(service):
            continue
        try:
            await _revoke_at_one(service, nodes, capability)
        except FractosError as error:
            failures.append(error)
    if failures:  # last: whatever can be revoked is
        raise failures[0]


def _service(capability: fractos_pb2.Capability) -> str:
    """What its root says that it is for. The node checks whether that is true."""
    service = fractos_pb2.Link.FromString(capability.links[0]).service if capability.links else ""
    if not service:
        raise InvalidArgumentError("the capability is for no service; one for Memory ends when the Memory is released")
    return service


async def _members(configuration: Configuration) -> tuple[Member, ...]:
    """The nodes that live. Raises FailedPreconditionError if there are none."""
    record = read_directory_record(configuration)
    members: tuple[Member, ...] = ()
    if record:
        directory = open_directory(record)
        try:
            await directory.start(FIND_S)
            members = directory.members()
        except UnavailableError:
            if record.external:  # servers of its own are down with the datacenter
                raise
        finally:
            await directory.close()
    if not members:
        raise FailedPreconditionError(
            f"the datacenter in {configuration.root} does not run, and only its nodes can take note of what is revoked; start"
            " it and try again: python3 run_datacenter.py"
        )
    return members


async def _revoke_at_one(service: str, nodes: list[Member], capability: fractos_pb2.Capability) -> None:
    """Ask one node of a service after the other until one has done it."""
    failure: FractosError = FailedPreconditionError(
        f"no node of type {service} runs, so none could be told; start what is missing and try again: python3 run_datacenter.py"
    )
    for node in nodes:
        async with grpc.aio.insecure_channel(node.address, OPTIONS) as channel:
            try:
                request = fractos_pb2.RevokeRequest(capability=capability)
                await fractos_pb2_grpc.CapabilitiesStub(channel).Revoke(request, timeout=ANSWER_S)
            except grpc.aio.AioRpcError as error:
                failure = BY_STATUS.get(error.code().name, FractosError)(f"{node.name}: {error.details()}", definite=False)
                if error.code() not in _ASK_ANOTHER:
                    break
            else:
                return
    raise failure
