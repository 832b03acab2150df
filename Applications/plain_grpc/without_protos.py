"""Calls a node without its proto files: what it offers is asked from the node itself, through gRPC's reflection service.

Needs grpcio and grpcio-reflection, and nothing of this project but the running datacenter and a client's credentials:

    python3 Applications/plain_grpc/without_protos.py
"""

try:
    import grpc
    from google.protobuf.descriptor_pool import DescriptorPool
    from google.protobuf.message_factory import GetMessageClass
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[2] / "Services/fractos/bootstrap.py"))

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DATACENTER = Path(os.environ.get("MOCKDC_PATH", ROOT))  # another folder than this project's
CLIENT = os.environ.get("MOCKDC_CLIENT", "admin")
CAPABILITY = "mockdc-capability-bin"  # the metadata key
TIMEOUT_S = 10.0


def main() -> None:
    """Ask the math node what it offers and how it is, and have it compute a factorial."""
    with grpc.insecure_channel(address_of("math")) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool = DescriptorPool(database)
        print("services:", ", ".join(sorted(database.get_services())))
        health = call(channel, pool, "grpc.health.v1.Health", "Check")
        print("health:", type(health).DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[health.status].name)
        capability = capability_for("math")
        factorial = call(channel, pool, "mockdc.math.v1.Math", "Factorial", capability, n={"magnitude": bytes([20])})
        print("20! =", int.from_bytes(factorial.value.magnitude, "big"))


def call(channel: grpc.Channel, pool: DescriptorPool, service: str, method: str, capability: bytes = b"", **fields: Any) -> Any:
    """Call a method with a request of these fields, by what the descriptors in `pool` say. Returns the response.

    `capability` allows the call, where that is needed.
    """
    described = pool.FindServiceByName(service).FindMethodByName(method)
    invoke = channel.unary_unary(
        f"/{service}/{method}",
        request_serializer=GetMessageClass(described.input_type).SerializeToString,
        response_deserializer=GetMessageClass(described.output_type).FromString,
    )
    request = GetMessageClass(described.input_type)(**fields)
    return invoke(request, timeout=TIMEOUT_S, metadata=((CAPABILITY, capability),) if capability else ())


def capability_for(node_type: str) -> bytes:
    """What allows this client to use nodes of a type: a serialized mockdc.fractos.v1.Capability. As secret as a password."""
    try:
        content = (DATACENTER / "Services/config/clients" / f"{CLIENT}.json").read_text()
    except FileNotFoundError:
        sys.exit(f"there is no client {CLIENT!r} in this datacenter; type: python3 run_datacenter.py clients add {CLIENT}")
    encoded = json.loads(content)["capabilities"].get(node_type)
    if encoded is None:
        sys.exit(f"client {CLIENT!r} has no capability for {node_type} nodes")
    return base64.b64decode(encoded)


def address_of(node_type: str) -> str:
    """Where the leader of a type of node listens."""
    command = [sys.executable, str(ROOT / "run_datacenter.py"), "status", "--json", "--path", str(DATACENTER)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # exit code 1: some other node is not ready
    for node in json.loads(ended.stdout)["nodes"] if ended.stdout else ():
        if (node["type"], node["role"], node["state"]) == (node_type, "leader", "ready"):
            return str(node["address"])
    sys.exit(f"no {node_type} node is ready; start the datacenter: python3 run_datacenter.py")


if __name__ == "__main__":
    main()
