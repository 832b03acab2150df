"""Ledger, placement, schedule, admission: the small parts that the engine is made of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos import fractos_pb2
from Services.fractos.admission import Admission
from Services.fractos.directory.interface import Member
from Services.fractos.errors import AbortedError, ResourceExhaustedError, UnavailableError
from Services.fractos.ledger import CLOCK_BOUND_S, KEPT_BYTES, Ledger
from Services.fractos.placement import SUSPICION_S, Placement
from Services.fractos.schedule import Schedule


def request(
    step: int = 0, *, needs: int = 0, sender: int = 0, run: bytes = b"run", deadline: float = 100.0, attempt: int = 1
) -> fractos_pb2.Request:
    return fractos_pb2.Request(
        run_id=run, attempt=attempt, deadline=deadline, sender=sender, steps=[{"id": step, "needs": needs}]
    )


def member(name: str, sequence: int, address: str = "") -> Member:
    return Member(name.partition("-")[0], name, f"id {name} {sequence}", sequence, address or f"at {name}", 1, "", 0.0)


def step(operation: str = "math.power", node: str = "") -> fractos_pb2.Step:
    return fractos_pb2.Step(operation=operation, node=node)


class TestLedger:
    def test_a_request_counts_once(self) -> None:
        ledger = Ledger(10)
        first = request()
        assert ledger.admit(first) == [first]
        assert ledger.begin(b"run", 1, 0, b"") is None
        assert ledger.admit(request()) is None
        assert ledger.admit(request(1)) is not None

    def test_a_join_waits_for_every_sender_and_counts_each_once(self) -> None:
        ledger = Ledger(10)
        assert ledger.admit(request(5, needs=2, sender=2)) is None
        assert ledger.admit(request(5, needs=2, sender=2)) is None
        arrived = ledger.admit(request(5, needs=2, sender=1))
        assert arrived is not None
        assert [one.sender for one in arrived] == [1, 2]  # whatever the order in which they came
        assert ledger.begin(b"run", 1, 5, b"") is None
        assert ledger.admit(request(5, needs=2, sender=1)) is None
        assert ledger.admit(request(5, needs=2, sender=2)) is None

    def test_a_join_collects_for_one_attempt_only(self) -> None:
        ledger = Ledger(10)
        assert ledger.admit(request(5, needs=2, sender=1)) is None
        assert ledger.admit(request(5, needs=2, sender=2, attempt=2)) is None
        assert ledger.admit(request(5, needs=2, sender=1)) is None  # of an attempt that is past
        assert ledger.admit(request(5, needs=2, sender=1, attempt=2)) is not None

    def test_a_later_attempt_gets_what_an_earlier_one_was_answered(self) -> None:
        ledger = Ledger(10)
        inputs = bytes(range(100))
        ledger.admit(request())
        ledger.begin(b"run", 1, 0, inputs)
        ledger.admit(request(attempt=2))
        begun = ledger.begin(b"run", 2, 0, inputs)
        assert begun is not None
        assert (begun.began_in, begun.hop) == (1, None)  # the device is still at work
        ledger.end(b"run", 0, {"node": "math-0"}, b"the end", repeatable=True)
        assert ledger.kept_bytes == 7
        assert ledger.admit(request(attempt=3)) is not None
        done = ledger.begin(b"run", 3, 0, inputs)
        assert done is not None
        assert (done.hop, done.response) == ({"node": "math-0"}, b"the end")
        ledger.finish(b"run", 100.0)
        assert ledger.kept_bytes == 0

    @pytest.mark.parametrize("size_bytes", [0, 100_000])
    def test_other_inputs_than_before_are_refused(self, size_bytes: int) -> None:
        ledger = Ledger(10)
        for attempt, inputs in ((1, bytes(size_bytes) + b"read before"), (2, bytes(size_bytes) + b"read after")):
            ledger.admit(request(attempt=attempt))
            if attempt == 1:
                ledger.begin(b"run", 1, 0, inputs)
        with pytest.raises(AbortedError, match="not those of attempt 1"):
            ledger.begin(b"run", 2, 0, inputs)

    @pytest.mark.parametrize("repeatable", [True, False])
    def test_a_large_answer_is_kept_only_if_it_may_not_be_made_again(self, repeatable: bool) -> None:
        ledger = Ledger(10)
        ledger.admit(request())
        ledger.begin(b"run", 1, 0, b"")
        ledger.end(b"run", 0, {"node": "math-0"}, bytes(KEPT_BYTES + 1), repeatable=repeatable)
        ledger.admit(request(attempt=2))
        assert (ledger.begin(b"run", 2, 0, b"") is None) == repeatable

    def test_what_arrives_after_the_end_does_nothing_even_if_nothing_came_before(self) -> None:
        ledger = Ledger(10)
        ledger.finish(b"run", 100.0)
        assert ledger.is_over(b"run")
        assert ledger.admit(request()) is None

    def test_it_forgets_after_the_deadline_and_never_before(self) -> None:
        ledger = Ledger(10)
        ledger.admit(request())
        ledger.finish(b"run", 100.0)
        ledger.expire(100.0 + CLOCK_BOUND_S - 0.1)
        assert len(ledger) == 1
        ledger.expire(100.0 + CLOCK_BOUND_S + 1.0)
        assert len(ledger) == 0
        assert ledger.expiry.next_due == math.inf

    def test_a_full_ledger_refuses_new_runs_only(self) -> None:
        ledger = Ledger(1)
        ledger.admit(request(run=b"a"))
        with pytest.raises(ResourceExhaustedError, match="remembers 1 runs"):
            ledger.admit(request(run=b"b"))
        assert ledger.admit(request(1, run=b"a")) is not None


class TestPlacement:
    def test_the_lowest_sequence_leads_and_pins_are_kept(self) -> None:
        placement = Placement()
        placement.update((member("math-0", 7), member("math-1", 3)))
        assert placement.choose(step(), 0.0).name == "math-1"
        assert placement.choose(step(node="math-0"), 0.0).name == "math-0"

    def test_a_suspected_leader_is_avoided_until_it_answers_or_time_passes(self) -> None:
        placement = Placement()
        placement.update((member("math-0", 1), member("math-1", 2)))
        placement.suspect("at math-0", 10.0)
        assert placement.choose(step(), 10.0).name == "math-1"
        assert placement.choose(step(), 10.0 + SUSPICION_S).name == "math-0"
        placement.suspect("at math-0", 20.0)
        placement.trust("at math-0")
        assert placement.choose(step(), 20.0).name == "math-0"

    def test_with_nobody_else_a_suspected_node_is_tried_unless_trust_is_asked_for(self) -> None:
        placement = Placement()
        placement.update((member("math-0", 1),))
        placement.suspect("at math-0", 0.0)
        assert placement.choose(step(), 0.0).name == "math-0"
        with pytest.raises(UnavailableError, match="no node of type math"):
            placement.choose(step(), 0.0, trusted_only=True)

    def test_a_node_that_is_not_there_is_named_with_those_that_are(self) -> None:
        placement = Placement()
        placement.update((member("math-0", 1),))
        with pytest.raises(UnavailableError, match=r"no node math-5 .*listed of that type: math-0"):
            placement.choose(step(node="math-5"), 0.0)

    def test_a_restarted_node_is_no_longer_suspected(self) -> None:
        placement = Placement()
        placement.update((member("math-0", 1),))
        placement.suspect("at math-0", 0.0)
        placement.update((member("math-0", 2, "elsewhere"),))
        assert placement.choose(step(), 0.0, trusted_only=True).address == "elsewhere"

    def test_a_node_lingers_while_the_directory_lists_no_other_and_its_channel_holds(self) -> None:
        placement = Placement()
        placement.update((member("math-0", 1), member("math-1", 2)))
        placement.learn("at math-1", 3)
        placement.update(())
        assert placement.choose(step(), 10.0).name == "math-1"
        assert placement.choose(step(node="math-0"), 10.0).name == "math-0"
        placement.suspect("at math-1", 11.0)
        assert placement.choose(step(), 11.0).name == "math-0"
        placement.update((member("math-1", 3),))
        assert placement.choose(step(), 12.0).name == "math-1"
        placement.update(())
        placement.suspect("at math-1", 13.0)
        placement.suspect("at math-0", 13.0)
        with pytest.raises(UnavailableError):
            placement.choose(step(), 13.0 + SUSPICION_S)

    def test_the_owner_is_asked_although_only_others_are_listed_as_long_as_its_channel_holds(self) -> None:
        placement = Placement()
        placement.update((member("math-0", 1), member("math-1", 2)))
        placement.learn("at math-0", 3)
        placement.update((member("math-1", 2),))
        assert placement.choose(step(), 0.0).name == "math-0"
        assert placement.choose(step(node="math-0"), 0.0).name == "math-0"
        placement.suspect("at math-0", 1.0)
        assert placement.choose(step(), 1.0).name == "math-1"
        assert placement.choose(step(), 1.0 + SUSPICION_S).name == "math-1"


class TestSchedule:
    @given(st.dictionaries(st.integers(), st.floats(0, 1000), max_size=30), st.floats(0, 1000))
    def test_what_is_due_comes_within_a_tick_and_once(self, dues: dict[int, float], now: float) -> None:
        schedule: Schedule[int] = Schedule(tick_s=0.5)
        for key, due in dues.items():
            schedule.add(key, due)
        popped = set(schedule.pop_due(now))
        assert popped <= {key for key, due in dues.items() if due <= now}
        assert popped >= {key for key, due in dues.items() if due <= now - 0.5}
        assert schedule.pop_due(now) == []
        assert sorted([*popped, *schedule.pop_due(2000)]) == sorted(dues)
        assert schedule.next_due == math.inf

    def test_a_discarded_key_does_not_come(self) -> None:
        schedule: Schedule[str] = Schedule(tick_s=0.5)
        schedule.add("a", 1.0)
        schedule.add("b", 1.0)
        schedule.discard("a", 1.0)
        schedule.discard("never added", 7.0)
        assert schedule.pop_due(2.0) == ["b"]


NOW = 1_700_000_000.0


def busy(queue: int) -> Admission:
    """For two seconds a device has done 100 steps a second, with as many runs of one step in flight."""
    admission = Admission(steps_per_type=10_000, graph_bytes=100)
    for _ in range(queue):
        admission.reserve({"math": 1}, 0, 1e9, NOW)
    for tick in range(200):
        admission.release({"math": 1}, 0, done=True)
        admission.reserve({"math": 1}, 0, 1e9, NOW + tick / 100)
    return admission


class TestAdmission:
    def test_room_is_reserved_as_a_whole_or_not_at_all_and_given_back(self) -> None:
        admission = Admission(steps_per_type=10, graph_bytes=100)
        admission.reserve({"math": 6, "storage": 1}, 50, 30, NOW)
        with pytest.raises(ResourceExhaustedError, match="6 steps are in flight on the math nodes and this run has 5 more"):
            admission.reserve({"storage": 1, "math": 5}, 1, 30, NOW)
        with pytest.raises(ResourceExhaustedError, match="50 bytes and this one has 51 more"):
            admission.reserve({"math": 1}, 51, 30, NOW)
        assert admission.reserved() == 7
        admission.release({"math": 6, "storage": 1}, 50, done=True)
        admission.reserve({"math": 10}, 100, 30, NOW)

    def test_a_run_that_would_wait_longer_than_half_its_time_is_refused_until_the_queue_is_shorter(self) -> None:
        admission = busy(1000)
        with pytest.raises(ResourceExhaustedError, match=r"wait for some 10\.0 s, too long for one of 10 s") as caught:
            admission.reserve({"math": 1}, 0, 10, NOW + 2)
        assert caught.value.retry_after_s == 1.0
        admission.reserve({"math": 1}, 0, 25, NOW + 2)
        admission.reserve({"storage": 1}, 0, 1, NOW + 2)
        for _ in range(950):
            admission.release({"math": 1}, 0, done=True)
        admission.reserve({"math": 1}, 0, 10, NOW + 2)

    def test_each_step_of_a_run_waits_for_its_turn(self) -> None:
        admission = busy(1000)
        admission.reserve({"math": 2}, 0, 45, NOW + 2)
        with pytest.raises(ResourceExhaustedError, match=r"wait for some 30\.0 s"):
            admission.reserve({"math": 3}, 0, 45, NOW + 2)

    def test_steps_that_were_stopped_and_times_without_any_done_count_for_no_pace(self) -> None:
        admission = busy(1000)
        for tick in range(200, 400):
            admission.reserve({"math": 1}, 0, 1e9, NOW + tick / 100)
            admission.release({"math": 1}, 0, done=False)
        with pytest.raises(ResourceExhaustedError, match=r"wait for some 10\.0 s"):
            admission.reserve({"math": 1}, 0, 10, NOW + 4)
        admission.reserve({"math": 1}, 0, 25, NOW + 4)

    def test_a_stop_is_no_reason_to_refuse_what_comes_after_it(self) -> None:
        admission = Admission(steps_per_type=10_000, graph_bytes=100)
        for tick in range(240):  # for 1.9 s one step gets done of all that come, then 1,000 steps a second
            admission.reserve({"math": 1}, 0, 5, NOW + tick / 100)
            for _ in range(10 if tick > 190 and admission.reserved() > 10 else tick == 185):
                admission.release({"math": 1}, 0, done=True)
        assert admission.reserved() <= 20

    def test_without_a_queue_nothing_is_said_about_the_wait(self) -> None:
        admission = Admission(steps_per_type=10_000, graph_bytes=100)
        for tick in range(200):
            admission.reserve({"math": 10}, 0, 60, NOW + tick / 100)
            admission.release({"math": 10}, 0, done=tick % 10 == 0)
        admission.reserve({"math": 5000}, 0, 1, NOW + 2)
