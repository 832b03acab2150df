"""The service `Network`: the launcher tells a node how the emulated links are from now on. Made by each node at its start."""

from __future__ import annotations

import logging
from typing import TypeAlias

import grpc

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos.errors import FailedPreconditionError
from Services.fractos.network_rules import from_proto
from Services.fractos.placement import Identity
from Services.fractos.transport.call_proof import CallVerifier
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.status import translated_errors

log = logging.getLogger(__name__)

SHAPE = f"/{fractos_pb2.DESCRIPTOR.services_by_name['Network'].full_name}/Shape"

Context: TypeAlias = "grpc.aio.ServicerContext[fractos_pb2.ShapeRequest, fractos_pb2.ShapeResponse]"


class NetworkServicer(fractos_pb2_grpc.NetworkServicer):
    """Serves `Shape` to whoever has the datacenter's key."""

    def __init__(self, identity: Identity, verifier: CallVerifier, network: NodeNetwork, serial: int) -> None:
        """`serial` is that of the change which `network` knows already."""
        self._identity = identity
        self._verifier = verifier
        self._network = network
        self._serial = serial

    async def Shape(self, request: fractos_pb2.ShapeRequest, context: Context) -> fractos_pb2.ShapeResponse:
        """Change the links; see the proto."""
        async with translated_errors(context, self._identity):
            sender = self._verifier.check(context.invocation_metadata() or (), SHAPE, request)
            rules = from_proto(request)
            if request.serial < self._serial:
                raise FailedPreconditionError(
                    f"this is change {request.serial}, and the node knows of {self._serial}, which counts as the later one; if"
                    " nobody else has changed the links meanwhile, a clock was set back: restart the node"
                )
            if request.serial > self._serial:
                self._serial = request.serial
                self._network.update(rules)
                log.info("the emulated links are others now, says %s: %d rules", sender, len(rules.rules))
            return fractos_pb2.ShapeResponse()
        raise AssertionError("translated_errors ends the call")
