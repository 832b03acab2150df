"""The application node for any language: Submit, Watch, Cancel, ListRuns, and the batched Session."""

from __future__ import annotations

import queue
import uuid
from collections.abc import Iterator
from typing import Protocol

import grpc
import pytest

from protos import application_pb2, application_pb2_grpc, math_pb2
from Services.fractos.graph import TaskGraph
from Services.fractos.values import from_big_integer
from tests.nodes import Nodes, nodes

__all__ = ["nodes"]


@pytest.fixture
def application(nodes: Nodes) -> Iterator[application_pb2_grpc.ApplicationStub]:
    with nodes.channel("application-0") as channel:
        yield application_pb2_grpc.ApplicationStub(channel)


class Submission(Protocol):
    """Makes a request that starts a run of a graph."""

    def __call__(self, task_graph: TaskGraph, /, **fields: object) -> application_pb2.SubmitRequest: ...


@pytest.fixture
def submission(nodes: Nodes) -> Submission:
    authority = nodes.authority()

    def make(task_graph: TaskGraph, /, **fields: object) -> application_pb2.SubmitRequest:
        graph = authority.graph(task_graph)
        request = application_pb2.SubmitRequest(run_id=uuid.uuid4().bytes, graph=graph, timeout_s=20)
        for name, value in fields.items():
            setattr(request, name, value)
        return request

    return make


def quick() -> TaskGraph:
    graph = TaskGraph("quick")
    graph.math.factorial(n=5)
    return graph


def slow() -> TaskGraph:
    """About a second of work in one step after the other."""
    graph = TaskGraph("slow")
    value: object = 9999
    for _ in range(20):
        step = graph.math.binomial_expansion(a=3, b=4, n=value)
        value = graph.math.shift_left(value=9999, bits=0, after=step).value
    return graph


def test_submit_then_watch(application: application_pb2_grpc.ApplicationStub, submission: Submission) -> None:
    request = submission(quick())
    application.Submit(request)
    last = list(application.Watch(application_pb2.WatchRequest(run_id=request.run_id), timeout=10))[-1]
    assert last.state == application_pb2.SUCCEEDED
    (hop,) = last.result.trail
    assert from_big_integer(math_pb2.FactorialResponse.FromString(hop.output).value) == 120
    assert hop.received_at <= hop.started_at <= hop.finished_at
    again = list(application.Watch(application_pb2.WatchRequest(run_id=request.run_id), timeout=10))
    assert again == [last]


def test_watch_shows_a_run_while_it_runs_and_cancel_ends_it(
    application: application_pb2_grpc.ApplicationStub, submission: Submission
) -> None:
    request = submission(slow())
    application.Submit(request)
    watching = application.Watch(application_pb2.WatchRequest(run_id=request.run_id), timeout=20)
    assert next(watching).state == application_pb2.RUNNING
    assert request.run_id in {run.run_id for run in application.ListRuns(application_pb2.ListRunsRequest()).runs}
    assert application.Cancel(application_pb2.CancelRequest(run_id=request.run_id)).cancelled
    last = list(watching)[-1]
    assert last.state == application_pb2.CANCELLED
    assert last.result.failure.status == "CANCELLED"
    assert not application.Cancel(application_pb2.CancelRequest(run_id=request.run_id)).cancelled


def test_list_runs_tells_the_newest_first(application: application_pb2_grpc.ApplicationStub, submission: Submission) -> None:
    requests = [submission(quick()) for _ in range(3)]
    for request in requests:
        application.Submit(request)
        list(application.Watch(application_pb2.WatchRequest(run_id=request.run_id), timeout=10))
    runs = application.ListRuns(application_pb2.ListRunsRequest(limit=3)).runs
    assert [run.run_id for run in runs] == [request.run_id for request in reversed(requests)]
    assert all(run.name == "quick" and run.steps == 1 and run.state == application_pb2.SUCCEEDED for run in runs)
    assert all(run.submitted_at <= run.ended_at <= run.deadline for run in runs)


