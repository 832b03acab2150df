"""The emulated network of one node, put together: its links, and the service that changes them. Used by `node.py`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import grpc

from protos import fractos_pb2_grpc
from Services.fractos.config import Configuration
from Services.fractos.network_changes import read_state
from Services.fractos.placement import Identity
from Services.fractos.transport.call_proof import CallVerifier
from Services.fractos.transport.emulation import NodeNetwork
from Services.fractos.transport.network_service import NetworkServicer

log = logging.getLogger(__name__)


def attach_network(
    server: grpc.aio.Server, configuration: Configuration, key: bytes, identity: Identity, name_at: Callable[[str], str]
) -> NodeNetwork:
    """Make the links of a node that is listed by now, so that changes from now on are told to it.

    `name_at(address)` is the node there, or empty. Raises ConfigurationError if the file of the changes is damaged.
    """
    state = read_state(configuration)
    if lost := state.rules.lost_racks():
        log.warning("changes of the network name %s, and the configuration has no such rack: they count for nothing", lost)
    network = NodeNetwork(identity.name, state.rules, name_at)
    verifier = CallVerifier(configuration.name, key, identity.address, time.time)
    fractos_pb2_grpc.add_NetworkServicer_to_server(NetworkServicer(identity, verifier, network, state.serial), server)
    return network
