"""What goes over which link: large values go once, from the node that made them to the one that needs them."""

from __future__ import annotations

import io

import grpc
import pytest
from PIL import Image

from protos import fractos_pb2, fractos_pb2_grpc
from Services.fractos import TaskGraph, connect
from tests.nodes import CLIENT, Nodes, nodes

__all__ = ["nodes"]

SIDE = 1826  # a picture of 10 MB
NAMES = ("application-0", "storage-0", "math-0", "math-1")


def count(nodes: Nodes) -> dict[tuple[str, str], fractos_pb2.LinkCount]:
    """What each node has sent to each other one, by their names."""
    name_of = {nodes.address(name): name for name in NAMES}
    counted: dict[tuple[str, str], fractos_pb2.LinkCount] = {}
    for name in NAMES:
        with nodes.channel(name) as channel:
            response = fractos_pb2_grpc.TrafficStub(channel).Count(fractos_pb2.CountRequest())
        counted |= {(name, name_of[link.peer]): link for link in response.links if link.peer in name_of}
    return counted


def test_a_picture_goes_once_and_not_through_the_application_node(nodes: Nodes) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), "teal").save(picture, "PNG")
    folder = nodes.root / "Services/storage" / CLIENT
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "teal.png").write_bytes(picture.getvalue())
    graph = TaskGraph("picture")
    read = graph.storage.read_image(client_id=CLIENT, name="teal.png", width=SIDE, height=SIDE)
    graph.node("math-1").scale(tensor=read.image, factor=1.0)
    with connect(nodes.root) as datacenter:
        datacenter.run(graph)  # channels are open now
        before = count(nodes)
        datacenter.run(graph)
    after = count(nodes)

    def grown(field: str) -> dict[tuple[str, str], int]:
        empty = fractos_pb2.LinkCount()
        grown = {link: getattr(now, field) - getattr(before.get(link, empty), field) for link, now in after.items()}
        return {link: value for link, value in grown.items() if value}

    assert grown("memory_mapped") == {("storage-0", "math-1"): SIDE * SIDE * 3}
    assert grown("memory_streamed") == {}
    control = grown("frame_bytes_sent")
    assert control.keys() >= {("application-0", "storage-0"), ("storage-0", "math-1"), ("math-1", "application-0")}
    assert sum(control.values()) < 2048, control


def test_counters_are_not_for_everybody(nodes: Nodes) -> None:
    with grpc.insecure_channel(nodes.address("math-0")) as channel, pytest.raises(grpc.RpcError) as refused:
        fractos_pb2_grpc.TrafficStub(channel).Count(fractos_pb2.CountRequest())
    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
