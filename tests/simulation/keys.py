"""The keys of a simulated datacenter, what its clients hold, and what was revoked. The seed fixes all of it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable

from protos import fractos_pb2
from Services.fractos.authority import Authority
from Services.fractos.capability import KEY_BYTES, NONCE_BYTES, OBJECT_BYTES, Rights, issue_for_memory, issue_for_service

SERVICES = ("application", "storage", "math", "cnn")
LIFETIME_S = 86_400.0  # of what a client holds


class Keys:
    """Secrets have a stream of randomness of their own."""

    def __init__(self, seed: int, clock: Callable[[], float]) -> None:
        self._seed = seed
        self._clock = clock
        self._random = random.Random(f"secrets of {seed}")
        self._keys: dict[str, bytes] = {}
        self._authorities: dict[str, Authority] = {}

    def of(self, owner: str) -> bytes:
        """The key of a type of nodes, or of one process by its address."""
        if owner not in self._keys:
            self._keys[owner] = random.Random(f"key of {owner} in {self._seed}").randbytes(KEY_BYTES)
        return self._keys[owner]

    def nonce(self) -> bytes:
        """What makes a link unlike all others."""
        return self._random.randbytes(NONCE_BYTES)

    def object(self) -> bytes:
        """The number of a Memory object, which nobody can guess."""
        return self._random.randbytes(OBJECT_BYTES)

    def for_memory(self, address: str, object: bytes, size: int, expires_at: float) -> fractos_pb2.Capability:
        """The right to read an object of a process."""
        key = self.of(address)
        return issue_for_memory(key, self.nonce(), object=object, size=size, rights=Rights.READ, expires_at=expires_at)

    def authority(self, client: str, client_id: str = "") -> Authority:
        """What a client may do: with a `client_id` only to that one's files. It holds the same ever after."""
        if client not in self._authorities:
            expires_at = self._clock() + LIFETIME_S
            capabilities = {
                service: issue_for_service(
                    self.of(service), self.nonce(), service=service, expires_at=expires_at, client_id=client_id
                )
                for service in SERVICES
            }
            self._authorities[client] = Authority(client, capabilities, self._clock, self._random.randbytes)
        return self._authorities[client]

    def revocation(self, client: str, service: str) -> fractos_pb2.Revocation:
        """What ends the capability of a client for a service, and all that were made of it."""
        capability = self.authority(client).capability(service)
        expires_at = fractos_pb2.Link.FromString(capability.links[0]).expires_at
        id = hashlib.blake2b(capability.seal, digest_size=16).digest()
        return fractos_pb2.Revocation(service=service, id=id, expires_at=expires_at)
