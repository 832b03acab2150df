"""Prometheus scrapes real nodes, and an OpenTelemetry collector gets the runs as traces: by their own protocols."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import psutil
import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from protos import application_pb2, application_pb2_grpc
from Services.fractos import TaskGraph, connect
from Services.fractos.errors import OutOfRangeError
from Services.fractos.events import Recorded
from Services.fractos.records import EndRecord
from Services.fractos.run_id import new_run_id
from Services.fractos.trace_context import span_of
from Services.fractos.tracing import MOST_BYTES, Tracing
from tests.nodes import ROOT, Nodes, running, slow_graph
from tests.waiting import until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CLIENT = f"00-{TRACE}-{SPAN}-01"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """The receiving end of OTLP."""

    def __init__(self) -> None:
        self.spans: list[tuple[dict[str, Any], trace_pb2.Span]] = []  # with the attributes of their resources
        self.server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def Export(self, request: Any, context: object) -> Any:
        for one in request.resource_spans:
            resource = attributes(one.resource)
            self.spans += [(resource, span) for scope in one.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def trace(self, trace_id: str, spans: int) -> dict[str, trace_pb2.Span]:
        """The spans of a trace by name, once all have come."""

        def found() -> list[trace_pb2.Span]:
            return [span for _, span in self.spans if span.trace_id.hex() == trace_id]

        until(lambda: len(found()) >= spans)
        return {span.name: span for span in found()}

    def service(self, span: trace_pb2.Span) -> tuple[str, str]:
        """Of which service, and of which instance of it, a span is."""
        (resource,) = [resource for resource, one in self.spans if one is span]
        return resource["service.name"], resource["service.instance.id"]


def attributes(of: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in of.attributes}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.server.stop(None)


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        root, keys = tmp_path_factory.mktemp("datacenter"), {"DataCenter": "metrics = on"}
        with running(root, "application-0", "math-0", keys=keys) as started:
            started.start("math-1")
            yield started


def chain(*names: str) -> TaskGraph:
    graph = TaskGraph("a chain")
    step = None
    for name in names:
        node = graph.node(name)
        step = node.shift_left(value=1, bits=1) if step is None else node.power(base=step.value, exponent=2)
    return graph


def own_trace(run_id: str) -> str:
    return f"{span_of(bytes.fromhex(run_id), '').trace_id:032x}"


def stub(nodes: Nodes) -> Any:
    return application_pb2_grpc.ApplicationStub(nodes.channel("application-0"))


def page(nodes: Nodes, name: str, accept: str = "text/plain") -> str:
    """What Prometheus gets of a node that it has found in the folder for it."""
    file = nodes.configuration.metrics_path / f"{name}.json"
    until(file.exists)
    (found,) = json.loads(file.read_text())
    assert found["labels"] == {"datacenter": "test", "instance": name}
    (target,) = found["targets"]
    with urllib.request.urlopen(urllib.request.Request(f"http://{target}/metrics", headers={"Accept": accept})) as answer:
        return str(answer.read().decode())


def scrape(nodes: Nodes, name: str) -> Samples:
    families = text_string_to_metric_families(page(nodes, name))
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    (found,) = [value for (one, its), value in samples.items() if one == name and labels.items() <= set(its)]
    return found


def test_prometheus_finds_and_scrapes_every_node(nodes: Nodes) -> None:
    with connect(nodes.root) as datacenter:
        for _ in range(3):
            datacenter.run(chain("math-0", "math-1"))
        wrong = TaskGraph("wrong")
        wrong.math.binomial(n=-1, k=0)
        with pytest.raises(OutOfRangeError):
            datacenter.run(wrong)
    with pytest.raises(grpc.RpcError, match="INVALID_ARGUMENT"):
        stub(nodes).Submit(application_pb2.SubmitRequest(run_id=new_run_id(), timeout_s=1e9))
    assert {path.stem for path in nodes.configuration.metrics_path.iterdir()} == {"application-0", "math-0", "math-1"}
    second = scrape(nodes, "math-1")
    step = {"node": "math-1", "node_type": "math", "operation": "math.power"}
    assert value(second, "mockdc_steps_total", **step, status="OK") == 3
    for name in ("wire", "queue", "device"):
        assert value(second, f"mockdc_step_{name}_seconds_count", **step) == 3
        assert value(second, f"mockdc_step_{name}_seconds_bucket", **step, le="+Inf") == 3
        assert 0 <= value(second, f"mockdc_step_{name}_seconds_sum", **step) < 30
    assert value(second, "mockdc_link_received_frames_total", peer_type="math") == 3
    assert value(second, "mockdc_link_sent_frames_total", peer_type="application") == 3
    assert value(second, "mockdc_link_sent_bytes_total", peer_type="application", carrier="frames") > 0
    assert value(second, "mockdc_leader", node="math-1") == 0
    assert value(second, "mockdc_memory_limit_bytes") == 1 << 30
    assert value(second, "process_resident_memory_bytes") > 10 << 20
    first = scrape(nodes, "math-0")
    assert value(first, "mockdc_steps_total", operation="math.binomial", status="OUT_OF_RANGE") == 1
    assert value(first, "mockdc_leader") == 1
    home = scrape(nodes, "application-0")
    assert (
        value(home, "mockdc_runs_total", state="succeeded")
        == value(home, "mockdc_run_duration_seconds_count", state="succeeded")
        == 3
    )
    assert value(home, "mockdc_runs_total", state="failed") == 1
    assert value(home, "mockdc_runs_refused_total", status="INVALID_ARGUMENT") == 1
    assert value(home, "mockdc_runs_accepted_total") == value(home, "mockdc_run_attempts_total") == 4
    assert (value(home, "mockdc_owner"), value(home, "mockdc_owner_epoch"), value(home, "mockdc_leader")) == (1, 1, 1)
    assert value(home, "mockdc_runs_in_flight") == 0
    assert value(home, "mockdc_journal_bytes") > 0


def test_the_page_names_every_series(nodes: Nodes) -> None:
    shown = set(re.findall(r"`(mockdc_\w+)`", (ROOT / "docs/metrics_and_traces.md").read_text()))
    scraped = {name for node in ("application-0", "math-1") for name, _ in scrape(nodes, node) if name.startswith("mockdc_")}
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in scraped} == shown


def test_a_run_without_a_trace_has_one_of_its_own(nodes: Nodes, collector: Collector) -> None:
    with connect(nodes.root) as datacenter:
        run = datacenter.submit(chain("math-0", "math-1"))
        result = run.result()
    spans = collector.trace(own_trace(run.run_id), 3)
    home, first, second = spans["a chain"], spans["math.shift_left"], spans["math.power"]
    assert not home.parent_span_id
    assert home.span_id.hex() == run.run_id[16:]
    assert {first.parent_span_id, second.parent_span_id} == {home.span_id}
    assert [link.span_id for link in second.links] == [first.span_id]
    assert {collector.service(span) for span in spans.values()} == {
        ("test-application", "application-0"), ("test-math", "math-0"), ("test-math", "math-1")
    }  # fmt: skip
    told = attributes(second)
    assert (told["rpc.system"], told["rpc.service"], told["server.address"]) == ("grpc", "mockdc.math.v1.Math", "math-1")
    assert told["rpc.method"] == "mockdc.math.v1.Math/Power"
    hop = result.trail[1]
    assert [event.name for event in second.events] == ["received", "device began"]
    assert second.start_time_unix_nano <= second.events[0].time_unix_nano <= second.events[1].time_unix_nano
    assert abs(second.end_time_unix_nano / 1e9 - hop.finished_at) < 1e-5
    assert home.start_time_unix_nano <= first.start_time_unix_nano
    assert second.end_time_unix_nano <= home.end_time_unix_nano
    assert [attributes(event)["mockdc.attempt.home"] for event in home.events] == ["application-0"]
    assert home.status.code == trace_pb2.Status.STATUS_CODE_UNSET


def test_a_run_belongs_to_the_trace_of_its_client(nodes: Nodes, collector: Collector) -> None:
    """By a parameter, by OpenTelemetry's current span, by gRPC metadata; what is malformed does not count."""
    with connect(nodes.root) as datacenter:
        graph = TaskGraph("a fan")
        step = graph.node("math-0").shift_left(value=1, bits=1)
        for exponent in (2, 3):
            graph.node("math-1").power(base=step.value, exponent=exponent)
        datacenter.run(graph, traceparent=CLIENT)
        context = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
        with trace.use_span(trace.NonRecordingSpan(context)):
            datacenter.run(chain("math-0"))
        unsampled = datacenter.submit(chain("math-0"), traceparent=f"00-{'b' * 32}-{SPAN}-00")
        unsampled.result()
        malformed = datacenter.submit(chain("math-0"), traceparent="00-not-a-trace")
        malformed.result()
    plain = chain("math-0")
    for number, metadata in enumerate([f"00-{'c' * 32}-{SPAN}-01", "malformed"]):
        request = application_pb2.SubmitRequest(run_id=new_run_id(), graph=nodes.authority().graph(plain))
        stub(nodes).Submit(request, metadata=(("traceparent", metadata),))
        (*_, last) = stub(nodes).Watch(application_pb2.WatchRequest(run_id=request.run_id))
        assert bool(last.result.traceparent) == (number == 0)
    assert collector.trace(TRACE, 4)["a fan"].parent_span_id.hex() == SPAN
    assert collector.trace(f"{0xABC:032x}", 2)["a chain"].parent_span_id.hex() == f"{0xDEF:016x}"
    assert collector.trace("c" * 32, 2)["a chain"].parent_span_id.hex() == SPAN
    assert not collector.trace(own_trace(malformed.run_id), 2)["a chain"].parent_span_id
    assert not collector.trace("b" * 32, 0)  # those around it have come
    exemplars = {
        (sample.labels["node"], sample.exemplar.labels["trace_id"])
        for name in ("math-0", "math-1")
        for family in openmetrics(page(nodes, name, "application/openmetrics-text; version=1.0.0"))
        for sample in family.samples
        if sample.exemplar
    }
    assert {("math-1", TRACE), ("math-0", "c" * 32)} <= exemplars


