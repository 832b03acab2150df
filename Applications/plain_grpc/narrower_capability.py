"""Hands on less than it has: narrows the client's capability to one operation and one minute, without asking anybody.

    python3 Applications/plain_grpc/narrower_capability.py

A capability is a chain of links, each sealed with an HMAC under the seal before. So whoever has one can add a link, which takes
something away, and nobody can take a link off. Programs that use `connect()` need none of this: their graphs carry capabilities
that are narrowed to each step.
"""

try:
    import grpc

    from Applications.plain_grpc.without_protos import CAPABILITY, TIMEOUT_S, address_of, capability_for
    from protos import fractos_pb2, math_pb2, math_pb2_grpc
except ModuleNotFoundError:
    import pathlib
    import runpy

    runpy.run_path(str(pathlib.Path(__file__).resolve().parents[2] / "Services/fractos/bootstrap.py"))

import hmac
import os
import sys
import time

LIFETIME_S = 60.0


def main() -> None:
    """Call what the narrower capability is for, and something else."""
    own = fractos_pb2.Capability.FromString(capability_for("math"))
    link = fractos_pb2.Link(nonce=os.urandom(12), expires_at=time.time() + LIFETIME_S, operation="math.factorial")
    metadata = ((CAPABILITY, narrowed(own, link).SerializeToString()),)
    twenty, one = (fractos_pb2.BigInteger(magnitude=bytes([value])) for value in (20, 1))
    with grpc.insecure_channel(address_of("math")) as channel:
        math = math_pb2_grpc.MathStub(channel)
        try:
            answer = math.Factorial(math_pb2.FactorialRequest(n=twenty), timeout=TIMEOUT_S, metadata=metadata)
            print("20! =", int.from_bytes(answer.value.magnitude, "big"))
            math.ShiftLeft(math_pb2.ShiftLeftRequest(value=twenty, bits=one), timeout=TIMEOUT_S, metadata=metadata)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
                sys.exit(f"{error.code().name}: {error.details()}")
            print(f"{error.code().name}: {error.details()}")


def narrowed(capability: fractos_pb2.Capability, link: fractos_pb2.Link) -> fractos_pb2.Capability:
    """What `capability` allows, less what `link` takes away."""
    sealed = link.SerializeToString()  # the seal is over these very bytes
    seal = hmac.digest(capability.seal, sealed, "sha256")
    return fractos_pb2.Capability(links=[*capability.links, sealed], seal=seal)


if __name__ == "__main__":
    main()
