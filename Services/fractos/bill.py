"""What a run has cost the network, link by link, as the nodes have counted it where it arrived. Pure.

A value that n steps need travels n times in a ring, unless these are at the node that made it; in a star it travels to the
centre once, and from there to each. For a chain of n devices with x bytes between each two the rule is: ring n + 1 hops and
(n - 1) x bytes, fast-star 2n and (n - 1) x, star 2n and 2 (n - 1) x. `docs/topologies.md` has the general one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TypeAlias

from protos import application_pb2, fractos_pb2

Link: TypeAlias = tuple[str, str]  # the names of the sending and of the receiving node


@dataclass
class Charge:
    """What went over one link in one direction."""

    requests: int = 0  # to a node that does a step
    replies: int = 0  # of a step of a star to its centre
    completions: int = 0  # to the application node: a last step, or one whose output was asked for, is done
    frame_bytes: int = 0  # of these three, whatever they carry
    argument_bytes: int = 0  # of them, the values that one step gives to another: integers, arrays, bytes, texts
    output_bytes: int = 0  # of them, the outputs that the client asked for
    fetched_bytes: int = 0  # values that the receiver has fetched: they are Memory
    acknowledgements: int = 0  # of frames that went the other way; those of some 0.2 s are one message
    finished: int = 0  # news that the run is over; those of some 0.2 s are one message

    @property
    def hops(self) -> int:
        """The messages that the run waited for."""
        return self.requests + self.replies + self.completions

    @property
    def control(self) -> int:
        """The messages that nobody waited for; a message may be shared with other runs."""
        return self.acknowledgements + self.finished

    @property
    def value_bytes(self) -> int:
        """The values that one step has given to another, by whichever way."""
        return self.argument_bytes + self.fetched_bytes

    @property
    def total_bytes(self) -> int:
        """All bytes that the run waited for."""
        return self.frame_bytes + self.fetched_bytes

    def __add__(self, other: Charge) -> Charge:
        return Charge(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Charge)))


class Bill(Mapping[Link, Charge]):
    """The charges of a run by link, `bill["storage-0", "cnn-0"]`, those of its last attempt.

    What goes between the client and the application node, on one host, is not on it.
    """

    def __init__(self, result: application_pb2.RunResult) -> None:
        self._charges: dict[Link, Charge] = {}
        self.attempts = result.attempt  # how often the run was sent
        for hop in result.trail:
            for arrival in hop.arrivals:
                self._add(arrival, hop.node, "requests")
        for arrival in result.arrivals:
            self._add(arrival, result.home, "replies" if arrival.reply else "completions")
        for source, target in list(self._charges):
            frames = self._charges[source, target].hops
            if frames:
                self._of(target, source).acknowledgements += frames
        for node in {hop.node for hop in result.trail}:
            self._of(result.home, node).finished += 1
            self._of(node, result.home).acknowledgements += 1

    def __getitem__(self, link: Link) -> Charge:
        return self._charges[link]

    def __iter__(self) -> Iterator[Link]:
        return iter(sorted(self._charges))

    def __len__(self) -> int:
        return len(self._charges)

    @property
    def total(self) -> Charge:
        """The sum over all links."""
        return sum(self._charges.values(), Charge())

    def __str__(self) -> str:
        """A table: a line for each link, and their sum."""
        rows: list[tuple[str, ...]] = [("link", *_COLUMNS)]
        rows += [(f"{source} -> {target}", *_cells(self[source, target])) for source, target in self]
        rows.append(("total", *_cells(self.total)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
        return "\n".join(lines) + (f"\n(the last of {self.attempts} attempts)" if self.attempts > 1 else "")

    def _of(self, source: str, target: str) -> Charge:
        return self._charges.setdefault((source, target), Charge())

    def _add(self, arrival: fractos_pb2.Arrival, target: str, kind: str) -> None:
        charge = self._of(arrival.source, target)
        if not arrival.frame_bytes:
            charge.fetched_bytes += arrival.value_bytes
            return
        setattr(charge, kind, getattr(charge, kind) + 1)
        charge.frame_bytes += arrival.frame_bytes
        charge.argument_bytes += arrival.value_bytes
        charge.output_bytes += arrival.output_bytes


_COLUMNS = ("hops", "requests", "replies", "completions", "control", "frame B", "arguments B", "fetched B", "outputs B")


def _cells(charge: Charge) -> list[str]:
    counts = (charge.hops, charge.requests, charge.replies, charge.completions, charge.control)
    sizes = (charge.frame_bytes, charge.argument_bytes, charge.fetched_bytes, charge.output_bytes)
    return [f"{number:,}" for number in (*counts, *sizes)]
