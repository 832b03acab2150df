"""A client that meddles with the runs of another, and a stranger that speaks for Controllers: nobody believes them."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Iterator

import grpc
import pytest

from protos import application_pb2, application_pb2_grpc, fractos_pb2, fractos_pb2_grpc, math_pb2, storage_pb2
from Services.fractos import TaskGraph
from Services.fractos.capability import NONCE_BYTES, narrow, verify
from Services.fractos.keys import load_or_make_key
from Services.fractos.transport.call_proof import CallProver
from Services.fractos.transport.capabilities import CONFIRM
from Services.fractos.values import from_big_integer
from tests.nodes import Nodes, nodes, slow_graph
from tests.service.attackers import call, carried, outcome, status_of, step
from tests.service.strangers import opening_for, send
from tests.waiting import on_event_loop

__all__ = ["nodes"]

ALICE, EVE = "alice", "eve"
DENIED = "PERMISSION_DENIED"
NONCE = bytes(NONCE_BYTES)
Stub = application_pb2_grpc.ApplicationStub


@pytest.fixture(scope="module", autouse=True)
def clients(nodes: Nodes) -> None:
    for client in (ALICE, EVE):
        nodes.issue(client)


@pytest.fixture
def alice(nodes: Nodes) -> Iterator[Stub]:
    with nodes.channel("application-0", ALICE) as channel:
        yield Stub(channel)


@pytest.fixture
def eve(nodes: Nodes) -> Iterator[Stub]:
    with nodes.channel("application-0", EVE) as channel:
        yield Stub(channel)


@pytest.fixture
def submitted(nodes: Nodes, alice: Stub) -> application_pb2.SubmitRequest:
    """A run of alice that takes a second or more."""
    return submit(nodes, alice, slow_graph(40))


def submit(nodes: Nodes, stub: Stub, graph: TaskGraph, client_id: str = ALICE) -> application_pb2.SubmitRequest:
    serialized = nodes.authority(client_id).graph(graph)
    request = application_pb2.SubmitRequest(run_id=uuid.uuid4().bytes, graph=serialized, timeout_s=60)
    stub.Submit(request)
    return request


def watch(stub: Stub, run_id: bytes) -> application_pb2.WatchResponse:
    """How a run ends."""
    last: application_pb2.WatchResponse
    *_, last = stub.Watch(application_pb2.WatchRequest(run_id=run_id), timeout=60)
    return last


def ids(stub: Stub) -> set[bytes]:
    return {run.run_id for run in stub.ListRuns(application_pb2.ListRunsRequest(limit=1000)).runs}


@pytest.mark.parametrize("running", [True, False])
def test_the_run_of_another_client_is_none(
    alice: Stub, eve: Stub, submitted: application_pb2.SubmitRequest, running: bool
) -> None:
    run_id = submitted.run_id
    if not running:
        watch(alice, run_id)
    assert status_of(watch, eve, run_id) == "NOT_FOUND"
    assert status_of(eve.Cancel, application_pb2.CancelRequest(run_id=run_id)) == "NOT_FOUND"
    again = application_pb2.SubmitRequest(run_id=run_id, graph=submitted.graph, timeout_s=60)
    assert status_of(eve.Submit, again) == "ALREADY_EXISTS"
    requests = [
        application_pb2.SessionRequest(submit=again),
        application_pb2.SessionRequest(cancel=application_pb2.CancelRequest(run_id=run_id)),
    ]
    answers = list(eve.Session(iter([application_pb2.SessionRequests(requests=requests)]), timeout=30))
    (result,) = (result for answer in answers for result in answer.results)
    assert (result.failure.status, len(result.trail)) == ("ALREADY_EXISTS", 0)
    assert run_id not in ids(eve)
    assert run_id in ids(alice)
    assert watch(alice, run_id).state == application_pb2.SUCCEEDED


def test_an_id_that_another_client_has_used_is_not_taken_from_it(nodes: Nodes, alice: Stub, eve: Stub) -> None:
    """Eve is first: alice gets an error, not eve's results."""
    run_id = submit(nodes, eve, slow_graph(1), EVE).run_id
    graph = nodes.authority(ALICE).graph(slow_graph(1))
    request = application_pb2.SubmitRequest(run_id=run_id, graph=graph, timeout_s=60)
    assert status_of(alice.Submit, request) == "ALREADY_EXISTS"
    assert watch(eve, run_id).state == application_pb2.SUCCEEDED


@pytest.mark.parametrize("service", ["none", "storage", "narrowed"])
def test_runs_need_a_capability_for_runs(nodes: Nodes, service: str) -> None:
    capabilities = {
        "none": None,
        "storage": nodes.authority(EVE).capability("storage"),
        "narrowed": narrow(nodes.authority(EVE).capability("application"), NONCE, client_id=ALICE),
    }
    metadata = carried(capabilities[service])
    graph = nodes.authority(EVE).graph(slow_graph(1))
    with grpc.insecure_channel(nodes.address("application-0")) as channel:
        stub = Stub(channel)
        run_id = uuid.uuid4().bytes
        request = application_pb2.SubmitRequest(run_id=run_id, graph=graph, timeout_s=60)
        requests = iter([application_pb2.SessionRequests()])
        assert status_of(stub.Submit, request, metadata=metadata) == DENIED
        assert status_of(stub.Cancel, application_pb2.CancelRequest(run_id=run_id), metadata=metadata) == DENIED
        assert status_of(stub.ListRuns, application_pb2.ListRunsRequest(), metadata=metadata) == DENIED
        assert status_of(lambda: list(stub.Watch(application_pb2.WatchRequest(run_id=run_id), metadata=metadata))) == DENIED
        assert status_of(lambda: list(stub.Session(requests, metadata=metadata, timeout=30))) == DENIED


