"""What was changed about the emulated links since the configuration was written: kept in a file, told to every node.

The file is read by nodes at their start, after they are listed; it is written before the nodes that are listed are told. So
none misses a change. Changed by `run_datacenter.py network`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from protos import fractos_pb2_grpc
from Services.fractos.config import Configuration, lock_directory_record, read_directory_record, write_atomically
from Services.fractos.directory import open_directory
from Services.fractos.directory.interface import Directory, Member
from Services.fractos.errors import ConfigurationError, FractosError, UnavailableError
from Services.fractos.keys import DATACENTER, load_or_make_key
from Services.fractos.network_rules import NetworkRules, Rule, check, to_proto
from Services.fractos.transport.call_proof import LAUNCHER, CallProver
from Services.fractos.transport.grpc_channel import OPTIONS
from Services.fractos.transport.network_service import SHAPE

FIND_S = 5.0  # how long the directory may take
TELL_S = 2.0  # how long a node may take
PATIENCE_S = 10.0  # how long a node is told again that does not confirm, while it is listed
AGAIN_S = 0.2

_SERIALS = 1 << 62  # a larger one is no serial, and nothing could follow it
_AGAIN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}

Edit = Callable[[tuple[Rule, ...]], tuple[Rule, ...]]


@dataclass(frozen=True)
class NetworkState:
    """How the links are now."""

    rules: NetworkRules  # of the configuration, with the changes
    changes: tuple[Rule, ...] = ()
    serial: int = 0  # that of the last change; 0: there was none


def read_state(configuration: Configuration) -> NetworkState:
    """How the links are. Raises ConfigurationError if the file of the changes is damaged."""
    path = configuration.network_path
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        changes = tuple(Rule(**rule) for rule in content["rules"])
        for rule in changes:
            check(rule)
        serial = int(content["serial"])
    except FileNotFoundError:
        return NetworkState(configuration.network)
    except (ValueError, TypeError, KeyError, OverflowError, FractosError) as error:
        remedy = "have it made anew with: python3 run_datacenter.py network reset"
        raise ConfigurationError(f"{path} is damaged ({error}); {remedy}") from error
    return NetworkState(configuration.network.changed(changes), changes, serial)


def change(configuration: Configuration, edit: Edit | None) -> tuple[NetworkState, list[str]]:
    """Make other changes of those that there are, or none at all with None, and have every living node confirm.

    Returns how the links are now, and the names of the nodes that have confirmed. Raises UnavailableError naming those that
    have not.
    """
    with lock_directory_record(configuration):
        kept = edit(read_state(configuration).changes) if edit is not None else ()
        # The time, so that it is a later one also if the file was deleted; more, if the clock was set back.
        serial = max(_last_serial(configuration) + 1, int(time.time() * 1e3))
        content = {"serial": serial, "rules": [{"source": one.source, "target": one.target, **one.said} for one in kept]}
        write_atomically(configuration.network_path, json.dumps(content, indent=2) + "\n")
    state = NetworkState(configuration.network.changed(kept), kept, serial)
    return state, asyncio.run(_tell_all(configuration, state))


def _last_serial(configuration: Configuration) -> int:
    """The serial of the last change, even if the rest of the file is damaged; 0 if it cannot be told."""
    try:
        serial = int(json.loads(configuration.network_path.read_text(encoding="utf-8"))["serial"])
    except (FileNotFoundError, ValueError, TypeError, KeyError, OverflowError):
        return 0
    return serial if 0 < serial < _SERIALS else 0


async def _tell_all(configuration: Configuration, state: NetworkState) -> list[str]:
    """Have every node confirm that is listed. Returns their names."""
    record = read_directory_record(configuration)
    if record is None:
        return []
    directory = open_directory(record)
    try:
        await directory.start(FIND_S)
    except UnavailableError:
        await directory.close()
        if record.external:  # servers of its own are down with the datacenter
            raise
        return []
    key = load_or_make_key(configuration.keys_path, DATACENTER)
    prover = CallProver(configuration.name, key, LAUNCHER, time.time, secrets.token_bytes)
    try:
        nodes = directory.members()
        faults = await asyncio.gather(*(_tell(directory, node, prover, state) for node in nodes))
    finally:
        await directory.close()
    if any(faults):
        raise UnavailableError(
            f"the change is kept, but not every node has confirmed it: {'; '.join(filter(None, faults))}; type the same again",
            definite=False,
        )
    return sorted(node.name for node, fault in zip(nodes, faults, strict=True) if fault is not None)


async def _tell(directory: Directory, node: Member, prover: CallProver, state: NetworkState) -> str | None:
    """Have one node confirm. Returns an empty text; what it says instead; or None if it is no longer there."""
    request = to_proto(state.serial, state.rules)
    patient_until = time.monotonic() + PATIENCE_S
    while True:
        metadata = prover.metadata(node.address, SHAPE, request)
        async with grpc.aio.insecure_channel(node.address, OPTIONS) as channel:
            try:
                await fractos_pb2_grpc.NetworkStub(channel).Shape(request, metadata=metadata, timeout=TELL_S)
            except grpc.aio.AioRpcError as error:
                fault = f"{node.name} at {node.address} ({error.code().name}: {error.details()})"
                if error.code() not in _AGAIN:
                    return fault
            else:
                return ""
        if node.id not in {member.id for member in directory.members()}:
            return None
        if time.monotonic() > patient_until:
            return fault
        await asyncio.sleep(AGAIN_S)