def test_a_failure_is_told_where_it_happened(nodes: Nodes, collector: Collector) -> None:
    graph = TaskGraph("wrong")
    step = graph.node("math-0").shift_left(value=1, bits=1)
    graph.node("math-1").binomial(n=-1, k=0, after=step)
    with connect(nodes.root) as datacenter:
        run = datacenter.submit(graph)
        with pytest.raises(OutOfRangeError):
            run.result()
    spans = collector.trace(own_trace(run.run_id), 3)
    for name in ("wrong", "math.binomial"):
        assert spans[name].status.code == trace_pb2.Status.STATUS_CODE_ERROR
        assert "-1" in spans[name].status.message
        assert attributes(spans[name])["error.type"] == "OUT_OF_RANGE"
    assert attributes(spans["wrong"])["mockdc.failure.node"] == attributes(spans["math.binomial"])["server.address"] == "math-1"
    assert spans["math.shift_left"].status.code == trace_pb2.Status.STATUS_CODE_UNSET


def test_a_run_keeps_its_trace_when_its_application_node_dies(nodes: Nodes, collector: Collector) -> None:
    nodes.start("application-1")
    trace_id = "d" * 32
    with connect(nodes.root) as datacenter:
        run = datacenter.submit(slow_graph(20), timeout_s=60, traceparent=f"00-{trace_id}-{SPAN}-01")
        nodes.wait_until_busy("math-0")
        (sender,) = psutil.Process(nodes.processes["application-0"].pid).children()
        nodes.kill("application-0")
        run.result()
    until(lambda: not sender.is_running())
    home = collector.trace(trace_id, 22)["slow"]
    assert (home.parent_span_id.hex(), home.span_id.hex()) == (SPAN, run.run_id[16:])
    assert collector.service(home) == ("test-application", "application-1")
    assert [attributes(event)["mockdc.attempt.home"] for event in home.events][:2] == ["application-0", "application-1"]
    assert "died" in attributes(home.events[1])["mockdc.attempt.reason"]


