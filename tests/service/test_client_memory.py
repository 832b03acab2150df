"""What an application does with Memory: leave it at a node, use it in graphs, narrow, copy and free it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import numpy
import pytest

from protos import fractos_pb2
from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.capability import Rights
from Services.fractos.client_memory import NoStore
from Services.fractos.errors import (
    FailedPreconditionError,
    FractosError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
)
from Services.fractos.memory_block import SealedFile
from Services.fractos.transport.memory_fetcher import MemoryFetcher
from Services.fractos.transport.memory_traffic import MemoryTraffic
from tests.nodes import Nodes, nodes
from tests.waiting import on_event_loop

__all__ = ["nodes"]

ARRAY = numpy.arange(1 << 18, dtype="int32").reshape(256, 1024)
TEXT = "zwölf " * 20_000


@pytest.fixture(scope="module")
def datacenter(nodes: Nodes) -> Iterator[Datacenter]:
    with connect(nodes.root) as connected:
        yield connected


@pytest.mark.parametrize("node", ["", "math-1", "storage-0"])
def test_an_array_is_left_at_a_node_and_used_by_graphs(datacenter: Datacenter, nodes: Nodes, node: str) -> None:
    memory = datacenter.memory(ARRAY, node=node)
    assert memory.owner == nodes.address(node or "application-0")
    assert numpy.array_equal(memory.read(), ARRAY)
    for _ in range(2):
        graph = TaskGraph("with memory")
        scaled = graph.output(graph.node("math-0").scale(tensor=memory, factor=2.0))
        result = datacenter.run(graph)
        assert numpy.array_equal(result[scaled].tensor, ARRAY * 2.0)
        assert result.trail[0].fetched_bytes == ARRAY.nbytes
    memory.release()
    with pytest.raises(NotFoundError):
        memory.read()


def test_bytes_become_bytes_and_texts(datacenter: Datacenter) -> None:
    memory = datacenter.memory(TEXT.encode())
    graph = TaskGraph("with bytes")
    graph.storage.write_text(client_id="admin", name="left.txt", text=memory)
    graph.storage.write_bytes(client_id="admin", name="left.bin", data=memory)
    texts = [
        graph.output(graph.storage.read_text(client_id="admin", name=name, after=graph.steps[:2]))
        for name in ("left.txt", "left.bin")
    ]
    result = datacenter.run(graph)
    assert [result[text].text for text in texts] == [TEXT, TEXT]
    assert memory.read() == TEXT.encode()


def test_bytes_that_are_no_text_are_no_text(datacenter: Datacenter) -> None:
    graph = TaskGraph("no text")
    graph.storage.write_text(client_id="admin", name="none.txt", text=datacenter.memory(b"\xff" * 10))
    with pytest.raises(InvalidArgumentError, match="UTF-8"):
        datacenter.run(graph)


def test_a_part_is_read_and_no_more(datacenter: Datacenter) -> None:
    whole = datacenter.memory(bytes(range(256)) * 1000)
    part = whole.narrow(offset=10, size=20)
    assert part.read() == bytes(range(10, 30))
    assert part.narrow(offset=5, size=1).read() == bytes([15])
    graph = TaskGraph("part")
    graph.storage.write_bytes(client_id="admin", name="part.bin", data=part)
    back = graph.storage.read_bytes(client_id="admin", name="part.bin", after=graph.steps[0])
    assert datacenter.run(graph)[back].data == bytes(range(10, 30))
    with pytest.raises(OutOfRangeError):
        part.narrow(offset=15, size=6)
    with pytest.raises(PermissionDeniedError, match="release"):
        part.release()
    with pytest.raises(PermissionDeniedError, match="read"):
        whole.narrow(rights=Rights.RELEASE).read()


def test_a_third_party_has_bytes_copied_from_node_to_node(datacenter: Datacenter) -> None:
    source = datacenter.memory(TEXT.encode(), node="math-0")
    target = datacenter.create_memory(source.size_bytes, node="storage-0")
    with pytest.raises(FailedPreconditionError, match="not published"):
        target.read()
    target.copy_from(source)
    published = target.publish()
    assert published.read() == TEXT.encode()
    with pytest.raises(FailedPreconditionError, match="published"):
        target.copy_from(source)
    with pytest.raises(InvalidArgumentError):
        datacenter.create_memory(5).copy_from(source)
    with pytest.raises(PermissionDeniedError, match="write"):
        datacenter.create_memory(source.size_bytes).narrow(rights=Rights.READ).copy_from(source)


def test_a_closed_connection_frees_what_it_left(nodes: Nodes, datacenter: Datacenter) -> None:
    with connect(nodes.root) as closing:
        memory = closing.memory(ARRAY)
    graph = TaskGraph("freed")
    graph.math.scale(tensor=memory, factor=1.0)
    with pytest.raises(NotFoundError, match="released"):
        datacenter.run(graph)


def test_what_cannot_be_left_is_refused(datacenter: Datacenter) -> None:
    for value, node, error in (
        ([1, 2], "", InvalidArgumentError),
        (numpy.array(["a"]), "", InvalidArgumentError),
        (b"x", "math-9", NotFoundError),
    ):
        with pytest.raises(error):
            datacenter.memory(value, node=node)  # type: ignore[arg-type]
    graph = TaskGraph("mixed up")
    array, plain = datacenter.memory(ARRAY), datacenter.memory(b"plain")
    with pytest.raises(FractosError, match="plain bytes, not to an array"):
        graph.math.scale(tensor=plain, factor=1.0)
    with pytest.raises(FractosError, match="not to plain bytes"):
        graph.storage.write_bytes(client_id="admin", name="x", data=array)


def test_what_is_handed_over_must_be_sealed_and_allowed(nodes: Nodes) -> None:
    capability, owner = nodes.authority().capability("math"), nodes.address("math-0")

    @on_event_loop
    async def test() -> None:
        fetcher = MemoryFetcher(NoStore(), time.time, MemoryTraffic())
        with contextlib.closing(SealedFile(8)) as block:
            block.write(0, b"01234567")
            with pytest.raises(InvalidArgumentError, match="no sealed memfd of 8 bytes"):
                await fetcher.hand_over(owner, block.descriptor(), 8, capability)
            block.seal()
            for size, allowed, error in (
                (7, capability, InvalidArgumentError),
                (8, fractos_pb2.Capability(), PermissionDeniedError),
                (8, nodes.authority().capability("storage"), PermissionDeniedError),
            ):
                with pytest.raises(error):
                    await fetcher.hand_over(owner, block.descriptor(), size, allowed)
            memory = await fetcher.hand_over(owner, block.descriptor(), 8, capability)
        assert memory is not None
        with await fetcher.fetch(memory, time.time() + 10) as view:
            assert bytes(view.buffer) == b"01234567"
        await fetcher.close()

    test()
