"""What two Controllers check of each other before a frame passes between them.

A channel opens with gRPC metadata, all values as text: `mockdc-protocol` (the version of `protos/fractos.proto`, "1"),
`mockdc-datacenter`, `mockdc-node` (the sender's name) and `mockdc-time` (the sender's Unix time in seconds). A receiver that
disagrees ends the call with FAILED_PRECONDITION.
"""

from __future__ import annotations

from collections.abc import Iterable

from Services.fractos.errors import FailedPreconditionError
from Services.fractos.ledger import CLOCK_BOUND_S

PROTOCOL = "1"


def introduce(datacenter: str, node: str, now: float) -> tuple[tuple[str, str], ...]:
    """Return the metadata that a sender opens a channel with."""
    return (
        ("mockdc-protocol", PROTOCOL),
        ("mockdc-datacenter", datacenter),
        ("mockdc-node", node),
        ("mockdc-time", f"{now:.6f}"),
    )


def check(metadata: Iterable[tuple[str, str | bytes]], datacenter: str, now: float) -> str:
    """Check a sender's metadata and return its name. Raises FailedPreconditionError saying what does not agree."""
    given = {key: value for key, value in metadata if isinstance(value, str)}
    if given.get("mockdc-protocol") != PROTOCOL:
        raise FailedPreconditionError(f"the sender speaks protocol {given.get('mockdc-protocol')}, this node speaks {PROTOCOL}")
    if given.get("mockdc-datacenter") != datacenter:
        raise FailedPreconditionError(
            f"the sender belongs to datacenter {given.get('mockdc-datacenter')!r}, this node to {datacenter!r}"
        )
    try:
        offset = float(given.get("mockdc-time", "")) - now
    except ValueError:
        raise FailedPreconditionError(f"the sender's time is {given.get('mockdc-time')!r}, not a number") from None
    if not abs(offset) <= CLOCK_BOUND_S:
        raise FailedPreconditionError(
            f"the clocks differ by {offset:+.1f} s, more than {CLOCK_BOUND_S:g} s; set them, for example with NTP"
        )
    return given.get("mockdc-node", "")
