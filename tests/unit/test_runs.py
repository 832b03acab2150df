"""The runs of an application node, one event at a time: what is recorded, and what waits for that."""

from __future__ import annotations

from typing import TypeVar

from protos import application_pb2, fractos_pb2
from Services.fractos.directory.interface import Member
from Services.fractos.engine import Engine
from Services.fractos.errors import ResourceExhaustedError
from Services.fractos.events import (
    Accepted,
    CancelAsked,
    Effect,
    FrameReceived,
    LinkLost,
    LinkOpened,
    MembersChanged,
    Owned,
    PeerEpoch,
    Record,
    Recorded,
    Refused,
    RunEnded,
    SendFrame,
    Submitted,
    TakeOwnership,
    TimerDue,
)
from Services.fractos.graph import TaskGraph, default_catalogue
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.placement import Identity
from Services.fractos.records import AttemptRecord, EndRecord, Inquiry, Place, RunRecord

T = TypeVar("T", bound=Effect)

NOW = 1000.0
RUN = b"r" * 16
MEMBERS = tuple(
    Member(name.partition("-")[0], name, f"id {name}", index, f"at {name}", 1, "", 0.0)
    for index, name in enumerate(("application-0", "math-0", "storage-0", "cnn-0"))
)


def application(*, epoch: int = 1) -> Engine:
    """An application node that owns the journal, unless the epoch is 0."""
    node = Engine(Identity("application", "application-0", "at application-0"), default_catalogue(), with_runs=True)
    node.handle(MembersChanged(MEMBERS), NOW)
    if epoch:
        node.handle(Owned(epoch), NOW)
    return node


def power(base: int = 2) -> TaskGraph:
    graph = TaskGraph("power")
    graph.math.power(base=base, exponent=3)
    return graph


def submitted(graph: TaskGraph, ticket: int = 1) -> Submitted:
    request = application_pb2.SubmitRequest(run_id=RUN, timeout_s=30, graph=graph.serialized())
    return Submitted(request, ticket)


def only(kind: type[T], effects: list[Effect]) -> T:
    (effect,) = [effect for effect in effects if isinstance(effect, kind)]
    return effect


def kinds(effects: list[Effect], *of: type[Effect]) -> list[type]:
    return [type(effect) for effect in effects if isinstance(effect, of)]


def recorded(node: Engine, effects: list[Effect], now: float = NOW) -> list[Effect]:
    """Have the journal take what is to be recorded."""
    return node.handle(Recorded([effect.entry for effect in effects if isinstance(effect, Record)], {}, None), now)


def requests(effects: list[Effect]) -> list[fractos_pb2.Request]:
    sent = [effect.frame for effect in effects if isinstance(effect, SendFrame)]
    return [frame.request for frame in sent if frame.HasField("request")]


def completed(attempt: int = 1, **fields: object) -> FrameReceived:
    """The Completion of step 0."""
    completion = fractos_pb2.Completion(run_id=RUN, attempt=attempt, **fields)  # type: ignore[arg-type]
    return FrameReceived(fractos_pb2.Frame(completion=completion))


def test_a_run_is_acknowledged_and_sent_when_it_is_recorded_and_not_before() -> None:
    node = application()
    effects = node.handle(submitted(power(), ticket=5), NOW)
    assert kinds(effects, Accepted, SendFrame, Record) == [Record]
    effects = recorded(node, effects)
    assert only(Accepted, effects) == Accepted(RUN, 5)
    assert [request.attempt for request in requests(effects)] == [1]


def test_a_client_is_told_the_end_when_it_is_recorded_and_not_before() -> None:
    node = application()
    recorded(node, node.handle(submitted(power()), NOW))
    effects = node.handle(completed(), NOW + 1)
    assert kinds(effects, RunEnded, Record) == [Record]
    result = application_pb2.RunResult(
        run_id=RUN,
        home="application-0",
        attempt=1,
        arrivals=[fractos_pb2.Arrival()],
        attempts=[fractos_pb2.Attempt(number=1, began_at=NOW, home="application-0")],
        ended_at=NOW + 1,
    )
    outline = fractos_pb2.Graph(name=power().name, steps=[fractos_pb2.Step(operation="math.power")])
    entry = EndRecord(RUN, result.SerializeToString(), False, NOW + 90, outline.SerializeToString())
    entry = entry._replace(state=application_pb2.SUCCEEDED, ended_at=NOW + 1)
    assert only(Record, effects).entry == entry
    assert only(RunEnded, recorded(node, effects, NOW + 1)).result.run_id == RUN
    assert kinds(node.handle(completed(), NOW + 2), RunEnded, Record) == []


