"""Real nodes on an emulated network, which is changed while they run."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy
import pytest

from protos import fractos_pb2, fractos_pb2_grpc, math_pb2, math_pb2_grpc
from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.config import load
from Services.fractos.errors import DeadlineExceededError, FractosError, UnavailableError
from Services.fractos.keys import DATACENTER, load_or_make_key
from Services.fractos.network_changes import change, read_state
from Services.fractos.network_rules import NetworkRules, Rule, to_proto
from Services.fractos.transport.call_proof import CallProver
from Services.fractos.transport.network_service import SHAPE
from tests.nodes import Nodes, running

LATENCY_S = 0.02
ARRAY = numpy.arange(100_000, dtype="float64")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """On a network with a latency from the start."""
    names = ("application-0", "math-0", "math-1")
    with running(tmp_path_factory.mktemp("datacenter"), *names, keys={"Network": f"latency_ms = {LATENCY_S * 1e3}"}) as started:
        yield started


@pytest.fixture
def datacenter(nodes: Nodes) -> Iterator[Datacenter]:
    """As the configuration says."""
    change(nodes.configuration, None)
    with connect(nodes.root) as connected:
        yield connected


def say(nodes: Nodes, *rules: Rule) -> list[str]:
    """Change links. Returns who has confirmed."""
    return change(nodes.configuration, lambda before: NetworkRules(before).changed(rules).rules)[1]


def shifts(*names: str) -> TaskGraph:
    graph = TaskGraph("shifts")
    step = None
    for name in names:
        node = graph.node(name)
        step = node.shift_left(value=1 if step is None else step.value, bits=1)
    return graph


def crossed_s(datacenter: Datacenter, *names: str) -> list[float]:
    """How long the Request for each step of a ring was under way."""
    return [hop.received_at - hop.sent_at for hop in datacenter.run(shifts(*names), timeout_s=20).trail]


def test_every_request_takes_the_latency_and_a_step_of_the_same_node_none(datacenter: Datacenter, nodes: Nodes) -> None:
    times = crossed_s(datacenter, "math-0", "math-1", "math-0")
    assert all(one >= LATENCY_S for one in times), times
    began = time.monotonic()
    for _ in range(5):
        crossed_s(datacenter, "math-0")
    across_s = time.monotonic() - began
    assert across_s >= 5 * 2 * LATENCY_S, "the Request and the Completion"


def test_a_link_is_changed_while_the_nodes_run(datacenter: Datacenter, nodes: Nodes) -> None:
    assert sorted(say(nodes, Rule("math-0", "math-1", latency_ms=150))) == ["application-0", "math-0", "math-1"]
    assert crossed_s(datacenter, "math-0", "math-1")[1] >= 0.150
    assert read_state(nodes.configuration).rules.shape("math-0", "math-1").latency_ms == 150
    change(nodes.configuration, None)
    assert read_state(nodes.configuration).changes == ()
    assert crossed_s(datacenter, "math-0", "math-1")[1] >= LATENCY_S


def test_memory_between_nodes_takes_a_round_trip_and_its_bytes(datacenter: Datacenter, nodes: Nodes) -> None:
    say(nodes, Rule("math-0", "math-1", bandwidth_mbit=32, latency_ms=0), Rule("math-1", "math-0", latency_ms=40))
    graph = TaskGraph("array")
    first = graph.node("math-0").scale(tensor=ARRAY, factor=2.0)
    second = graph.output(graph.node("math-1").scale(tensor=first.tensor, factor=0.5))
    result = datacenter.run(graph, timeout_s=20)
    assert numpy.array_equal(result[second].tensor, ARRAY)
    hop = result.trail[1]
    assert hop.fetched_bytes == ARRAY.nbytes
    assert hop.started_at - hop.received_at >= 0.040 + ARRAY.nbytes / 4e6


def test_a_direct_call_takes_the_latency_there_and_back(datacenter: Datacenter, nodes: Nodes) -> None:
    say(nodes, Rule("client", "math-0", latency_ms=70), Rule("math-0", "client", latency_ms=50))
    with nodes.channel("math-0") as channel:
        stub = math_pb2_grpc.MathStub(channel)
        one = fractos_pb2.BigInteger(magnitude=b"\1")
        began = time.monotonic()
        stub.ShiftLeft(math_pb2.ShiftLeftRequest(value=one, bits=one), timeout=20)
        assert time.monotonic() >= began + 0.070 + 0.050
        say(nodes, Rule("client", "math-0", cut=True))
        with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
            stub.ShiftLeft(math_pb2.ShiftLeftRequest(value=one, bits=one), timeout=0.3)
        say(nodes, Rule("client", "math-0", cut=False))
        stub.ShiftLeft(math_pb2.ShiftLeftRequest(value=one, bits=one), timeout=20)


def test_a_run_over_a_link_that_is_cut_ends_with_a_typed_error_and_a_later_one_succeeds(
    datacenter: Datacenter, nodes: Nodes
) -> None:
    assert crossed_s(datacenter, "math-0", "math-1")
    say(nodes, Rule("math-0", "math-1", cut=True))
    with pytest.raises(FractosError) as caught:
        datacenter.run(shifts("math-0", "math-1"), timeout_s=4)
    assert isinstance(caught.value, UnavailableError | DeadlineExceededError)
    assert crossed_s(datacenter, "math-1"), "the other links are as they were"
    say(nodes, Rule("math-0", "math-1", cut=False))
    assert datacenter.run(shifts("math-0", "math-1"), timeout_s=20).trail


def test_a_run_waits_for_a_cut_that_is_healed_in_its_time(datacenter: Datacenter, nodes: Nodes) -> None:
    assert crossed_s(datacenter, "math-0", "math-1")
    say(nodes, Rule("math-0", "math-1", cut=True))
    run = datacenter.submit(shifts("math-0", "math-1"), timeout_s=30)
    say(nodes, Rule("math-0", "math-1", cut=False))
    assert [hop.node for hop in run.result().trail] == ["math-0", "math-1"]


def test_unpinned_steps_go_on_at_another_node_while_the_leader_is_cut_off(datacenter: Datacenter, nodes: Nodes) -> None:
    say(nodes, Rule("application-0", "math-0", cut=True))
    graph = TaskGraph("unpinned")
    graph.math.shift_left(value=1, bits=1)
    assert [hop.node for hop in datacenter.run(graph, timeout_s=30).trail] == ["math-1"]


def test_a_node_that_starts_later_knows_what_was_changed(tmp_path: Path) -> None:
    with running(tmp_path, "application-0") as nodes:
        assert say(nodes, Rule("application-0", "math-0", latency_ms=80)) == ["application-0"]
        nodes.start("math-0")
        with connect(nodes.root) as datacenter:
            assert crossed_s(datacenter, "math-0")[0] >= 0.080


def test_a_change_without_a_node_is_kept(tmp_path: Path) -> None:
    nodes = Nodes(tmp_path)
    assert say(nodes, Rule("*", "*", latency_ms=1)) == []
    assert read_state(load(tmp_path)).rules.shape("math-0", "math-1").latency_ms == 1


def test_who_has_not_the_key_changes_nothing(datacenter: Datacenter, nodes: Nodes) -> None:
    with nodes.channel("math-0") as channel, pytest.raises(grpc.RpcError, match="only Controllers of the datacenter may call"):
        request = to_proto(1 << 60, NetworkRules((Rule("*", "*", cut=True),)))
        fractos_pb2_grpc.NetworkStub(channel).Shape(request, timeout=20)
    assert crossed_s(datacenter, "math-0")


def test_an_earlier_change_is_refused_by_who_knows_of_a_later_one(datacenter: Datacenter, nodes: Nodes) -> None:
    key = load_or_make_key(nodes.configuration.keys_path, DATACENTER)
    prover = CallProver(nodes.configuration.name, key, "launcher", time.time, secrets.token_bytes)
    with nodes.channel("math-0") as channel:
        request = to_proto(1, NetworkRules((Rule("*", "*", cut=True),)))
        stub = fractos_pb2_grpc.NetworkStub(channel)
        with pytest.raises(grpc.RpcError, match="a clock was set back: restart the node") as caught:
            stub.Shape(request, metadata=prover.metadata(nodes.address("math-0"), SHAPE, request), timeout=20)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert crossed_s(datacenter, "math-0")