def forged(run_id: bytes) -> list[fractos_pb2.Frame]:
    """What would end a run, if it came from a Controller."""
    deadline = time.time() + 60
    failure = fractos_pb2.Failure(status="INTERNAL", message="forged")
    return [
        fractos_pb2.Frame(
            completion=fractos_pb2.Completion(run_id=run_id, attempt=1, step=1, failure=failure, deadline=deadline)
        ),
        fractos_pb2.Frame(completion=fractos_pb2.Completion(run_id=run_id, attempt=1, lost=True, deadline=deadline)),
        fractos_pb2.Frame(
            finished=fractos_pb2.Finished(runs=[fractos_pb2.FinishedRun(run_id=run_id, deadline=deadline, drop=True)])
        ),
    ]


@pytest.mark.parametrize("node", ["application-0", "math-0"])
@pytest.mark.parametrize("proof", [b"", bytes(32)], ids=["without a proof", "with a false proof"])
def test_nobody_outside_ends_a_run_with_a_frame(
    nodes: Nodes, alice: Stub, submitted: application_pb2.SubmitRequest, node: str, proof: bytes
) -> None:
    frames = [frame.SerializeToString() for frame in forged(submitted.run_id)]
    address = nodes.address(node)

    @on_event_loop
    async def attack() -> None:
        opening = opening_for(address)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await send(opening, address, lambda *_: proof, *frames)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED

    attack()
    ended = watch(alice, submitted.run_id)
    assert ended.state == application_pb2.SUCCEEDED
    assert {hop.attempt for hop in ended.result.trail} == {1}


@pytest.mark.parametrize("key", [bytes(32), None], ids=["with another key", "for another call"])
def test_nobody_outside_has_a_node_take_note_of_a_revocation(nodes: Nodes, key: bytes | None) -> None:
    capability = nodes.authority(ALICE).capability("math")
    grant = verify(load_or_make_key(nodes.configuration.keys_path, "math"), capability)
    revocation = fractos_pb2.Revocation(service="math", id=grant.ids[-1], expires_at=grant.expires_at)
    confirm = fractos_pb2.ConfirmRequest(revocation=revocation)
    prover = CallProver("test", key or nodes.key, "math-9", time.time, secrets.token_bytes)
    address = nodes.address("math-0")
    with grpc.insecure_channel(address) as channel:
        stub = fractos_pb2_grpc.CapabilitiesStub(channel)
        assert status_of(stub.Confirm, confirm, timeout=30) == "FAILED_PRECONDITION"  # it does not even say whom it wants
        proven = confirm if key else fractos_pb2.ConfirmRequest()
        metadata = prover.metadata(address, CONFIRM, proven)
        assert status_of(stub.Confirm, confirm, metadata=metadata, timeout=30) == "UNAUTHENTICATED"
    request = math_pb2.FactorialRequest(n=fractos_pb2.BigInteger(magnitude=b"\5"))
    assert from_big_integer(call(nodes, "math-0", "math.factorial", request, capability).value) == 120


@pytest.mark.parametrize("change", ["foreign seal", "nothing", "alice's, for her files"])
def test_nobody_revokes_what_he_does_not_hold(nodes: Nodes, change: str) -> None:
    hers, mine = (nodes.authority(client).capability("storage") for client in (ALICE, EVE))
    wrong = {
        "foreign seal": fractos_pb2.Capability(links=hers.links, seal=mine.seal),
        "nothing": fractos_pb2.Capability(),
        "alice's, for her files": narrow(mine, NONCE, client_id=ALICE),
    }
    with grpc.insecure_channel(nodes.address("storage-0")) as channel:
        stub = fractos_pb2_grpc.CapabilitiesStub(channel)
        request = fractos_pb2.RevokeRequest(capability=wrong[change])
        status = status_of(stub.Revoke, request, timeout=30)
    assert status == ("OK" if change == "alice's, for her files" else DENIED)
    for client in (ALICE, EVE):  # what was narrowed from eve's is eve's alone to lose
        graph = TaskGraph("still")
        graph.storage.list(client_id=client, prefix="")
        (made,) = fractos_pb2.Graph.FromString(nodes.authority(client).graph(graph)).steps
        assert outcome(nodes, client, step(1, made.operation, made.arguments, made.capability)) in {"OK", "NOT_FOUND"}


@pytest.mark.parametrize("made_up", [{"epoch": 2**63}, {"needs": 7}, {"process": "made up"}], ids=str)
def test_what_the_application_node_fills_in_is_not_the_clients_to_choose(nodes: Nodes, made_up: dict[str, object]) -> None:
    capability = nodes.authority(EVE).capability("storage")
    request = storage_pb2.WriteTextRequest(client_id=EVE, name="a.txt", text="")
    assert outcome(nodes, EVE, step(1, "storage.write_text", request, capability, **made_up)) == "OK"
