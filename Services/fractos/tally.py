"""What comes over the network for a run, noted where it arrives: the entries of its bill. Pure.

As plain values, which keep no frame alive; `bill.py` adds them up at the client.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from protos import fractos_pb2
from Services.fractos.large_values import part_of
from Services.fractos.placement import Placement


def note_arrival(request: fractos_pb2.Request, source: str, frame_bytes: int) -> None:
    """Write into a Request that has arrived where it came from. What it carries its sender has noted."""
    request.arrival.source = source
    request.arrival.frame_bytes = frame_bytes


def request_arrivals(arrived: Iterable[fractos_pb2.Request]) -> list[dict[str, Any]]:
    """The Requests that a step was waiting for, but for those that this very node has sent."""
    return [
        {
            "source": request.arrival.source,
            "frame_bytes": request.arrival.frame_bytes,
            "value_bytes": request.arrival.value_bytes,
        }
        for request in arrived
        if request.arrival.frame_bytes
    ]


def memory_arrivals(memories: Iterable[fractos_pb2.Memory], address: str, placement: Placement) -> list[dict[str, Any]]:
    """What the node at `address` has to fetch, each part once."""
    parts = {part_of(one): one for one in memories if one.owner != address}
    return [{"source": placement.name_at(one.owner) or one.owner, "value_bytes": one.size} for one in parts.values()]


def completion_arrival(completion: fractos_pb2.Completion, source: str, frame_bytes: int) -> dict[str, Any]:
    """A Completion that has come home."""
    return {
        "source": source,
        "frame_bytes": frame_bytes,
        "value_bytes": completion.reply.value_bytes,
        "output_bytes": completion.output_bytes,
        "reply": completion.HasField("reply"),
    }