@pytest.mark.parametrize(
    ("fields", "code", "says"),
    [
        ({"run_id": b"short"}, grpc.StatusCode.INVALID_ARGUMENT, "5 bytes, not 16"),
        ({"timeout_s": -1.0}, grpc.StatusCode.INVALID_ARGUMENT, "timeout_s is -1"),
        ({"timeout_s": float("nan")}, grpc.StatusCode.INVALID_ARGUMENT, "timeout_s is nan"),
        ({"timeout_s": 1e9}, grpc.StatusCode.INVALID_ARGUMENT, "at most 3600"),
        ({"topology": "mesh"}, grpc.StatusCode.INVALID_ARGUMENT, "no topology 'mesh'; there is ring, fast-star, star"),
        ({"graph": b"\xff"}, grpc.StatusCode.INVALID_ARGUMENT, "not a serialized"),
        ({"graph": b""}, grpc.StatusCode.INVALID_ARGUMENT, "0 steps"),
    ],
)
def test_bad_submissions_are_refused(
    application: application_pb2_grpc.ApplicationStub,
    submission: Submission,
    fields: dict[str, object],
    code: grpc.StatusCode,
    says: str,
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        application.Submit(submission(quick(), **fields))
    assert caught.value.code() == code
    assert says in str(caught.value.details())


def test_the_same_run_id_twice_is_one_run(application: application_pb2_grpc.ApplicationStub, submission: Submission) -> None:
    request = submission(quick())
    application.Submit(request)
    *_, first = application.Watch(application_pb2.WatchRequest(run_id=request.run_id))
    application.Submit(request)
    *_, second = application.Watch(application_pb2.WatchRequest(run_id=request.run_id))
    assert first.state == application_pb2.SUCCEEDED
    assert second == first


def test_a_run_id_that_was_used_for_another_graph_is_refused(
    application: application_pb2_grpc.ApplicationStub, submission: Submission
) -> None:
    request = submission(quick())
    application.Submit(request)
    with pytest.raises(grpc.RpcError) as caught:
        application.Submit(submission(slow(), run_id=request.run_id))
    assert caught.value.code() == grpc.StatusCode.ALREADY_EXISTS
    assert "was submitted before with another graph" in str(caught.value.details())


@pytest.mark.parametrize("method", ["Watch", "Cancel"])
def test_an_unknown_run_is_not_found(application: application_pb2_grpc.ApplicationStub, method: str) -> None:
    request = {"Watch": application_pb2.WatchRequest, "Cancel": application_pb2.CancelRequest}[method](run_id=bytes(16))
    with pytest.raises(grpc.RpcError) as caught:
        list(getattr(application, method)(request)) if method == "Watch" else application.Cancel(request)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_type_without_a_node_is_unavailable_at_once(
    application: application_pb2_grpc.ApplicationStub, submission: Submission
) -> None:
    graph = TaskGraph("no cnn here")
    picture = graph.storage.read_image(client_id="admin", name="a.jpg", width=8, height=8)
    graph.cnn.predict(image=picture.image)
    with pytest.raises(grpc.RpcError) as caught:
        application.Submit(submission(graph))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert "no node of type cnn" in str(caught.value.details())


def test_a_session_carries_many_submissions_and_their_results(
    application: application_pb2_grpc.ApplicationStub, submission: Submission
) -> None:
    requests = [submission(quick()) for _ in range(50)]
    refused = submission(quick(), topology="mesh")
    batch = application_pb2.SessionRequests(
        requests=[application_pb2.SessionRequest(submit=request) for request in [*requests, refused]]
    )
    results: dict[bytes, application_pb2.RunResult] = {}
    # The iterator's end closes this half of the stream; what was submitted is answered all the same.
    for responses in application.Session(iter([batch]), timeout=10):
        results |= {result.run_id: result for result in responses.results}
    assert all(not results[request.run_id].HasField("failure") for request in requests)
    assert results[refused.run_id].failure.status == "INVALID_ARGUMENT"


def test_an_empty_message_in_a_session_is_answered_at_once(
    application: application_pb2_grpc.ApplicationStub, submission: Submission
) -> None:
    request = submission(slow())
    messages: queue.SimpleQueue[application_pb2.SessionRequests | None] = queue.SimpleQueue()
    responses = application.Session(iter(messages.get, None), timeout=20)
    assert next(responses) == application_pb2.SessionResponses()
    messages.put(application_pb2.SessionRequests(requests=[application_pb2.SessionRequest(submit=request)]))
    for _ in range(3):
        messages.put(application_pb2.SessionRequests())
        assert next(responses) == application_pb2.SessionResponses()  # the run is not answered yet
    messages.put(None)
    (last,) = responses
    assert [result.run_id for result in last.results] == [request.run_id]
