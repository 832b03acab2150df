"""The engine, one event at a time: what it asks for, and what it leaves alone."""

from __future__ import annotations

from protos import fractos_pb2, math_pb2
from Services.fractos.delivery import SMALL_OUTPUT_BYTES
from Services.fractos.directory.interface import Member
from Services.fractos.engine import Engine
from Services.fractos.errors import OutOfRangeError
from Services.fractos.events import (
    CallDevice,
    DeviceDone,
    DropCalls,
    Effect,
    FrameReceived,
    FreeMemory,
    LinkLost,
    MembersChanged,
    SendFrame,
    TimerDue,
)
from Services.fractos.graph import TaskGraph, default_catalogue
from Services.fractos.ledger import CLOCK_BOUND_S
from Services.fractos.limits import Limits
from Services.fractos.placement import Identity
from Services.fractos.plan import MAX_VALUE_BYTES, make_plan
from Services.fractos.reports import AGAIN_S
from Services.fractos.values import to_big_integer

NOW = 1000.0
DEADLINE = NOW + 30
MEMBERS = tuple(
    Member(name.partition("-")[0], name, f"id {name}", index, f"at {name}", 1, "", 0.0)
    for index, name in enumerate(("application-0", "math-0", "math-1", "storage-0"))
)


def engine(name: str = "math-0") -> Engine:
    made = Engine(Identity(name.partition("-")[0], name, f"at {name}", "its.log"), default_catalogue())
    made.handle(MembersChanged(MEMBERS), NOW)
    return made


def arriving(graph: TaskGraph) -> FrameReceived:
    """The first Request of a run of this graph."""
    request = fractos_pb2.Request.FromString(make_plan(graph.serialized(), default_catalogue()).openings[0])
    request.run_id, request.attempt, request.deadline, request.home = b"r" * 16, 1, DEADLINE, "at application-0"
    return FrameReceived(fractos_pb2.Frame(request=request))


def one_step() -> TaskGraph:
    graph = TaskGraph("one step")
    graph.math.power(base=2, exponent=3)
    return graph


def call(effects: list[Effect]) -> CallDevice:
    (only,) = [effect for effect in effects if isinstance(effect, CallDevice)]
    return only


def sent(effects: list[Effect]) -> list[SendFrame]:
    return [effect for effect in effects if isinstance(effect, SendFrame)]


def done(asked: CallDevice, value: int = 8) -> DeviceDone:
    return DeviceDone(asked.key, math_pb2.PowerResponse(value=to_big_integer(value)), None, NOW + 1, NOW + 2)


def test_a_request_becomes_a_device_call_and_then_a_completion() -> None:
    node = engine()
    asked = call(node.handle(arriving(one_step()), NOW))
    assert (asked.operation.path, asked.deadline) == ("math.power", DEADLINE)
    assert asked.request == math_pb2.PowerRequest(base=to_big_integer(2), exponent=to_big_integer(3))
    (answer,) = sent(node.handle(done(asked), NOW + 2))
    assert answer.address == "at application-0"
    (hop,) = answer.frame.completion.trail
    assert (hop.node, hop.received_at, hop.started_at, hop.finished_at) == ("math-0", NOW, NOW + 1, NOW + 2)
    assert math_pb2.PowerResponse.FromString(hop.output).value == to_big_integer(8)
    assert node.waiting() == 0


def test_a_request_past_its_deadline_is_answered_but_not_done_and_later_not_even_answered() -> None:
    (answer,) = sent(engine().handle(arriving(one_step()), DEADLINE + 0.1))
    assert answer.frame.completion.failure.status == "DEADLINE_EXCEEDED"
    assert sent(engine().handle(arriving(one_step()), DEADLINE + CLOCK_BOUND_S + 0.1)) == []


def test_what_the_device_finishes_after_the_end_of_the_run_goes_nowhere() -> None:
    node = engine()
    asked = call(node.handle(arriving(one_step()), NOW))
    finished = fractos_pb2.Finished(runs=[fractos_pb2.FinishedRun(run_id=b"r" * 16, deadline=DEADLINE)])
    assert node.handle(FrameReceived(fractos_pb2.Frame(finished=finished)), NOW + 1) == [FreeMemory((b"r" * 16,))]
    assert node.handle(done(asked), NOW + 2) == []


def test_what_the_device_finishes_after_the_run_is_forgotten_goes_nowhere() -> None:
    node = engine()
    asked = call(node.handle(arriving(one_step()), NOW))
    later = DEADLINE + CLOCK_BOUND_S + 2.0
    node.handle(TimerDue(), later)
    assert len(node.ledger) == 0
    assert node.handle(done(asked), later) == []


