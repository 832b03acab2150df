"""One link of the emulated network: when what is sent over it arrives. Pure: the clock and the randomness are passed in.

A link carries what is given to it in that order: each message waits until those before it have left, leaves at the rate of
the bandwidth and arrives a latency later, never before an earlier one, as over TCP. Bytes count as given, without headers. A
message of which a packet is lost arrives when that has been sent again, a timeout later, twice that if it is lost again, and so
on; what TCP does to its rate then is not emulated. All frames, Memory and calls from one node to another share one link.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from Services.fractos.network_rules import NONE, NetworkRules, Shape

PACKET_BYTES = 1500  # what is lost at once
RESEND_S = 0.2  # Linux's shortest timeout before TCP sends a packet again
MOST_RESENDS = 6
MOST_LINKS = 10_000  # that are remembered
QUANTUM_S = 0.002  # bulk data occupies the link for so long at a time, so that others have their turn

Randomness = Callable[[], float]  # as random.random: 0 <= number < 1


class Link:
    """The link from one node to another. Times are in seconds, of one clock that only goes forward."""

    def __init__(self, shape: Shape, randomness: Randomness) -> None:
        self.free_at = 0.0  # when all that was given to it has left
        self._last_arrival = 0.0
        self._randomness = randomness
        self.change(shape)

    def change(self, shape: Shape) -> None:
        """From now on it is like this. What is under way goes on as it was."""
        self.shape = shape
        self.is_cut = shape.cut
        self._bytes_per_s = shape.bandwidth_mbit * 1e6 / 8 or math.inf

    @property
    def quantum_bytes(self) -> float:
        """How much of bulk data to give to it at once."""
        return max(float(PACKET_BYTES), self._bytes_per_s * QUANTUM_S)

    def transmit(self, size_bytes: float, now: float) -> float:
        """Send a message. Returns when it arrives; infinity, and nothing is sent, while the link is cut."""
        if self.is_cut:
            return math.inf
        self.free_at = max(now, self.free_at) + size_bytes / self._bytes_per_s
        arrival = self.free_at + self.shape.latency_ms / 1e3 + self._jitter_s() + self._resending_s(size_bytes)
        self._last_arrival = max(arrival, self._last_arrival)
        return self._last_arrival

    def latency_s(self) -> float:
        """How long a message without size takes now, while nothing else is under way."""
        return self.shape.latency_ms / 1e3 + self._jitter_s()

    def _jitter_s(self) -> float:
        return self.shape.jitter_ms / 1e3 * self._randomness() if self.shape.jitter_ms else 0.0

    def _resending_s(self, size_bytes: float) -> float:
        loss = self.shape.loss
        if not loss:
            return 0.0
        packets = max(1, math.ceil(size_bytes / PACKET_BYTES))
        lost, waited_s = 1 - (1 - loss) ** packets, 0.0
        for resends in range(MOST_RESENDS):
            if self._randomness() >= lost:
                break
            waited_s += RESEND_S * 2**resends
            lost = loss
        return waited_s


class Network:
    """The links at one node. One that never was other than perfect is not there."""

    def __init__(self, rules: NetworkRules, randomness: Randomness) -> None:
        self.rules = rules
        self._randomness = randomness
        self._links: dict[tuple[str, str], Link | None] = {}  # None: the rules say nothing about it

    def link(self, source: str, target: str) -> Link | None:
        """The link from one node to another; None: whatever is sent there and back arrives at once."""
        if not self.rules.rules:
            return self._links.get((source, target))  # one that is still there from before
        try:
            return self._links[source, target]
        except KeyError:
            self._make(source, target)
            return self._links[source, target]

    def _make(self, source: str, target: str) -> None:
        """Both ways at once: whoever uses one relies on the other."""
        shape, back = self.rules.shape(source, target), self.rules.shape(target, source)
        is_perfect = shape == back == NONE
        for ends, one in (((source, target), shape), ((target, source), back)):
            if ends in self._links:
                continue
            if len(self._links) >= MOST_LINKS:
                del self._links[next(iter(self._links))]
            self._links[ends] = None if is_perfect else Link(one, self._randomness)

    def unremembered(self, source: str, target: str) -> Link:
        """A link like the one from one node to another, of which nothing is kept: for names that anybody may claim."""
        return Link(self.rules.shape(source, target), self._randomness)

    def update(self, rules: NetworkRules) -> None:
        """From now on the links are like this."""
        self.rules = rules
        # Each stays that there is: what is under way must not be overtaken.
        self._links = {ends: link for ends, link in self._links.items() if link is not None}
        for (source, target), link in self._links.items():
            if link is not None:
                link.change(rules.shape(source, target))

    def patience_s(self, source: str, target: str, size_bytes: int) -> float:
        """How much longer than without these links an answer to `size_bytes` may take."""
        there, back = self.rules.shape(source, target), self.rules.shape(target, source)
        if there == NONE and back == NONE:
            return 0.0
        turn_s = sum(one.latency_ms + one.jitter_ms for one in (there, back)) / 1e3
        resending_s = RESEND_S * 2**MOST_RESENDS if there.loss or back.loss else 0.0
        return turn_s + resending_s + (size_bytes * 8 / there.bandwidth_mbit / 1e6 if there.bandwidth_mbit else 0.0)
