"""What a revocation takes: `python benchmarks/revoke.py [--nodes 10] [--zookeeper HOST:PORT] [--json]`.

Starts math nodes in processes of their own and has one of them revoke capabilities, one after the other, over one connection:
from the call to the answer, by when the record is in the directory and every node has confirmed it. The directory is files, or
with `--zookeeper` the ZooKeeper that runs at that address. Afterwards each node has to refuse what was revoked.

Exits with 1 if the median is above the target, or a node does not refuse.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path

import grpc
from real_nodes import CLIENT, Nodes

from protos import fractos_pb2, fractos_pb2_grpc, math_pb2, math_pb2_grpc
from Services.fractos.capability import NONCE_BYTES, narrow
from Services.fractos.config import load
from Services.fractos.credentials import load_credentials
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.transport.unary import CAPABILITY

TARGET_MS = 20.0
WARM_UP = 5
TIMEOUT_S = 30.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10, help="how many nodes have to confirm (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=100, help="how many revocations to measure (default: %(default)s)")
    parser.add_argument("--zookeeper", metavar="HOST:PORT", help="a ZooKeeper that runs, instead of files")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    record = DirectoryRecord("zookeeper", options.zookeeper, f"revoke-{uuid.uuid4().hex[:8]}") if options.zookeeper else None
    with tempfile.TemporaryDirectory() as folder, closing(Nodes(Path(folder), {}, record)) as nodes:
        nodes.start(*(f"math-{number}" for number in range(options.nodes)))
        figures = measure(nodes, options.rounds)
    print(json.dumps(figures, indent=2) if options.json else as_text(figures))
    return 1 if figures["median"] > TARGET_MS or figures["still honoured"] else 0


def measure(nodes: Nodes, rounds: int) -> dict[str, float]:
    """Revoke so often, and return what it took in milliseconds, and how often a node has honoured what was revoked."""
    root = load_credentials(load(nodes.folder), CLIENT).capabilities["math"]
    addresses = [member.address for member in nodes.members()]
    samples, revoked = [], []
    with grpc.insecure_channel(addresses[0]) as channel:
        stub = fractos_pb2_grpc.CapabilitiesStub(channel)
        for number in range(-WARM_UP, rounds):
            capability = narrow(root, os.urandom(NONCE_BYTES))
            started_at = time.perf_counter()
            stub.Revoke(fractos_pb2.RevokeRequest(capability=capability), timeout=TIMEOUT_S)
            if number >= 0:
                samples.append((time.perf_counter() - started_at) * 1000)
            revoked.append(capability)
    honoured = sum(is_honoured(address, capability) for address in addresses for capability in revoked)
    return {
        "nodes": len(addresses),
        "median": statistics.median(samples),
        "lowest": min(samples),
        "highest": max(samples),
        "still honoured": honoured,
    }


def is_honoured(address: str, capability: fractos_pb2.Capability) -> bool:
    """Whether a node does what the capability was for."""
    with grpc.insecure_channel(address) as channel:
        request = math_pb2.FactorialRequest(n=fractos_pb2.BigInteger(magnitude=b"\5"))
        try:
            math_pb2_grpc.MathStub(channel).Factorial(
                request, metadata=((CAPABILITY, capability.SerializeToString()),), timeout=TIMEOUT_S
            )
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.PERMISSION_DENIED:
                raise
            return False
    return True


def as_text(figures: dict[str, float]) -> str:
    """The figures for people."""
    return (
        f"a revocation that {figures['nodes']:.0f} nodes confirm: median {figures['median']:.1f} ms"
        f" ({figures['lowest']:.1f} to {figures['highest']:.1f}; target {TARGET_MS:g}),"
        f" honoured afterwards {figures['still honoured']:.0f} times"
    )


if __name__ == "__main__":
    raise SystemExit(main())