def test_a_stopped_run_drops_its_calls() -> None:
    node = engine()
    node.handle(arriving(one_step()), NOW)
    finished = fractos_pb2.Finished(runs=[fractos_pb2.FinishedRun(run_id=b"r" * 16, deadline=DEADLINE, drop=True)])
    assert node.handle(FrameReceived(fractos_pb2.Frame(finished=finished)), NOW + 1) == [
        DropCalls(frozenset({b"r" * 16})),
        FreeMemory((b"r" * 16,)),
    ]
    assert node.waiting() == 0
    assert sent(node.handle(arriving(one_step()), NOW + 2)) == []


def test_a_step_of_another_type_is_unimplemented() -> None:
    (answer,) = sent(engine("storage-0").handle(arriving(one_step()), NOW))
    failure = answer.frame.completion.failure
    assert (failure.status, failure.node, failure.log_file) == ("UNIMPLEMENTED", "storage-0", "its.log")


def test_arguments_that_do_not_parse_fail_the_run() -> None:
    event = arriving(one_step())
    event.frame.request.bound = b"\xff\xff"
    (answer,) = sent(engine().handle(event, NOW))
    assert answer.frame.completion.failure.status == "INVALID_ARGUMENT"


def test_large_outputs_go_home_only_if_asked_for_and_never_onward() -> None:
    for asked_for in (False, True):
        graph = TaskGraph("large")
        big = graph.math.power(base=2, exponent=3)
        graph.node("math-1").shift_left(value=big.value, bits=1)
        if asked_for:
            graph.output(big)
        node = engine()
        asked = call(node.handle(arriving(graph), NOW))
        frames = sent(node.handle(done(asked, 1 << (8 * SMALL_OUTPUT_BYTES)), NOW))
        onward = frames[-1].frame.request
        assert frames[-1].address == "at math-1"
        assert not onward.trail[0].HasField("output")
        assert len(onward.bound) > SMALL_OUTPUT_BYTES
        completions = [frame.frame.completion for frame in frames[:-1]]
        assert [len(completion.trail[-1].output) > SMALL_OUTPUT_BYTES for completion in completions] == [True] * asked_for


def test_a_response_beyond_the_limit_fails_and_names_it() -> None:
    node = engine("storage-0")
    graph = TaskGraph("huge")
    graph.storage.read_bytes(client_id="a", name="b")
    asked = call(node.handle(arriving(graph), NOW))
    response = asked.operation.response_class(data=bytes(MAX_VALUE_BYTES + (1 << 20)))
    (answer,) = sent(node.handle(DeviceDone(asked.key, response, None, NOW, NOW), NOW))
    assert answer.frame.completion.failure.status == "RESOURCE_EXHAUSTED"
    assert str(MAX_VALUE_BYTES) in answer.frame.completion.failure.message


def test_an_unsent_request_takes_another_way_unless_its_run_is_over() -> None:
    node = engine("storage-0")
    lost = LinkLost("at math-0", True, [], [arriving(one_step()).frame])
    (again,) = sent(node.handle(lost, NOW))
    assert again.address == "at math-1"
    finished = fractos_pb2.Finished(runs=[fractos_pb2.FinishedRun(run_id=b"r" * 16, deadline=DEADLINE)])
    node.handle(FrameReceived(fractos_pb2.Frame(finished=finished)), NOW)
    assert sent(node.handle(lost, NOW)) == []


def test_a_request_whose_fate_is_unknown_is_reported_to_its_home() -> None:
    (report,) = sent(engine("storage-0").handle(LinkLost("at math-0", True, [arriving(one_step()).frame], []), NOW))
    assert report.address == "at application-0"
    assert report.frame.completion.lost
    assert report.frame.completion.failure.status == "UNAVAILABLE"
    assert not report.frame.completion.failure.definite


def test_completions_are_sent_again_until_the_deadline_but_finished_is_not() -> None:
    node = engine("math-0")
    completion = fractos_pb2.Frame(completion=fractos_pb2.Completion(run_id=b"r", deadline=DEADLINE))
    finished = fractos_pb2.Frame(finished=fractos_pb2.Finished())
    for unknown, unsent in (([completion], [finished]), ([finished], [completion])):
        assert sent(node.handle(LinkLost("at application-0", True, unknown, unsent), NOW)) == []
        assert sent(node.handle(TimerDue(), NOW + AGAIN_S)) == [SendFrame("at application-0", completion)]
        assert sent(node.handle(TimerDue(), NOW + 2 * AGAIN_S)) == []
    node.handle(LinkLost("at application-0", True, [completion], []), DEADLINE)
    assert sent(node.handle(TimerDue(), DEADLINE + AGAIN_S)) == []


