"""How a Controller proves to another one, in a unary call, that it belongs to the datacenter.

The call carries metadata, all values as text: `mockdc-datacenter`, `mockdc-node` (the sender's name), `mockdc-address`
(host:port, whom it means to call), `mockdc-time` (Unix time in seconds), `mockdc-nonce` (32 random hexadecimal digits) and
`mockdc-proof`: the HMAC-SHA256, under the datacenter's key, of these, the method and the SHA-256 of the request. A call that
was recorded is refused: as too old when its time is out of bounds, before that because its nonce is remembered.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable

from google.protobuf.message import Message

from Services.fractos.errors import FailedPreconditionError, ResourceExhaustedError, UnauthenticatedError
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.transport.handshake import authenticate, check_time, stranger

NONCE_BYTES = 16
REMEMBERED_S = 2 * CLOCK_BOUND_S  # a sender's clock may be ahead by the bound, and then the call is good for as long again
MAX_REMEMBERED = 1 << 16

_NONCE = re.compile(f"[0-9a-f]{{{2 * NONCE_BYTES}}}")
LAUNCHER = "launcher"  # what `run_datacenter.py` calls itself
# Methods that the launcher calls with a proof.
DESCRIBE, WATCH = "/mockdc.fractos.v1.Node/Describe", "/mockdc.fractos.v1.Node/Watch"
LIST_RUNS, DESCRIBE_RUN = "/mockdc.application.v1.Application/ListRuns", "/mockdc.application.v1.Application/DescribeRun"
PROOF = "mockdc-proof"  # the key of the metadata without which nobody is checked
_NAMES = ("datacenter", "node", "address", "time", "nonce")


class CallProver:
    """The calling side, at one node."""

    def __init__(
        self, datacenter: str, key: bytes, node: str, clock: Callable[[], float], randomness: Callable[[int], bytes]
    ) -> None:
        """`key` is the datacenter's; `randomness` returns so many bytes, as `os.urandom` does."""
        self._datacenter = datacenter
        self._key = key
        self._node = node
        self._clock = clock
        self._randomness = randomness

    def metadata(self, address: str, method: str, request: Message) -> tuple[tuple[str, str], ...]:
        """Return the metadata for one call, of `method` ("/package.Service/Method") with `request` at `address`."""
        nonce = self._randomness(NONCE_BYTES).hex()
        values = (self._datacenter, self._node, address, f"{self._clock():.6f}", nonce)
        given = tuple((f"mockdc-{name}", value) for name, value in zip(_NAMES, values, strict=True))
        return (*given, (PROOF, _proof(self._key, values, method, request).hex()))


class CallVerifier:
    """The called side, at one node. Remembers the calls that it has admitted for as long as they could be repeated."""

    def __init__(self, datacenter: str, key: bytes, address: str, clock: Callable[[], float]) -> None:
        """`key` is the datacenter's, `address` what others call this node by."""
        self._datacenter = datacenter
        self._key = key
        self._address = address
        self._clock = clock
        self._nonces: dict[str, float] = {}  # until when each is remembered, the earliest first

    def check(self, metadata: Iterable[tuple[str, str | bytes]], method: str, request: Message) -> str:
        """Return the name of the sender that has proved itself, once for each call.

        Raises UnauthenticatedError for a proof that is wrong, missing or was used before, FailedPreconditionError for another
        address, datacenter or time, and ResourceExhaustedError for more calls than can be remembered.
        """
        given = {key.removeprefix("mockdc-"): value for key, value in metadata if isinstance(value, str)}
        values = tuple(given.get(name, "") for name in _NAMES)
        datacenter, node, address, time, nonce = values
        if (datacenter, address) != (self._datacenter, self._address):
            raise FailedPreconditionError(
                f"the caller wants the node at {address!r} of datacenter {datacenter!r}, this is {self._address!r} of"
                f" {self._datacenter!r}; only Controllers of the datacenter may call this"
            )
        proof = _proof(self._key, values, method, request).hex()
        # As bytes: text that is not ASCII cannot be compared in constant time.
        if not hmac.compare_digest(proof.encode(), given.get("proof", "").encode()) or not _NONCE.fullmatch(nonce):
            raise UnauthenticatedError(stranger(node or "the caller", self._datacenter))
        now = self._clock()
        check_time(time, now)
        self._remember(nonce, now)
        return node

    def _remember(self, nonce: str, now: float) -> None:
        while self._nonces and (first := next(iter(self._nonces))) and self._nonces[first] < now:
            del self._nonces[first]
        if nonce in self._nonces:
            raise UnauthenticatedError("this call was made before, with the same proof; each call needs one of its own")
        if len(self._nonces) >= MAX_REMEMBERED:
            raise ResourceExhaustedError(
                f"more than {MAX_REMEMBERED} calls from Controllers within {REMEMBERED_S:g} s; call again later",
                retry_after_s=REMEMBERED_S,
            )
        self._nonces[nonce] = now + REMEMBERED_S


def _proof(key: bytes, values: tuple[str, ...], method: str, request: Message) -> bytes:
    content = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
    return authenticate(key, "call", *values, method, content)
