"""Those who look after a datacenter see its nodes, what happens there, and the runs of all clients; nobody else does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from protos import application_pb2, application_pb2_grpc, fractos_pb2, fractos_pb2_grpc
from Services.fractos import TaskGraph, connect
from Services.fractos.config import load
from Services.fractos.directory.interface import Member
from Services.fractos.errors import BY_STATUS, NotFoundError, UnavailableError
from Services.fractos.keys import DATACENTER, load_or_make_key
from Services.fractos.oversight import Oversight, overseeing
from tests.nodes import Nodes, configuration_text, running, slow_graph

Kind = fractos_pb2.NodeEvent


@pytest.fixture
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with running(tmp_path_factory.mktemp("datacenter"), "application-0", "math-0") as started:
        started.start("math-1")  # so math-0 leads
        yield started


def chain(*names: str) -> TaskGraph:
    graph = TaskGraph("a chain")
    step = None
    for name in names:
        node = graph.node(name)
        step = node.shift_left(value=1 if step is None else step.value, bits=1)
    return graph


def test_a_node_describes_itself_to_who_has_the_key(nodes: Nodes) -> None:
    async def ask() -> dict[str, fractos_pb2.NodeDescription]:
        async with overseeing(nodes.configuration) as oversight:
            return {node.name: await oversight.describe(node) for node in oversight.nodes()}

    with connect(nodes.root) as datacenter:
        datacenter.run(chain("math-0", "math-1", "math-0"))
    found = asyncio.run(ask())
    assert {name: node.steps_done for name, node in found.items()} == {"application-0": 0, "math-0": 2, "math-1": 1}
    home = found["application-0"]
    assert (home.runs_ended, home.runs_failed, home.runs_in_flight, home.epoch) == (1, 0, 0, 1)
    assert home.pid == nodes.processes["application-0"].pid
    assert home.state_bytes > 0
    assert home.log_file == str(nodes.root / "application-0.log")
    assert time.time() - 60 < home.started_at < home.now <= time.time()
    assert home.cpu_s > 0
    assert home.resident_bytes > 10 << 20
    with grpc.insecure_channel(home.address) as channel, pytest.raises(grpc.RpcError) as refused:
        fractos_pb2_grpc.NodeStub(channel).Describe(fractos_pb2.DescribeNodeRequest())
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_what_happens_is_told_where_it_happens(nodes: Nodes) -> None:
    async def watch() -> dict[str, list[fractos_pb2.NodeEvent]]:
        seen: dict[str, list[fractos_pb2.NodeEvent]] = {"application-0": [], "math-0": [], "math-1": []}
        async with overseeing(nodes.configuration) as oversight:
            watches = {node.name: oversight.watch(node) for node in oversight.nodes()}
            for one in watches.values():
                assert not (await anext(one)).events
            with connect(nodes.root) as datacenter:
                await asyncio.to_thread(datacenter.run, chain("math-0", "math-1"))
            for name, last in (("math-0", Kind.STEP_DONE), ("math-1", Kind.STEP_DONE), ("application-0", Kind.RUN_ENDED)):
                while not seen[name] or seen[name][-1].kind != last:
                    seen[name] += (await anext(watches[name])).events
            for one in watches.values():
                await one.aclose()
        return seen

    seen = asyncio.run(watch())
    assert [event.kind for event in seen["math-1"]] == [Kind.REQUEST_RECEIVED, Kind.STEP_DONE]
    received, done = seen["math-1"]
    assert (received.source, received.operation, received.step) == ("math-0", "math.shift_left", 1)
    assert received.bytes > 0
    assert received.at <= done.started_at <= done.at
    kinds = [event.kind for event in seen["application-0"]]
    assert kinds == [Kind.RUN_ACCEPTED, Kind.COMPLETION_RECEIVED, Kind.RUN_ENDED]
    assert seen["application-0"][0].operation == "a chain"
    assert len({event.run_id for events in seen.values() for event in events}) == 1


def test_a_run_tells_its_attempts_also_after_its_application_node_died(nodes: Nodes) -> None:
    with connect(nodes.root) as datacenter:
        run = datacenter.submit(slow_graph(20), timeout_s=60)
        nodes.wait_until_busy("math-0")

        async def describe() -> application_pb2.RunDescription:
            async with overseeing(nodes.configuration) as oversight:
                return await oversight.describe_run(bytes.fromhex(run.run_id))

        assert asyncio.run(describe()).info.state == application_pb2.RUNNING
        nodes.kill("math-0")
        run.result()
    told = asyncio.run(describe())
    assert told.info.state == application_pb2.SUCCEEDED
    assert [attempt.number for attempt in told.attempts] == list(range(1, told.result.attempt + 1))
    assert told.result.attempt >= 2
    assert not told.attempts[0].reason
    assert "the channel to math-0 broke" in told.attempts[1].reason
    assert {attempt.home for attempt in told.attempts} == {"application-0"}
    shown = fractos_pb2.Graph.FromString(told.graph)
    assert (shown.name, len(shown.steps), shown.steps[0].operation) == ("slow", 21, "math.binomial_expansion")
    assert not shown.steps[0].arguments
    nodes.kill("application-0")
    nodes.start("application-1")
    again = asyncio.run(describe())
    assert again.result == told.result
    assert (again.graph, again.info.client, again.info.topology) == (told.graph, "admin", "ring")
    assert list(again.attempts) == list(told.attempts)

    async def listed(state: application_pb2.RunState) -> list[application_pb2.RunInfo]:
        async with overseeing(nodes.configuration) as oversight:
            return await oversight.runs(state=state)

    assert asyncio.run(listed(application_pb2.RUN_STATE_UNSPECIFIED)) == [told.info]
    assert asyncio.run(listed(application_pb2.SUCCEEDED)) == [told.info]
    assert asyncio.run(listed(application_pb2.FAILED)) == []


def test_runs_of_all_clients_are_listed_by_state(nodes: Nodes) -> None:
    with connect(nodes.root) as datacenter:
        done = datacenter.submit(chain("math-0"))
        done.result()
        graph = TaskGraph("wrong")
        graph.math.binomial(n=-1, k=0)
        failed = datacenter.submit(graph)
        with pytest.raises(Exception, match="binomial"):
            failed.result()

    async def listed(state: application_pb2.RunState) -> list[str]:
        async with overseeing(nodes.configuration) as oversight:
            with pytest.raises(NotFoundError):
                await oversight.describe_run(bytes(16))
            return [run.run_id.hex() for run in await oversight.runs(state=state)]

    assert asyncio.run(listed(application_pb2.RUN_STATE_UNSPECIFIED)) == [failed.run_id, done.run_id]
    assert asyncio.run(listed(application_pb2.FAILED)) == [failed.run_id]


class Answering(application_pb2_grpc.ApplicationServicer):
    """An application node that ends each call with a status, or has one run to tell of."""

    def __init__(self, status: str) -> None:
        self.status = status

    async def ListRuns(
        self, request: application_pb2.ListRunsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> application_pb2.ListRunsResponse:
        if self.status != "OK":
            await context.abort(grpc.StatusCode[self.status], "so it is")
        return application_pb2.ListRunsResponse(runs=[application_pb2.RunInfo(name="told")])


async def asked(folder: Path, *statuses: str) -> list[str]:
    """The names of the runs that application nodes tell of which answer so, in their order."""
    (folder / "data_center_setup.cfg").write_text(configuration_text("application"))
    servers, members = [], []
    for number, status in enumerate(statuses):
        server = grpc.aio.server()
        application_pb2_grpc.add_ApplicationServicer_to_server(Answering(status), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        servers.append(server)
        members.append(Member("application", f"application-{number}", "", number, f"127.0.0.1:{port}", 1, "", 0.0))

    async def close() -> None:
        for server in servers:
            await server.stop(None)

    configuration = load(folder)
    load_or_make_key(configuration.keys_path, DATACENTER)
    oversight = Oversight(configuration, cast(Any, SimpleNamespace(members=lambda: members, close=close)))
    try:
        return [run.name for run in await oversight.runs()]
    finally:
        await oversight.close()


@pytest.mark.parametrize("status", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"])
def test_the_next_application_node_is_asked_if_one_is_gone(tmp_path: Path, status: str) -> None:
    assert asyncio.run(asked(tmp_path, status, "OK")) == ["told"]
    with pytest.raises(UnavailableError, match=r"no application node answers \(application-0: so it is\)"):
        asyncio.run(asked(tmp_path, status))


@pytest.mark.parametrize("status", ["PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "INTERNAL", "NOT_FOUND"])
def test_any_other_answer_is_told_as_it_is(tmp_path: Path, status: str) -> None:
    with pytest.raises(BY_STATUS[status]) as caught:
        asyncio.run(asked(tmp_path, status, "OK"))
    assert str(caught.value) == "application-0: so it is"