def again(attempt: int) -> FrameReceived:
    """The first Request of a later attempt."""
    event = arriving(one_step())
    event.frame.request.attempt = attempt
    return event


def test_a_step_that_is_done_answers_a_later_attempt_without_the_device() -> None:
    node = engine()
    asked = call(node.handle(arriving(one_step()), NOW))
    response = math_pb2.PowerResponse(value=to_big_integer(8))
    (first,) = sent(node.handle(DeviceDone(asked.key, response, None, NOW, NOW), NOW))
    (answer,) = node.handle(again(2), NOW)
    assert isinstance(answer, SendFrame)
    assert answer.frame.completion.attempt == 2
    assert answer.frame.completion.trail == first.frame.completion.trail
    assert node.handle(again(2), NOW) == []
    assert node.handle(arriving(one_step()), NOW) == []  # the attempt that is past


def test_a_step_that_is_at_the_device_answers_the_latest_attempt() -> None:
    node = engine()
    asked = call(node.handle(arriving(one_step()), NOW))
    assert node.handle(again(2), NOW) == []
    response = math_pb2.PowerResponse(value=to_big_integer(8))
    (answer,) = sent(node.handle(DeviceDone(asked.key, response, None, NOW, NOW), NOW))
    assert answer.frame.completion.attempt == 2
    assert [hop.attempt for hop in answer.frame.completion.trail] == [1]


def test_a_full_node_refuses_what_is_new_but_goes_on_with_what_it_has_begun() -> None:
    node = Engine(Identity("math", "math-0", "at math-0"), default_catalogue(), limits=Limits(calls=1))
    asked = call(node.handle(arriving(one_step()), NOW))
    other = arriving(one_step())
    other.frame.request.run_id = b"o" * 16
    (refusal,) = sent(node.handle(other, NOW))
    assert refusal.frame.completion.failure.status == "RESOURCE_EXHAUSTED"
    again = arriving(one_step())
    again.frame.request.attempt = 2
    assert sent(node.handle(again, NOW)) == []
    (answer,) = sent(node.handle(done(asked), NOW + 2))
    assert (answer.frame.completion.run_id, answer.frame.completion.attempt) == (b"r" * 16, 2)


def test_a_step_that_failed_fails_in_a_later_attempt_too() -> None:
    node = engine()
    asked = call(node.handle(arriving(one_step()), NOW))
    node.handle(DeviceDone(asked.key, None, OutOfRangeError("too large"), NOW, NOW), NOW)
    (answer,) = sent(node.handle(again(2), NOW))
    assert (answer.frame.completion.attempt, answer.frame.completion.failure.status) == (2, "OUT_OF_RANGE")


def test_a_failure_after_other_steps_is_not_definite() -> None:
    event = arriving(one_step())
    event.frame.request.trail.add(step=7)
    event.frame.request.deadline = NOW - 1
    (answer,) = sent(engine().handle(event, NOW))
    assert answer.frame.completion.failure.status == "DEADLINE_EXCEEDED"
    assert not answer.frame.completion.failure.definite


def test_a_pinned_request_that_could_not_be_sent_fails() -> None:
    graph = TaskGraph("pinned")
    graph.node("math-0").power(base=2, exponent=3)
    (answer,) = sent(engine("storage-0").handle(LinkLost("at math-0", False, [], [arriving(graph).frame]), NOW))
    assert answer.frame.completion.failure.status == "UNAVAILABLE"
    assert "math-0" in answer.frame.completion.failure.message
    assert answer.frame.completion.lost


def test_memory_at_the_home_of_a_run_is_used_before_the_directory_tells_of_it() -> None:
    """A home that was started anew, and is the centre of a star: what it has gathered is there."""
    answers = []
    for owner in ("at application-9", "at a stranger"):
        arrived = arriving(one_step())
        request = arrived.frame.request
        request.home = "at application-9"
        place = fractos_pb2.Memory(owner=owner, object=b"o" * 16, size=1)
        argument = math_pb2.PowerRequest(base=fractos_pb2.BigInteger(memory=place), exponent=to_big_integer(3))
        request.steps[0].arguments = argument.SerializeToString()
        answers.append(engine().handle(arrived, NOW))
    assert call(answers[0]).request.base.memory.owner == "at application-9"  # type: ignore[attr-defined]
    (refused,) = sent(answers[1])
    assert refused.frame.completion.lost
    assert "at a stranger, where an argument is Memory, is no node" in refused.frame.completion.failure.message
