"""Submissions that wait for room: the window, the pause, the order."""

from __future__ import annotations

import math
import random

import pytest

from Services.fractos.pacing import ADMITTED_AFTER_S, FIRST_WINDOW, MAX_PAUSE_S, Pacing

FIRST = int(FIRST_WINDOW)


def wanted(run_id: bytes) -> bool:
    return True


def ids(count: int, start: int = 0) -> list[bytes]:
    return [number.to_bytes(2, "big") for number in range(start, start + count)]


@pytest.fixture
def pacing() -> Pacing:
    """One with more in its queue than the window lets through."""
    made = Pacing(random.Random(1))
    for run_id in ids(10 * FIRST):
        made.add(run_id)
    return made


def test_a_window_is_sent_and_each_answer_lets_two_more_through(pacing: Pacing) -> None:
    assert pacing.due(0.0, wanted) == ids(FIRST)
    assert pacing.due(0.0, wanted) == []
    pacing.answered(ids(1)[0])
    assert pacing.due(0.0, wanted) == ids(2, FIRST)


def test_what_is_not_answered_soon_was_admitted(pacing: Pacing) -> None:
    pacing.due(0.0, wanted)
    assert pacing.next_due(0.0) == ADMITTED_AFTER_S
    assert pacing.due(ADMITTED_AFTER_S, wanted) == ids(2 * FIRST, FIRST)


def test_refusals_of_one_burst_halve_the_window_once(pacing: Pacing) -> None:
    for run_id in pacing.due(0.0, wanted):
        pacing.refused(run_id, 0.1, 0.0)
    resume_at = pacing.next_due(0.0)
    assert 0.1 <= resume_at <= 0.15
    assert pacing.due(resume_at - 1e-6, wanted) == []
    assert pacing.due(resume_at, wanted) == ids(FIRST // 2)  # the same ones first


def test_a_late_refusal_counts_too(pacing: Pacing) -> None:
    pacing.due(0.0, wanted)
    more = pacing.due(ADMITTED_AFTER_S, wanted)
    pacing.refused(ids(1)[0], 0.1, ADMITTED_AFTER_S)
    for run_id in more:
        pacing.answered(run_id)
    assert pacing.due(ADMITTED_AFTER_S, wanted) == []
    again = pacing.due(pacing.next_due(ADMITTED_AFTER_S), wanted)
    assert again[0] == ids(1)[0]
    assert len(again) < 2 * FIRST


def test_pauses_grow_gently_up_to_a_second_while_all_is_refused(pacing: Pacing) -> None:
    now, pauses = 0.0, []
    for _ in range(12):
        taken = pacing.due(now, wanted)
        assert taken == ids(len(taken))
        for run_id in taken:
            pacing.refused(run_id, 0.1, now)
        pauses.append(pacing.next_due(now) - now)
        now = pacing.next_due(now)
    assert pacing.due(now, wanted) == ids(1)
    assert all(0.1 <= pause <= MAX_PAUSE_S + 1e-9 for pause in pauses)
    assert sum(pauses[:3]) < sum(pauses[-3:])
    assert pauses[-1] == pytest.approx(MAX_PAUSE_S)


def test_beyond_half_of_what_was_refused_the_window_grows_slowly(pacing: Pacing) -> None:
    for run_id in pacing.due(0.0, wanted):
        pacing.refused(run_id, 0.1, 0.0)
    now = 1.0
    taken = pacing.due(now, wanted)
    for run_id in taken:
        pacing.answered(run_id)
    assert len(pacing.due(now, wanted)) == len(taken) + 1


def test_what_nobody_wants_any_more_is_skipped(pacing: Pacing) -> None:
    assert pacing.due(0.0, lambda run_id: run_id[1] % 2 == 1) == ids(2 * FIRST)[1::2]


def test_after_a_loss_nothing_is_undecided(pacing: Pacing) -> None:
    sent = pacing.due(0.0, wanted)
    pacing.lost()
    assert pacing.due(0.0, wanted) == ids(FIRST, FIRST)
    for run_id in sent:
        pacing.answered(run_id)
    assert pacing.due(0.0, wanted) == []


def test_an_empty_queue_needs_no_look() -> None:
    assert Pacing(random.Random(1)).next_due(0.0) == math.inf


@pytest.mark.parametrize("clients", [1, 5])
def test_all_get_through_a_full_datacenter_and_roughly_in_turn(clients: int) -> None:
    """Many clients, room for 20 runs of 50 ms each, on a virtual clock: few refusals, and nobody is left behind."""
    queues = [Pacing(random.Random(seed)) for seed in range(clients)]
    for number, run_id in enumerate(ids(500)):
        queues[number % clients].add(run_id)
    running: list[tuple[float, Pacing, bytes]] = []
    ended: list[int] = []
    refusals, now = 0, 0.0
    while any(queues) or running:
        for _, queue, run_id in [run for run in running if run[0] <= now]:
            queue.answered(run_id)
            ended.append(int.from_bytes(run_id, "big"))
        running = [run for run in running if run[0] > now]
        for queue in queues:
            for run_id in queue.due(now, wanted):
                if len(running) < 20:
                    running.append((now + 0.05, queue, run_id))
                else:
                    refusals += 1
                    queue.refused(run_id, 0.1, now)
        now += 0.005
    assert sorted(ended) == list(range(500))
    assert refusals < 1000
    displaced = [abs(place - number) for place, number in enumerate(ended)]
    assert sum(displaced) / len(displaced) < 100
    assert now < 500 / 20 * 0.05 * 6
