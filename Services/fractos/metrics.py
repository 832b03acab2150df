"""What Prometheus is told of one node: counted and timed where the Controller works, put into families at each scrape.

Made by `telemetry.py` for a node with `metrics = on`. All of it lives on the Controller's event loop, so there are no locks,
and a step takes a few additions. The number of series is bounded by those of operations, of status codes and of types of node,
whatever clients send.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.samples import Exemplar

from protos import application_pb2, fractos_pb2
from Services.fractos.controller import Controller
from Services.fractos.errors import FractosError, InternalError
from Services.fractos.events import (
    CallDevice,
    DeviceDone,
    DropCalls,
    Effect,
    Event,
    FrameReceived,
    Recorded,
    Refused,
    RunEnded,
    WorkKey,
)
from Services.fractos.records import AttemptRecord, EndRecord, RunRecord
from Services.fractos.run import state_of
from Services.fractos.trace_context import SAMPLED, parse

BOUNDS_S = tuple(float(f"{scale}e{power}") for power in range(-5, 2) for scale in (1, 2.5, 5))  # 10 us to 50 s
MOST_BEGUN = 1 << 16  # steps at the device
CARRIERS = {"frame_bytes_sent": "frames", "memory_mapped": "memory_mapped", "memory_streamed": "memory_streamed"}
OTHER, CLIENT = "other", "client"  # peers that are no node that is known


class _Begun(NamedTuple):
    """A step that is at the device."""

    operation: str
    sent_at: float  # 0: it came from this very node
    received_at: float
    traceparent: str


class Histogram:
    """How long something took, in seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}  # by bucket: the last trace that fell into it

    def observe(self, seconds: float, traceparent: str = "") -> None:
        """Count one. By two clocks it may have taken less than nothing: that counts as nothing."""
        seconds = max(seconds, 0.0)
        bucket = bisect_left(BOUNDS_S, seconds)
        self._counts[bucket] += 1
        self._sum += seconds
        if traceparent and (context := parse(traceparent)) is not None and context.flags & SAMPLED:
            self._exemplars[bucket] = Exemplar({"trace_id": f"{context.trace_id:032x}"}, seconds)

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Put it into a family."""
        buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
        total = 0
        for bucket, bound in enumerate((*map(str, BOUNDS_S), "+Inf")):
            total += self._counts[bucket]
            exemplar = self._exemplars.get(bucket)
            buckets.append((bound, total) if exemplar is None else (bound, total, exemplar))
        family.add_metric(labels, buckets, self._sum)


class _Operation:
    """What the steps of one operation took here."""

    def __init__(self) -> None:
        self.wire, self.wait, self.device = Histogram(), Histogram(), Histogram()
        self.ended: Counter[str] = Counter()  # by status


class Metrics:
    """An observer of one Controller."""

    def __init__(
        self, controller: Controller, describe: Callable[[], fractos_pb2.NodeDescription], peers: frozenset[str]
    ) -> None:
        """`describe` tells the node's present state; `peers` are the types of nodes that there are."""
        self._controller = controller
        self._describe = describe
        self._peers = peers
        self._begun: dict[WorkKey, _Begun] = {}
        self._operations: defaultdict[str, _Operation] = defaultdict(_Operation)
        self._received: dict[str, list[int]] = {}  # by type of the peer: how many frames, and of how many bytes
        self._types: dict[str, str] = {}  # of nodes, by name
        self._sent: Counter[tuple[str, str]] = Counter()  # by type of the peer and field of LinkCount
        self._sent_before: dict[tuple[str, str], int] = {}  # by address and field, at the last scrape
        self._runs: defaultdict[str, Histogram] = defaultdict(Histogram)  # by state: those whose beginning is known
        self._ended: Counter[str] = Counter()  # by state
        self._refused: Counter[str] = Counter()  # by status
        self._accepted = self._attempts = 0

    # -- what happens -----------------------------------------------------------------------------------------------------

    def saw(self, event: Event, effects: Sequence[Effect], now: float) -> None:
        """Count what is worth counting of it."""
        sent_at, traceparent = 0.0, ""
        if isinstance(event, FrameReceived):
            self._count_received(event.source, event.size)
            sent_at, traceparent = event.frame.request.sent_at, event.frame.request.traceparent
        elif isinstance(event, DeviceDone):
            traceparent = self._count_done(event)
        elif isinstance(event, Recorded):
            self._count_recorded(event, effects)
        for effect in effects:
            if isinstance(effect, CallDevice):
                if len(self._begun) >= MOST_BEGUN:
                    del self._begun[next(iter(self._begun))]
                self._begun[effect.key] = _Begun(effect.operation.path, sent_at, now, traceparent)
            elif isinstance(effect, DropCalls):
                self._begun = {key: begun for key, begun in self._begun.items() if key.run_id not in effect.run_ids}
            elif isinstance(effect, Refused):
                self._refused[effect.error.status] += 1

    def _count_received(self, source: str, size: int) -> None:
        peer = self._types.get(source)
        if peer is None:
            peer = self._type_of(source)
            if len(self._types) < MOST_BEGUN:
                self._types[source] = peer
        count = self._received.setdefault(peer, [0, 0])
        count[0] += 1
        count[1] += size

    def _count_done(self, done: DeviceDone) -> str:
        """Returns the trace that the step belongs to."""
        begun = self._begun.pop(done.key, None)
        if begun is None:
            return ""
        path, sent_at, received_at, traceparent = begun
        operation = self._operations[path]
        if sent_at:
            operation.wire.observe(received_at - sent_at, traceparent)
        operation.wait.observe(done.started_at - received_at, traceparent)
        operation.device.observe(done.finished_at - done.started_at, traceparent)
        operation.ended[_status(done.error)] += 1
        return traceparent

    def _count_recorded(self, recorded: Recorded, effects: Sequence[Effect]) -> None:
        if recorded.error is not None:
            return
        ended = set()
        for entry in recorded.entries:
            if isinstance(entry, EndRecord):
                ended.add(entry.run_id)
            elif isinstance(entry, AttemptRecord):
                self._attempts += 1
            elif isinstance(entry, RunRecord) and entry.run_id not in recorded.known:
                self._accepted += 1
                self._attempts += 1
        for effect in effects:
            if isinstance(effect, RunEnded) and effect.result.run_id in ended:  # else it is the answer to who asks again
                result = effect.result
                state = application_pb2.RunState.Name(state_of(result)).lower()
                self._ended[state] += 1
                if result.attempts:  # else it is of a journal that did not keep them yet
                    self._runs[state].observe(result.ended_at - result.attempts[0].began_at, result.traceparent)

    def _type_of(self, name: str) -> str:
        node_type = name.rpartition("-")[0]
        return node_type if node_type in self._peers else OTHER

    # -- a scrape ---------------------------------------------------------------------------------------------------------

    def families(self) -> list[Metric]:
        """All that there is to tell now."""
        description = self._describe()
        identity = self._controller.engine.identity
        families = [*self._of_steps(), *self._of_state(description), *self._of_links(description.traffic)]
        if self._controller.engine.runs is not None:
            families += self._of_runs()
        for family in families:
            for place, sample in enumerate(family.samples):
                labels = {"node": identity.name, "node_type": identity.node_type, **sample.labels}
                family.samples[place] = sample._replace(labels=labels)
        return families

    def _of_steps(self) -> Iterator[Metric]:
        ended = CounterMetricFamily(
            "mockdc_steps", "Steps that the device has ended, by gRPC status.", labels=["operation", "status"]
        )
        wire = _seconds("mockdc_step_wire", "From when a Request was sent until it arrived here, by both clocks.", "operation")
        wait = _seconds("mockdc_step_queue", "From when a step arrived until the device began it.", "operation")
        device = _seconds("mockdc_step_device", "From when the device began a step until it was done.", "operation")
        for path, operation in self._operations.items():
            operation.wire.add_to(wire, [path])
            operation.wait.add_to(wait, [path])
            operation.device.add_to(device, [path])
            for status, count in operation.ended.items():
                ended.add_metric([path, status], count)
        yield from (ended, wire, wait, device)

    def _of_runs(self) -> Iterator[Metric]:
        runs = CounterMetricFamily("mockdc_runs", "Runs that ended, by how.", labels=["state"])
        took = _seconds("mockdc_run_duration", "From when a run was submitted until it ended.", "state")
        for state in ("succeeded", "failed", "cancelled"):
            runs.add_metric([state], self._ended[state])
            self._runs[state].add_to(took, [state])
        refused = CounterMetricFamily(
            "mockdc_runs_refused", "Submissions that were refused, by gRPC status.", labels=["status"]
        )
        for status, count in self._refused.items():
            refused.add_metric([status], count)
        yield from (runs, took, refused)
        yield CounterMetricFamily("mockdc_runs_accepted", "Runs that were accepted.", value=self._accepted)
        yield CounterMetricFamily(
            "mockdc_run_attempts", "Attempts of runs, the first of each among them.", value=self._attempts
        )

    def _of_state(self, description: fractos_pb2.NodeDescription) -> Iterator[Metric]:
        engine = self._controller.engine
        yield _gauge("mockdc_device_steps_waiting", "Calls that wait for the device.", description.steps_waiting)
        yield _gauge("mockdc_device_steps_running", "Calls that the device carries out.", description.steps_running)
        traffic = description.traffic
        yield _gauge("mockdc_memory_objects", "Memory objects that the node holds.", traffic.memory_objects)
        yield _gauge("mockdc_memory_bytes", "Memory that the node holds.", traffic.memory_bytes)
        yield _gauge("mockdc_memory_limit_bytes", "Memory that the node may hold.", description.memory_limit_bytes)
        if engine.runs is not None:
            yield _gauge("mockdc_runs_in_flight", "Runs that have not ended.", description.runs_in_flight)
            yield _gauge("mockdc_journal_bytes", "The journal of runs on disk.", description.state_bytes)
        if description.state_folder:
            yield _gauge("mockdc_owner", "1: the node owns the durable state of its type.", bool(description.epoch))
            yield _gauge("mockdc_owner_epoch", "Since which epoch; 0: it does not.", description.epoch)
        members = engine.placement.of_type(engine.identity.node_type)
        if engine.identity.address in [member.address for member in members]:  # else it does not follow the directory yet
            leads = members[0].address == engine.identity.address
            yield _gauge("mockdc_leader", "1: the node leads its type, so unpinned steps go there.", leads)

    def _of_links(self, traffic: fractos_pb2.CountResponse) -> Iterator[Metric]:
        self._add_sent(traffic)
        frames = CounterMetricFamily(
            "mockdc_link_sent_frames", "Control frames sent, by type of the peer.", labels=["peer_type"]
        )
        sent = CounterMetricFamily("mockdc_link_sent_bytes", "What was sent, and how.", labels=["peer_type", "carrier"])
        for (peer, name), count in sorted(self._sent.items()):
            if name == "frames_sent":
                frames.add_metric([peer], count)
            else:
                sent.add_metric([peer, CARRIERS[name]], count)
        came = CounterMetricFamily("mockdc_link_received_frames", "Control frames that came.", labels=["peer_type"])
        size = CounterMetricFamily("mockdc_link_received_bytes", "Their bytes.", labels=["peer_type"])
        for peer, (count, size_bytes) in self._received.items():
            came.add_metric([peer], count)
            size.add_metric([peer], size_bytes)
        yield from (frames, sent, came, size)

    def _add_sent(self, traffic: fractos_pb2.CountResponse) -> None:
        """Add what the links have carried since the last scrape. They are by address, and the oldest are forgotten."""
        before, self._sent_before = self._sent_before, {}
        name_at = self._controller.engine.placement.name_at
        for link in traffic.links:
            peer = self._type_of(name_at(link.peer)) if link.peer else CLIENT
            for name in ("frames_sent", *CARRIERS):
                count = getattr(link, name)
                grown = count - before.get((link.peer, name), 0)
                self._sent[peer, name] += grown if grown >= 0 else count
                self._sent_before[link.peer, name] = count


def _status(error: BaseException | None) -> str:
    if error is None:
        return "OK"
    return error.status if isinstance(error, FractosError) else InternalError.status


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, help_text, value=value)


def _seconds(name: str, help_text: str, label: str) -> HistogramMetricFamily:
    return HistogramMetricFamily(f"{name}_seconds", help_text, labels=[label])