def test_a_run_that_cannot_be_recorded_is_refused_and_leaves_nothing() -> None:
    node = application()
    effects = node.handle(submitted(power(), ticket=5), NOW)
    error = ResourceExhaustedError("full", retry_after_s=1)
    effects = node.handle(Recorded([only(Record, effects).entry], {}, error), NOW)
    assert only(Refused, effects) == Refused(RUN, 5, error)
    assert requests(effects) == []
    assert node.runs is not None
    assert (node.runs.in_flight(), node.runs.reserved()) == (0, 0)


def test_an_end_that_cannot_be_recorded_is_tried_until_it_is() -> None:
    node = application()
    recorded(node, node.handle(submitted(power()), NOW))
    end = only(Record, node.handle(completed(), NOW + 1)).entry
    effects = node.handle(Recorded([end], {}, ResourceExhaustedError("full", retry_after_s=1)), NOW + 1)
    assert kinds(effects, RunEnded, Record) == []
    assert only(Record, node.handle(TimerDue(), NOW + 2)).entry == end
    assert kinds(node.handle(Recorded([end], {}, None), NOW + 2), RunEnded) == [RunEnded]


def test_the_same_run_again_is_the_same_run_at_every_stage() -> None:
    node = application()
    effects = node.handle(submitted(power(), ticket=1), NOW)
    assert node.handle(submitted(power(), ticket=2), NOW) == []
    accepted = [effect for effect in recorded(node, effects) if isinstance(effect, Accepted)]
    assert accepted == [Accepted(RUN, 1), Accepted(RUN, 2)]
    assert node.handle(submitted(power(), ticket=3), NOW) == [Accepted(RUN, 3)]
    effects = node.handle(completed(), NOW)
    assert node.handle(submitted(power(), ticket=4), NOW) == [Accepted(RUN, 4)]
    end = only(RunEnded, recorded(node, effects))
    assert node.handle(submitted(power(), ticket=5), NOW) == [Accepted(RUN, 5), end]


def test_another_graph_under_a_used_id_is_refused_at_every_stage() -> None:
    node = application()
    first = node.handle(submitted(power()), NOW)
    first += node.handle(submitted(power(3), ticket=2), NOW)
    entries = [effect.entry for effect in first if isinstance(effect, Record)]
    assert isinstance(entries[0], RunRecord)
    refused = only(Refused, node.handle(Recorded(entries, {}, None), NOW))
    assert (refused.ticket, refused.error.status) == (2, "ALREADY_EXISTS")
    assert only(Refused, node.handle(submitted(power(3), ticket=3), NOW)).error.status == "ALREADY_EXISTS"
    recorded(node, node.handle(completed(), NOW))
    assert only(Refused, node.handle(submitted(power(3), ticket=4), NOW)).error.status == "ALREADY_EXISTS"


def test_another_graph_that_is_not_recorded_yet_takes_no_id_away_from_a_run_that_the_journal_knows() -> None:
    node = application()
    wrong = only(Record, node.handle(submitted(power(3), ticket=1), NOW)).entry
    inquiry = only(Record, node.handle(submitted(power(), ticket=2), NOW)).entry
    assert isinstance(inquiry, Inquiry)
    result = application_pb2.RunResult(run_id=RUN)
    known = RunRecord(RUN, inquiry.digest, b"", NOW - 9, NOW + 9, {}, result=result.SerializeToString())
    effects = node.handle(Recorded([wrong, inquiry], {RUN: known}, None), NOW)
    assert only(Refused, effects).ticket == 1
    assert [effect for effect in effects if isinstance(effect, (Accepted, RunEnded))] == [Accepted(RUN, 2), RunEnded(result)]


