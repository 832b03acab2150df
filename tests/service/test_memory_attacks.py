"""Who is not allowed to touch a Memory does not: by no reference that can be made up, on no way to the bytes."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos import fractos_pb2, fractos_pb2_grpc, math_pb2, storage_pb2
from Services.fractos import Datacenter, connect
from Services.fractos.capability import NONCE_BYTES, OBJECT_BYTES, Rights, issue_for_memory, narrow
from Services.fractos.graph import default_catalogue
from Services.fractos.keys import load_or_make_key
from Services.fractos.transport import memory_packets
from tests.nodes import Nodes, nodes, running
from tests.service.attackers import carried, outcome, status_of, step
from tests.waiting import until

__all__ = ["nodes"]

ALICE, EVE = "alice", "eve"
DENIED = "PERMISSION_DENIED"
NONCE = bytes(NONCE_BYTES)
SECRET = bytes(range(200))
SHAPE = [200]
Reference = fractos_pb2.Memory


@pytest.fixture(scope="module", autouse=True)
def clients(nodes: Nodes) -> None:
    for client in (ALICE, EVE):
        nodes.issue(client)


@pytest.fixture(scope="module")
def alice(nodes: Nodes) -> Iterator[Datacenter]:
    with connect(nodes.root, client_id=ALICE) as connected:
        yield connected


@pytest.fixture(scope="module")
def eve(nodes: Nodes) -> Iterator[Datacenter]:
    with connect(nodes.root, client_id=EVE) as connected:
        yield connected


@pytest.fixture(scope="module")
def hers(alice: Datacenter) -> Reference:
    """A Memory of alice at math-0, published."""
    return alice.memory(SECRET, node="math-0").memory


@pytest.fixture(scope="module")
def mine(eve: Datacenter) -> Reference:
    """One of eve, at the same node and of the same size."""
    return eve.memory(bytes(len(SECRET)), node="math-0").memory


@contextmanager
def store(address: str) -> Iterator[fractos_pb2_grpc.MemoryStoreStub]:
    with grpc.insecure_channel(address) as channel:
        yield fractos_pb2_grpc.MemoryStoreStub(channel)


def read(memory: Reference, address: str = "") -> bytes:
    """The bytes of a Memory, from its owner. Raises RpcError."""
    with store(address or memory.owner) as stub:
        return b"".join(answer.data for answer in stub.Read(fractos_pb2.ReadMemoryRequest(memory=memory), timeout=30))


def ask(rpc: str, request: Any, address: str) -> None:
    """Make a unary call of a MemoryStore. Raises RpcError."""
    with store(address) as stub:
        getattr(stub, rpc)(request, timeout=30)


def changed(memory: Reference, **fields: Any) -> Reference:
    """A reference with other fields; `capability` None: with none."""
    copy = fractos_pb2.Memory()
    copy.CopyFrom(memory)
    for name, value in fields.items():
        if value is None:
            copy.ClearField(name)
        elif isinstance(value, fractos_pb2.Capability):
            getattr(copy, name).CopyFrom(value)
        else:
            setattr(copy, name, value)
    return copy


def fabrications(nodes: Nodes, hers: Reference, mine: Reference) -> dict[str, Reference]:
    """What eve can make who has seen all of alice's reference but the capability."""
    capability = mine.capability
    of_a_service_key = issue_for_memory(
        load_or_make_key(nodes.configuration.keys_path, "math"),
        NONCE,
        object=hers.object,
        size=hers.size,
        rights=Rights.READ,
        expires_at=time.time() + 60,
    )
    relabelled = fractos_pb2.Link.FromString(capability.links[0])
    relabelled.object = hers.object
    return {
        "bare": changed(hers, capability=None),
        "with the capability of another object": changed(hers, capability=capability),
        "with the capability for operations": changed(hers, capability=nodes.authority(EVE).capability("math")),
        "with a link of her own": changed(
            hers, capability=fractos_pb2.Capability(links=[relabelled.SerializeToString()], seal=capability.seal)
        ),
        "with alice's links": changed(
            hers, capability=fractos_pb2.Capability(links=hers.capability.links, seal=capability.seal)
        ),
        "made with the key of the nodes' type": changed(hers, capability=of_a_service_key),
        "a number that was guessed": changed(mine, object=secrets.token_bytes(OBJECT_BYTES)),
        "the next number": changed(mine, object=(int.from_bytes(mine.object, "big") ^ 1).to_bytes(OBJECT_BYTES, "big")),
        "no number": changed(mine, object=b""),
    }


def tensor(memory: Reference) -> math_pb2.ScaleRequest:
    return math_pb2.ScaleRequest(tensor=fractos_pb2.Tensor(dtype="uint8", shape=[memory.size], memory=memory), factor=1.0)