def test_a_process_that_cannot_send_spans_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    before = set(psutil.Process().children())
    tracing = Tracing("test", "application-0")
    ended = Recorded(
        [EndRecord(bytes(16), application_pb2.RunResult(run_id=bytes(16)).SerializeToString(), False, 0.0)], {}, None
    )
    tracing.saw(ended, [], 0.0)
    until(lambda: len(psutil.Process().children()) == len(before) + 1)
    (sender,) = set(psutil.Process().children()) - before
    sender.kill()
    until(lambda: sender.status() == psutil.STATUS_ZOMBIE)
    for _ in range(3):
        tracing.saw(ended, [], 1.0)
    tracing.close()
    assert [record.message.partition(" (")[0] for record in caplog.records] == [
        "traces of runs are left out: the process that sends them has ended"
    ]
    assert set(psutil.Process().children()) == before


def test_results_wait_within_limits(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    tracing = Tracing("test", "application-0")
    full, more = (EndRecord(bytes(16), bytes(size), False, 0.0) for size in (MOST_BYTES, 1))
    tracing.saw(Recorded([full, more, more], {}, None), [], 100.0)
    assert [record.message for record in caplog.records] == [
        "traces of runs are left out: those that wait to be sent have reached their limit"
    ]
    tracing.close()


def test_runs_go_on_when_nobody_takes_their_traces(nodes: Nodes, collector: Collector) -> None:
    """And the nodes end well, as the fixture sees, and are not to be found any more."""
    collector.server.stop(None).wait()
    with connect(nodes.root) as datacenter:
        for run in [datacenter.submit(chain("math-0", "math-1")) for _ in range(200)]:
            run.result()
    names = set(nodes.processes)
    nodes.stop()
    assert not names & {path.stem for path in nodes.configuration.metrics_path.iterdir()}