def test_a_run_that_the_journal_knows_is_answered_from_it_and_not_done_again() -> None:
    node = application()
    entry = only(Record, node.handle(submitted(power(), ticket=9), NOW)).entry
    assert isinstance(entry, RunRecord)
    result = application_pb2.RunResult(run_id=RUN, trail=[fractos_pb2.Hop(node="math-7")])
    effects = node.handle(Recorded([entry], {RUN: entry._replace(result=result.SerializeToString())}, None), NOW)
    assert [effect for effect in effects if isinstance(effect, (Accepted, RunEnded))] == [Accepted(RUN, 9), RunEnded(result)]
    assert requests(effects) == []
    entry = only(Record, node.handle(submitted(power(3), ticket=10), NOW)).entry
    assert isinstance(entry, RunRecord)
    known = entry._replace(digest=b"another", result=result.SerializeToString())
    refused = only(Refused, node.handle(Recorded([entry], {RUN: known}, None), NOW))
    assert (refused.ticket, refused.error.status) == (10, "ALREADY_EXISTS")


def test_a_new_owner_goes_on_with_unfinished_runs_in_an_attempt_of_its_own_once_that_is_recorded() -> None:
    node = application(epoch=0)
    graph = power().serialized()
    effects = node.handle(Owned(2, (RunRecord(RUN, b"digest", graph, NOW - 5, NOW + 25, {}, 3),)), NOW)
    reason = "the application node that started the run died"
    again = fractos_pb2.Attempt(number=4, began_at=NOW, home="application-0", reason=reason)
    attempts = application_pb2.RunResult(attempts=[again])
    assert only(Record, effects).entry == AttemptRecord(RUN, 4, {}, attempts.SerializeToString())
    assert requests(effects) == []
    (request,) = requests(recorded(node, effects))
    assert (request.attempt, request.deadline, request.home) == (4, NOW + 25, "at application-0")
    assert kinds(node.handle(completed(attempt=3), NOW), Record) == []
    assert kinds(node.handle(completed(attempt=4), NOW), Record) == [Record]


def test_a_new_owner_ends_what_is_overdue_and_tells_the_nodes_again_what_was_stopped() -> None:
    node = application(epoch=0)
    overdue = RunRecord(RUN, b"digest", power().serialized(), NOW - 40, NOW - 10, {})
    stopped = RunRecord(b"s" * 16, b"digest", b"", NOW - 5, NOW + 25, {}, result=b"any")
    node.handle(Owned(2, (overdue,), (stopped,)), NOW)
    effects = node.handle(TimerDue(), NOW)
    end = only(Record, effects).entry
    assert isinstance(end, EndRecord)
    assert application_pb2.RunResult.FromString(end.result).failure.status == "DEADLINE_EXCEEDED"
    told = {effect.address: effect.frame.finished.runs[0] for effect in effects if isinstance(effect, SendFrame)}
    assert set(told) >= {"at math-0", "at storage-0", "at cnn-0"}
    assert all((run.run_id, run.drop) == (b"s" * 16, True) for run in told.values())


def test_a_new_owner_does_not_repeat_what_may_not_be_repeated_elsewhere() -> None:
    node = application(epoch=0)
    graph = TaskGraph("trains")
    graph.cnn.train(model="m")
    record = RunRecord(RUN, b"digest", graph.serialized(), NOW, NOW + 25, {0: Place("cnn-0", "id of a process that is gone")})
    node.handle(Owned(2, (record,)), NOW)
    end = only(Record, node.handle(TimerDue(), NOW + 16)).entry
    assert isinstance(end, EndRecord)
    failure = application_pb2.RunResult.FromString(end.result).failure
    assert failure.status == "UNAVAILABLE"
    assert "which may not be repeated" in failure.message


def test_steps_for_owned_state_name_the_owner_and_its_epoch() -> None:
    node = application()
    node.handle(PeerEpoch("at storage-0", 4), NOW)
    graph = TaskGraph("reads")
    value = graph.storage.read_integer(client_id="admin", name="x")
    graph.math.shift_left(value=value.value, bits=1)
    (request,) = requests(recorded(node, node.handle(submitted(graph), NOW)))
    assert [(step.node, step.epoch) for step in request.steps] == [("storage-0", 4), ("", 0)]


def test_a_home_that_learns_of_another_epoch_repeats_the_run_at_once_with_it() -> None:
    node = application()
    graph = TaskGraph("reads")
    graph.storage.read_integer(client_id="admin", name="x")
    recorded(node, node.handle(submitted(graph), NOW))
    owner = fractos_pb2.Owner(address="at storage-0", epoch=6)
    for attempt in (1, 2):
        owner.epoch += 1
        lost = completed(attempt, lost=True, owner=owner, failure=fractos_pb2.Failure(status="UNAVAILABLE"))
        (request,) = requests(recorded(node, node.handle(lost, NOW)))
        assert (request.attempt, request.steps[0].epoch) == (attempt + 1, owner.epoch)