def uses(nodes: Nodes, memory: Reference, node: str) -> dict[str, str]:
    """How every way to the bytes of a reference ends, for eve."""
    math, storage = (nodes.authority(EVE).capability(service) for service in ("math", "storage"))
    write = storage_pb2.WriteBytesRequest(client_id=EVE, name="stolen")
    argument = fractos_pb2.Argument(name="data", memory=memory)
    return {
        "read": status_of(read, memory),
        "static tensor": outcome(nodes, EVE, step(1, "math.scale", tensor(memory), math, node=node)),
        "argument": outcome(nodes, EVE, step(1, "storage.write_bytes", write, storage, memories=[argument])),
    }


@pytest.mark.parametrize("node", ["math-0", "math-1"], ids=["at the owner", "at another node"])
def test_no_reference_can_be_made_up(nodes: Nodes, hers: Reference, mine: Reference, node: str) -> None:
    for name, memory in fabrications(nodes, hers, mine).items():
        assert set(uses(nodes, memory, node).values()) == {DENIED}, name
    assert set(uses(nodes, mine, node).values()) == {"OK"}  # so it is not the way of asking that was refused
    assert (nodes.root / "Services" / "storage" / EVE / "stolen").read_bytes() == bytes(len(SECRET))


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 10), (9, 1), (10, 11), (20, 1), (0, 200), (10, 2**64 - 1), (2**64 - 1, 1), (2**64 - 1, 2**64 - 1), (2**64 - 6, 16)],
)
def test_nothing_is_read_beyond_a_part(nodes: Nodes, hers: Reference, offset: int, size: int) -> None:
    """Alice has given away bytes 10 to 20."""
    given = changed(hers, offset=10, size=10, capability=narrow(hers.capability, NONCE, offset=10, size=10, rights=Rights.READ))
    assert read(given) == SECRET[10:20]
    beyond = changed(given, offset=offset, size=size)
    assert status_of(read, beyond) == DENIED
    shape = [min(size, 2**32 - 1)]
    request = math_pb2.ScaleRequest(tensor=fractos_pb2.Tensor(dtype="uint8", shape=shape, memory=beyond), factor=1.0)
    assert outcome(nodes, EVE, step(1, "math.scale", request, nodes.authority(EVE).capability("math"))) == DENIED
    wider = changed(beyond, capability=narrow(given.capability, bytes([1] * NONCE_BYTES), offset=0, size=200))
    assert status_of(read, wider) == DENIED


def test_a_part_of_a_part_that_overflows_is_no_part(alice: Datacenter) -> None:
    whole = alice.memory(SECRET, node="math-0").memory
    for offset, size in ((2**64 - 1, 2), (1, 2**64 - 1), (201, 0), (0, 201)):
        capability = narrow(whole.capability, NONCE, offset=offset, size=size)
        assert status_of(read, changed(whole, capability=capability)) == DENIED


class TestWriting:
    """Eve was given a part of what alice is still writing, or the right to read only."""

    def target(self, alice: Datacenter) -> Reference:
        return alice.create_memory(len(SECRET), node="math-0").memory

    def test_what_is_not_published_is_not_read(self, nodes: Nodes, alice: Datacenter) -> None:
        assert set(uses(nodes, self.target(alice), "math-1").values()) == {"FAILED_PRECONDITION"}

    def test_a_reader_does_not_write_publish_or_release(self, alice: Datacenter, mine: Reference) -> None:
        target = self.target(alice)
        reader = changed(target, capability=narrow(target.capability, NONCE, rights=Rights.READ))
        self.refused(reader, mine)
        self.unharmed(target)

    def test_who_has_a_part_does_not_write_publish_or_release_the_whole(self, alice: Datacenter, mine: Reference) -> None:
        target = self.target(alice)
        capability = narrow(target.capability, NONCE, offset=0, size=10)
        part = changed(target, size=10, capability=capability)
        self.refused(changed(target, capability=capability), mine)
        assert status_of(ask, "Publish", fractos_pb2.PublishMemoryRequest(memory=part), target.owner) == DENIED
        assert status_of(ask, "Release", fractos_pb2.ReleaseMemoryRequest(memory=part), target.owner) == DENIED
        too_much = fractos_pb2.CopyMemoryRequest(source=mine, target=part)
        assert status_of(ask, "Copy", too_much, target.owner) == "INVALID_ARGUMENT"
        self.unharmed(target)

    def test_what_is_published_stays_as_it_is(self, alice: Datacenter, mine: Reference) -> None:
        target = alice.memory(SECRET, node="math-0").memory
        everything = fractos_pb2.CopyMemoryRequest(source=mine, target=alice.create_memory(200, node="math-0").publish().memory)
        assert status_of(ask, "Copy", everything, target.owner) == "FAILED_PRECONDITION"
        assert status_of(ask, "Copy", fractos_pb2.CopyMemoryRequest(source=mine, target=target), target.owner) != "OK"
        assert read(target) == SECRET

    def test_a_copy_needs_the_right_to_its_source(self, eve: Datacenter, hers: Reference) -> None:
        target = eve.create_memory(len(SECRET), node="math-1")
        bare = changed(hers, capability=None)
        request = fractos_pb2.CopyMemoryRequest(source=bare, target=target.memory)
        assert status_of(ask, "Copy", request, target.owner) == DENIED
        assert target.publish().read() == bytes(len(SECRET))

    def refused(self, memory: Reference, source: Reference) -> None:
        requests = {
            "Copy": fractos_pb2.CopyMemoryRequest(source=source, target=memory),
            "Publish": fractos_pb2.PublishMemoryRequest(memory=memory),
            "Release": fractos_pb2.ReleaseMemoryRequest(memory=memory),
        }
        assert {rpc: status_of(ask, rpc, request, memory.owner) for rpc, request in requests.items()} == dict.fromkeys(
            requests, DENIED
        )

    def unharmed(self, target: Reference) -> None:
        """It is there, not yet published, and nothing was written."""
        assert status_of(read, target) == "FAILED_PRECONDITION"
        ask("Publish", fractos_pb2.PublishMemoryRequest(memory=target), target.owner)
        assert read(target) == bytes(len(SECRET))


