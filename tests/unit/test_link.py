"""A link of the emulated network: when what is sent arrives."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from Services.fractos.network_rules import NONE, NetworkRules, Rule, Shape
from Services.fractos.transport.link import MOST_LINKS, RESEND_S, Link, Network

SHAPES = st.builds(
    Shape,
    latency_ms=st.floats(0, 100),
    jitter_ms=st.floats(0, 100),
    bandwidth_mbit=st.just(0.0) | st.floats(0.1, 10_000),
    loss=st.floats(0, 0.5),
)
SENDINGS = st.lists(st.tuples(st.floats(0, 0.1), st.integers(0, 1 << 20)), min_size=1, max_size=30)  # a pause, then bytes


def never() -> float:
    raise AssertionError("there is nothing to draw for")


def sent(link: Link, sendings: list[tuple[float, int]]) -> list[tuple[float, float, int]]:
    """When each was sent, when it arrives, and how large it is."""
    now, found = 100.0, []
    for pause_s, size in sendings:
        now += pause_s
        found.append((now, link.transmit(size, now), size))
    return found


@given(SHAPES, SENDINGS, st.integers())
def test_nothing_overtakes_and_nothing_is_faster_than_the_link(
    shape: Shape, sendings: list[tuple[float, int]], seed: int
) -> None:
    found = sent(Link(shape, random.Random(seed).random), sendings)
    arrivals = [arrival for _, arrival, _ in found]
    assert arrivals == sorted(arrivals)
    bytes_per_s = shape.bandwidth_mbit * 1e6 / 8 or math.inf
    for first in range(len(found)):
        size = 0
        for at in range(first, len(found)):
            size += found[at][2]
            least = found[first][0] + size / bytes_per_s + shape.latency_ms / 1e3
            assert found[at][1] >= least - 1e-9


@given(st.floats(0, 100), SENDINGS)
def test_without_anything_else_the_latency_is_exact(latency_ms: float, sendings: list[tuple[float, int]]) -> None:
    for at, arrival, _ in sent(Link(Shape(latency_ms), never), sendings):
        assert arrival == pytest.approx(at + latency_ms / 1e3, abs=1e-9)


def test_a_message_waits_for_those_before_it_and_then_takes_as_long_as_its_bytes() -> None:
    link = Link(Shape(latency_ms=10, bandwidth_mbit=8), never)  # a byte each microsecond
    assert link.transmit(1000, 5.0) == pytest.approx(5.011)
    assert link.transmit(2000, 5.0) == pytest.approx(5.013)
    assert link.transmit(1000, 6.0) == pytest.approx(6.011)


@given(st.floats(0.001, 100), st.integers())
def test_jitter_makes_it_later_by_its_bound_at_most(jitter_ms: float, seed: int) -> None:
    draw = random.Random(seed).random
    late = [Link(Shape(latency_ms=3, jitter_ms=jitter_ms), draw).transmit(10, 0.0) - 0.003 for _ in range(50)]
    assert all(-1e-9 <= one <= jitter_ms / 1e3 + 1e-9 for one in late)
    assert len(set(late)) > 1


def test_a_lost_packet_costs_a_timeout_and_twice_that_when_it_is_lost_again() -> None:
    draws = iter([0.9, 0.4, 0.9, 0.4, 0.4, 0.9])
    link = Link(Shape(latency_ms=1, loss=0.5), lambda: next(draws))
    assert link.transmit(1, 0.0) == pytest.approx(0.001)
    assert link.transmit(1, 10.0) == pytest.approx(10.001 + RESEND_S)
    assert link.transmit(1, 20.0) == pytest.approx(20.001 + 3 * RESEND_S)


def test_the_more_packets_there_are_the_more_often_one_of_them_is_lost() -> None:
    def lost(size: int) -> int:
        link = Link(Shape(loss=0.01), random.Random(7).random)
        return sum(link.transmit(size, at * 100.0) > at * 100.0 + RESEND_S / 2 for at in range(2000))

    assert 5 <= lost(100) <= 45
    assert 1150 <= lost(150_000) <= 1400  # 1 - 0.99^100 = 63 %


def test_nothing_is_sent_over_a_link_that_is_cut() -> None:
    network = Network(NetworkRules((Rule("a-0", "b-0", latency_ms=1, bandwidth_mbit=8, cut=True),)), never)
    there, back = network.link("a-0", "b-0"), network.link("b-0", "a-0")
    assert there is not None
    assert back is not None
    assert there.transmit(1000, 0.0) == back.transmit(1000, 0.0) == math.inf
    network.update(network.rules.changed([Rule("a-0", "b-0", cut=False)]))
    assert there.transmit(1000, 1.0) == pytest.approx(1.002)
    assert back.transmit(1000, 1.0) == 1.0


def test_a_network_about_which_nothing_is_said_has_no_links() -> None:
    network = Network(NetworkRules(), never)
    assert network.link("a-0", "b-0") is None
    network = Network(NetworkRules((Rule("a-0", "b-0", latency_ms=1),)), never)
    assert network.link("a-0", "c-0") is None
    assert network.link("b-0", "a-0") is not None, "what answers over it takes part in the order"


def test_a_link_that_becomes_perfect_stays_so_that_nothing_is_overtaken() -> None:
    network = Network(NetworkRules((Rule("*", "*", latency_ms=1000),)), never)
    link = network.link("a-0", "b-0")
    assert link is not None
    assert link.transmit(1, 0.0) == 1.0
    network.update(NetworkRules())
    assert network.link("a-0", "b-0") is link
    assert link.transmit(1, 0.5) == 1.0
    assert link.transmit(1, 1.5) == 1.5


def test_names_that_anybody_may_claim_do_not_fill_the_memory() -> None:
    network = Network(NetworkRules((Rule("*", "*", latency_ms=1),)), never)
    first = network.link("a-0", "b-0")
    for number in range(MOST_LINKS):
        network.link(f"stranger-{number}", "b-0")
    assert network.link("a-0", "b-0") is not first


def test_the_rules_are_asked_once_about_each_link_also_about_perfect_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []
    shape = NetworkRules.shape

    def count(rules: NetworkRules, source: str, target: str) -> Shape:
        asked.append((source, target))
        return shape(rules, source, target)

    monkeypatch.setattr(NetworkRules, "shape", count)
    network = Network(NetworkRules((Rule("a-0", "b-0", latency_ms=1),)), never)
    assert [network.link("a-0", "c-0") for _ in range(100)] == [None] * 100
    assert len(asked) == 2, "there and back"
    network.update(NetworkRules((Rule("a-0", "c-0", latency_ms=1),)))
    assert network.link("a-0", "c-0") is not None
    for number in range(MOST_LINKS + 10):
        network.link(f"d-{number}", "b-0")
    assert len(network._links) == MOST_LINKS


@pytest.mark.parametrize(
    ("rule", "size", "patience_s"),
    [
        (Rule("b-0", "a-0", latency_ms=100, jitter_ms=50), 1000, 0.15),
        (Rule("a-0", "b-0", bandwidth_mbit=8), 1_000_000, 1.0),
        (Rule("a-0", "c-0", latency_ms=100), 1000, 0.0),
    ],
)
def test_a_sender_is_as_patient_as_its_links_are_slow(rule: Rule, size: int, patience_s: float) -> None:
    assert Network(NetworkRules((rule,)), never).patience_s("a-0", "b-0", size) == pytest.approx(patience_s)


def test_a_shape_that_says_nothing_is_that_of_a_perfect_link() -> None:
    assert Shape(latency_ms=0, jitter_ms=0, bandwidth_mbit=0, loss=0, cut=False) == NONE


def test_a_link_and_the_one_back_outlast_the_rules_together() -> None:
    network = Network(NetworkRules((Rule("a-0", "b-0", cut=True),)), never)
    assert network.link("a-0", "b-0") is not None
    network.update(NetworkRules())
    assert network.link("a-0", "b-0") is not None
    assert network.link("b-0", "a-0") is not None
