"""How many bytes travelled as Memory between this node and each other one, and by which way: for the accounting of links."""

from __future__ import annotations

UNIX, STREAM = "unix", "stream"  # mapped on the same host; over gRPC
PEERS = 1000
OTHERS = "others"  # what is beyond that many addresses; a reader may claim any


class MemoryTraffic:
    """Counters of one node, in bytes. Lives on the event loop."""

    def __init__(self) -> None:
        self._sent: dict[str, dict[str, int]] = {}
        self._received: dict[str, dict[str, int]] = {}

    def sent(self, peer: str, way: str, size: int) -> None:
        """Count bytes that a peer was given. `peer` is empty for a reader that is no node."""
        _count(self._sent, peer, way, size)

    def received(self, peer: str, way: str, size: int) -> None:
        """Count bytes that a peer gave."""
        _count(self._received, peer, way, size)

    def as_dict(self) -> dict[str, dict[str, dict[str, int]]]:
        """A copy: `["sent" or "received"][address]["unix" or "stream"]` bytes."""
        counted = {"sent": self._sent, "received": self._received}
        return {name: {peer: dict(ways) for peer, ways in peers.items()} for name, peers in counted.items()}


def _count(peers: dict[str, dict[str, int]], peer: str, way: str, size: int) -> None:
    if peer not in peers and len(peers) >= PEERS:
        peer = OTHERS
    ways = peers.setdefault(peer, {UNIX: 0, STREAM: 0})
    ways[way] += size