@pytest.mark.parametrize("what", ["none", "a step's", "another node's", "another service's", "a Memory's"])
def test_nothing_is_left_at_a_node_without_the_right(nodes: Nodes, hers: Reference, what: str) -> None:
    math = nodes.authority(EVE).capability("math")
    capabilities = {
        "none": None,
        "a step's": narrow(math, NONCE, operation="math.scale"),
        "another node's": narrow(math, NONCE, node="math-1"),
        "another service's": nodes.authority(EVE).capability("storage"),
        "a Memory's": hers.capability,
    }
    with store(nodes.address("math-0")) as stub:
        create = iter([fractos_pb2.CreateMemoryRequest(size=10)])
        call = stub.Create(create, metadata=carried(capabilities[what]), timeout=30)
        assert status_of(next, call) == DENIED


# -- what must not be called ----------------------------------------------------------------------------------------------


@contextmanager
def silent() -> Iterator[tuple[str, Callable[[], bool]]]:
    """An address that is no node's, and whether anybody has called there: by TCP or on the socket for Memory."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    local = memory_packets.new_socket()
    local.bind(memory_packets.socket_name(address))
    local.listen()
    listener.setblocking(False)

    def was_called() -> bool:
        for one in (listener, local):
            try:
                one.accept()[0].close()
            except BlockingIOError:
                continue
            return True
        return False

    with listener, local:
        yield address, was_called


def test_no_node_calls_an_address_that_a_reference_names(nodes: Nodes, eve: Datacenter, mine: Reference) -> None:
    with silent() as (address, was_called):
        foreign = changed(mine, owner=address)
        target = eve.create_memory(mine.size, node="math-0").memory
        copy = fractos_pb2.CopyMemoryRequest(source=foreign, target=target)
        for owner in (address, "", "localhost:1", f"ipv4:{address}", f"{address}/"):
            copy.source.owner = owner
            assert status_of(ask, "Copy", copy, target.owner) == "UNAVAILABLE", owner
            forged = changed(mine, owner=owner)
            math = nodes.authority(EVE).capability("math")
            assert outcome(nodes, EVE, step(1, "math.scale", tensor(forged), math, node="math-0")) != "OK", owner
        assert not was_called()
        # A listener that is called notices: else the silence above means nothing.
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))).close()
        assert was_called()


def test_memory_does_not_outlive_its_node(tmp_path: Path) -> None:
    with running(tmp_path, "application-0", "math-0") as own, connect(own.root) as datacenter:
        memory = datacenter.memory(SECRET, node="math-0").memory
        own.kill("math-0")
        own.start("math-0")
        until(lambda: own.address("math-0") != memory.owner)
        assert status_of(read, changed(memory, owner=own.address("math-0"))) == DENIED
        math = own.authority().capability("math")
        assert outcome(own, "admin", step(1, "math.scale", tensor(memory), math)) == "UNAVAILABLE"


def test_every_operation_that_takes_a_value_is_known() -> None:
    """The ways to hand a reference to a node: if another kind of argument comes, it belongs into `uses`."""
    fields = [field for what in default_catalogue() for field in what.arguments().values()]
    kinds = {field.message_type.full_name for field in fields if field.message_type is not None}
    assert kinds <= {fractos_pb2.Tensor.DESCRIPTOR.full_name, fractos_pb2.BigInteger.DESCRIPTOR.full_name}