def test_a_cancel_before_the_run_is_recorded_ends_it_without_its_being_sent() -> None:
    node = application()
    effects = node.handle(submitted(power()), NOW)
    effects += node.handle(CancelAsked(RUN), NOW)
    effects = recorded(node, effects)
    assert kinds(effects, Accepted, RunEnded, SendFrame) == [Accepted]
    effects = recorded(node, effects)
    assert only(RunEnded, effects).result.failure.status == "CANCELLED"


def test_what_would_be_refused_is_looked_up_in_the_journal_first() -> None:
    node = application()
    node.handle(MembersChanged(MEMBERS[:1]), NOW)
    for member in MEMBERS[1:]:
        node.handle(LinkLost(member.address, True, [], []), NOW)
    inquiry = only(Record, node.handle(submitted(power(), ticket=7), NOW)).entry
    assert isinstance(inquiry, Inquiry)
    refused = only(Refused, node.handle(Recorded([inquiry], {}, None), NOW))
    assert (refused.ticket, refused.error.status) == (7, "UNAVAILABLE")
    result = application_pb2.RunResult(run_id=RUN)
    known = RunRecord(RUN, inquiry.digest, b"", NOW - 9, NOW + 9, {}, result=result.SerializeToString())
    effects = node.handle(Recorded([inquiry], {RUN: known}, None), NOW)
    assert [effect for effect in effects if isinstance(effect, (Accepted, RunEnded))] == [Accepted(RUN, 7), RunEnded(result)]
    other = known._replace(digest=b"another")
    assert only(Refused, node.handle(Recorded([inquiry], {RUN: other}, None), NOW)).error.status == "ALREADY_EXISTS"


def test_a_node_whose_channel_opens_again_is_told_again_what_was_stopped_as_long_as_that_matters() -> None:
    node = application()
    recorded(node, node.handle(submitted(power()), NOW))
    recorded(node, node.handle(CancelAsked(RUN), NOW))
    node.handle(TimerDue(), NOW)
    for now, told in ((NOW + 1, [RUN]), (NOW + 30 + CLOCK_BOUND_S + 1, [])):
        effects = node.handle(LinkOpened("at math-0"), now)
        finished = [effect.frame.finished for effect in effects if isinstance(effect, SendFrame)]
        assert [run.run_id for one in finished for run in one.runs] == told


def test_the_end_of_a_refused_run_does_not_hit_another_of_the_same_id() -> None:
    node = application()
    first = node.handle(submitted(power(), ticket=1), NOW)
    node.handle(CancelAsked(RUN), NOW)
    node.handle(Recorded([only(Record, first).entry], {}, ResourceExhaustedError("full", retry_after_s=1)), NOW)
    second = node.handle(submitted(power(), ticket=2), NOW)
    stale = EndRecord(RUN, b"", True, NOW + 90)
    effects = node.handle(Recorded([stale, only(Record, second).entry], {}, None), NOW)
    assert [request.run_id for request in requests(effects)] == [RUN]


def test_what_has_ended_keeps_no_large_graph() -> None:
    node = application()
    graph = TaskGraph("large")
    graph.storage.write_bytes(client_id="admin", name="a", data=bytes(1 << 20))
    recorded(node, node.handle(submitted(graph), NOW))
    recorded(node, node.handle(completed(), NOW))
    assert node.runs is not None
    run = node.runs.find(RUN)
    assert (run.plan.steps, run.plan.openings, run.plan.step_count, run.plan.name) == ({}, (), 1, "large")


def test_a_standby_refuses_and_takes_the_journal_over_if_it_can() -> None:
    node = Engine(Identity("application", "application-1", "at application-1"), default_catalogue(), with_runs=True)
    node.handle(MembersChanged(MEMBERS), NOW)
    effects = node.handle(submitted(power(), ticket=3), NOW)
    assert kinds(effects, TakeOwnership, Refused) == [TakeOwnership, Refused]
    assert (only(Refused, effects).ticket, only(Refused, effects).error.status) == (3, "UNAVAILABLE")
