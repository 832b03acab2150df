"""What two Controllers prove to each other before a frame passes between them.

A channel opens with gRPC metadata, all values as text: `mockdc-protocol` (the version of `protos/fractos.proto` and of this,
"2"), `mockdc-datacenter`, `mockdc-node` (the sender's name), `mockdc-address` (host:port, whom the sender means to call),
`mockdc-time` (the sender's Unix time in seconds) and `mockdc-challenge` (64 random hexadecimal digits). A receiver that
disagrees ends the call with FAILED_PRECONDITION.

Else its first Acknowledgement carries a challenge of its own and its proof; the sender's proof comes with its first Frames, so
no message is sent for it alone. A proof is the HMAC-SHA256, under the datacenter's key, of the prover's role, the metadata and
the receiver's challenge. The roles differ, so nobody can answer with the proof of the other; the address is in it, so nobody
can pass the challenges on to another node and its proof back; both challenges are, so what was recorded proves nothing. A
proof that is wrong ends the call with UNAUTHENTICATED, and nothing of it is delivered.

This tells who is at the other end when a channel opens. It hides nothing from those who can read or change the packets between.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field

from Services.fractos.errors import FailedPreconditionError, UnauthenticatedError
from Services.fractos.ledger import CLOCK_BOUND_S

PROTOCOL = "2"
CHALLENGE_BYTES = 32
OPENER, RECEIVER = "opener", "receiver"
_CHALLENGE = re.compile(f"[0-9a-f]{{{2 * CHALLENGE_BYTES}}}")


@dataclass(frozen=True)
class Opening:
    """What a sender says of itself; `introduce` and `check` make it."""

    datacenter: str
    node: str
    address: str
    time: str
    challenge: str = field(repr=False)
    protocol: str = PROTOCOL

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What the sender opens the channel with."""
        return (
            ("mockdc-protocol", self.protocol),
            ("mockdc-datacenter", self.datacenter),
            ("mockdc-node", self.node),
            ("mockdc-address", self.address),
            ("mockdc-time", self.time),
            ("mockdc-challenge", self.challenge),
        )

    def proof(self, key: bytes, role: str, challenge: bytes) -> bytes:
        """Return the proof of OPENER or RECEIVER, 32 bytes. `challenge` is the receiver's."""
        return authenticate(key, f"channel {role}", *astuple(self), challenge)

    def check_proof(self, key: bytes, role: str, challenge: bytes, proof: bytes) -> None:
        """Check the proof of the one at the other end. Raises UnauthenticatedError that says what to do."""
        if len(challenge) != CHALLENGE_BYTES or not hmac.compare_digest(proof, self.proof(key, role, challenge)):
            who = self.node if role == OPENER else f"the node at {self.address}"
            raise UnauthenticatedError(stranger(who, self.datacenter))


def introduce(datacenter: str, node: str, address: str, now: float, challenge: bytes) -> Opening:
    """Return how the node of this name opens a channel to `address`. `challenge` is CHALLENGE_BYTES random bytes."""
    return Opening(datacenter, node, address, f"{now:.6f}", challenge.hex())


def check(metadata: Iterable[tuple[str, str | bytes]], datacenter: str, address: str, now: float) -> Opening:
    """Check a sender's metadata at the node of this address. Raises FailedPreconditionError saying what does not agree."""
    given = {key: value for key, value in metadata if isinstance(value, str)}
    if given.get("mockdc-protocol") != PROTOCOL:
        raise FailedPreconditionError(
            f"the sender speaks protocol {given.get('mockdc-protocol')}, this node speaks {PROTOCOL}; use the same version of"
            " the datacenter everywhere"
        )
    if given.get("mockdc-datacenter") != datacenter:
        raise FailedPreconditionError(
            f"the sender belongs to datacenter {given.get('mockdc-datacenter')!r}, this node to {datacenter!r}"
        )
    if given.get("mockdc-address") != address:
        raise FailedPreconditionError(f"the sender wants the node at {given.get('mockdc-address')!r}, this is {address!r}")
    check_time(given.get("mockdc-time", ""), now)
    challenge = given.get("mockdc-challenge", "")
    if not _CHALLENGE.fullmatch(challenge):
        raise FailedPreconditionError(
            f"the sender's challenge has {len(challenge)} characters; it must be {2 * CHALLENGE_BYTES} hexadecimal digits"
        )
    return Opening(datacenter, given.get("mockdc-node", ""), address, given["mockdc-time"], challenge)


def check_time(text: str, now: float) -> float:
    """Return the time that a sender gives. Raises FailedPreconditionError if it is none or too far from `now`."""
    try:
        offset = float(text) - now
    except ValueError:
        raise FailedPreconditionError(f"the sender's time is {text!r}, not a number") from None
    if not abs(offset) <= CLOCK_BOUND_S:
        raise FailedPreconditionError(
            f"the clocks differ by {offset:+.1f} s, more than {CLOCK_BOUND_S:g} s; set them, for example with NTP"
        )
    return now + offset


def authenticate(key: bytes, *fields: str | bytes) -> bytes:
    """Return the HMAC-SHA256 of the fields. Each goes in after its length, so that no two lists give the same bytes."""
    message = bytearray()
    for one in fields:
        content = one.encode() if isinstance(one, str) else one
        message += len(content).to_bytes(8, "big") + content
    return hmac.digest(key, message, "sha256")


def stranger(who: str, datacenter: str) -> str:
    """What to say of one that has another key or none."""
    return (
        f"{who} did not prove that it belongs to datacenter {datacenter!r}: its key is another one; if it should belong, stop"
        " it, copy this datacenter's folder of keys (Services/config/keys, or `keys` in service_config_paths) to its host and"
        " start it anew"
    )
