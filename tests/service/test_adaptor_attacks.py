"""A device that wants more Memory than its calls were given: its own run ends, and no byte reaches anybody."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import numpy
import pytest

from protos import fractos_pb2, fractos_pb2_grpc, math_pb2
from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.errors import InternalError, NotFoundError
from Services.fractos.values import to_big_integer
from tests.nodes import CONTROLLERS, Nodes, running
from tests.service.attackers import call, status_of
from tests.service.malicious_node import Theft

SECRET = numpy.arange(1 << 17, dtype="uint8")  # of alice
OWN = numpy.ones(1 << 17, dtype="uint8")  # of eve
ALICE, EVE = "alice", "eve"


@pytest.fixture(scope="module")
def malicious(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    scripts = {**CONTROLLERS, "math": "tests/service/malicious_node.py"}
    with running(tmp_path_factory.mktemp("malicious"), "application-0", "storage-0", "math-0", scripts=scripts) as started:
        for client in (ALICE, EVE):
            started.issue(client)
        yield started


@pytest.fixture(scope="module")
def eve(malicious: Nodes) -> Iterator[Datacenter]:
    with connect(malicious.root, client_id=EVE) as connected:
        yield connected


@pytest.fixture(scope="module", autouse=True)
def _alice_was_there(malicious: Nodes) -> Iterator[None]:
    """Her Memory is still there, and the device knows what to ask for."""
    with connect(malicious.root, client_id=ALICE) as alice:
        memory = alice.memory(SECRET, node="math-0")
        graph = TaskGraph("innocent")
        same = graph.output(graph.math.scale(tensor=memory, factor=float(Theft.KEEP)))
        assert numpy.array_equal(alice.run(graph)[same].tensor, SECRET)
        yield
        assert numpy.array_equal(memory.read(), SECRET)


def theft(datacenter: Datacenter, what: Theft) -> numpy.ndarray:
    """What comes of a call that does so with eve's own Memory."""
    graph = TaskGraph(what.name)
    step = graph.output(graph.math.scale(tensor=datacenter.memory(OWN, node="math-0"), factor=float(what)))
    tensor: numpy.ndarray = datacenter.run(graph)[step].tensor
    return tensor


@pytest.mark.parametrize(
    "what",
    [Theft.RETURN_KEPT, Theft.RETURN_PART, Theft.RETURN_GUESSED, Theft.RETURN_WITH_A_CAPABILITY],
    ids=lambda what: what.name,
)
def test_what_a_call_was_not_given_it_does_not_return(eve: Datacenter, what: Theft) -> None:
    with pytest.raises(InternalError, match="returned as tensor a Memory that it neither was given nor made"):
        theft(eve, what)


def test_nor_does_a_call_on_the_event_loop(eve: Datacenter) -> None:
    """Its response is so small that there is nothing in it to be moved out."""
    for is_last in (True, False):
        graph = TaskGraph("inline")
        step = graph.math.shift_left(value=1, bits=Theft.RETURN_KEPT)
        if not is_last:
            graph.storage.write_integer(client_id=EVE, name="stolen.txt", value=step.value)
        with pytest.raises(InternalError, match="returned as value a Memory that it neither was given nor made"):
            eve.run(graph)
    assert not [*eve.root.rglob("stolen.txt")]
    graph = TaskGraph("innocent")
    step = graph.math.shift_left(value=7, bits=Theft.KEEP)
    assert eve.run(graph)[step].value == 7


def test_what_a_call_was_given_it_may_return_and_not_elsewhere(eve: Datacenter) -> None:
    """Where it is and what allows it, the Controller remembers: what the Adaptor says of that does not count."""
    for what in (Theft.KEEP, Theft.RETURN_WITH_ANOTHER_OWNER):
        assert numpy.array_equal(theft(eve, what), OWN)


def test_what_a_call_was_not_given_it_does_not_read(malicious: Nodes, eve: Datacenter) -> None:
    with connect(malicious.root, client_id=ALICE) as alice:
        graph = TaskGraph("innocent")
        graph.math.scale(tensor=alice.memory(SECRET, node="math-0"), factor=float(Theft.KEEP))
        alice.run(graph)
        with pytest.raises(NotFoundError, match="was not given this Memory"):
            theft(eve, Theft.READ_KEPT)


def test_what_a_call_is_given_holds_no_capability(eve: Datacenter) -> None:
    assert theft(eve, Theft.LOOK_FOR_CAPABILITIES).tolist() == [0]


def test_a_direct_call_returns_a_reference_that_opens_nothing(malicious: Nodes) -> None:
    request = math_pb2.ShiftLeftRequest(bits=to_big_integer(Theft.RETURN_KEPT))
    capability = malicious.authority(EVE).capability("math")
    memory = call(malicious, "math-0", "math.shift_left", request, capability).value.memory
    assert memory.object and not memory.HasField("capability")
    for carried_along in (None, capability):
        if carried_along is not None:
            memory.capability.CopyFrom(carried_along)
        with grpc.insecure_channel(memory.owner) as channel:
            stub = fractos_pb2_grpc.MemoryStoreStub(channel)
            answers = stub.Read(fractos_pb2.ReadMemoryRequest(memory=memory), timeout=30)
            assert status_of(list, answers) == "PERMISSION_DENIED"
