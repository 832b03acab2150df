"""Runs as an application node describes them, made by hand for the tests of what is shown of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from protos import application_pb2, fractos_pb2
from Services.datacenter.tracing.trace import Trace

BEGAN = 1_700_000_000.0  # when every run here was submitted
RUN = bytes(range(16))
HOME = "application-0"


def graph(*edges: tuple[int, int], steps: int) -> fractos_pb2.Graph:
    """Steps of math and the edges between them."""
    made = fractos_pb2.Graph(name="a graph")
    for number in range(steps):
        step = made.steps.add(id=number, operation="math.power")
        for source, target in edges:
            if source == number:
                step.edges.add(to=target, bindings=[fractos_pb2.Binding(source="value", target="base")])
    return made


def hop(
    step: int, node: str, times: tuple[float, float, float, float], arrivals: Sequence[str] = (), attempt: int = 1
) -> fractos_pb2.Hop:
    """A step that was sent, received, started and finished so many seconds after the submission.

    `arrivals`: the nodes that frames came from.
    """
    sent_at, received_at, started_at, finished_at = (BEGAN + time for time in times)
    return fractos_pb2.Hop(
        step=step,
        node=node,
        attempt=attempt,
        sent_at=sent_at,
        received_at=received_at,
        started_at=started_at,
        finished_at=finished_at,
        request_bytes=10,
        response_bytes=2000,
        arrivals=[fractos_pb2.Arrival(source=source, frame_bytes=100) for source in arrivals],
    )


def attempts(*began: tuple[float, str]) -> list[fractos_pb2.Attempt]:
    """Attempts by when they began and why."""
    return [
        fractos_pb2.Attempt(number=number, began_at=BEGAN + at, home=HOME, reason=reason)
        for number, (at, reason) in enumerate(began, 1)
    ]


def described(
    made: fractos_pb2.Graph,
    trail: Iterable[fractos_pb2.Hop] = (),
    *,
    ended: float | None = None,
    sent: Sequence[fractos_pb2.Attempt] = (),
    failure: fractos_pb2.Failure | None = None,
    topology: str = "ring",
    home_arrivals: Sequence[fractos_pb2.Arrival] = (),
) -> application_pb2.RunDescription:
    """A run that ended so many seconds after its submission, or is under way."""
    sent = sent or attempts((0.0, ""))
    state = application_pb2.RUNNING if ended is None else application_pb2.FAILED if failure else application_pb2.SUCCEEDED
    description = application_pb2.RunDescription(graph=made.SerializeToString(), attempts=sent)
    description.info.MergeFrom(
        application_pb2.RunInfo(
            run_id=RUN,
            name=made.name,
            state=state,
            submitted_at=BEGAN,
            deadline=BEGAN + 30,
            steps=len(made.steps),
            attempt=len(sent),
            client="admin",
            topology=topology,
        )
    )
    if ended is not None:
        result = application_pb2.RunResult(run_id=RUN, trail=trail, home=HOME, attempt=len(sent), ended_at=BEGAN + ended)
        result.arrivals.extend(home_arrivals)
        if failure is not None:
            result.failure.CopyFrom(failure)
        description.result.CopyFrom(result)
    return description


def trace_of(description: application_pb2.RunDescription) -> Trace:
    """Seen ten seconds after it was submitted."""
    return Trace.of(description, BEGAN + 10)
