"""What is counted for Prometheus, where a scrape of real nodes cannot show it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client.core import HistogramMetricFamily

from protos import application_pb2, fractos_pb2
from Services.fractos.config import CODE_ROOT, load
from Services.fractos.engine import Engine
from Services.fractos.errors import ConfigurationError, DeadlineExceededError
from Services.fractos.events import CallDevice, DeviceDone, DropCalls, FrameReceived, Recorded, RunEnded, TimerDue, WorkKey
from Services.fractos.graph import default_catalogue
from Services.fractos.metrics import MOST_BEGUN, Histogram, Metrics
from Services.fractos.records import EndRecord, Inquiry, RunRecord
from Services.fractos.telemetry import check_packages
from tests.unit.test_runs import application

RUN, KEY = b"r" * 16, WorkKey(b"r" * 16, 1, 0)
POWER = default_catalogue().get("math.power")
LINK = ("math", "frames_sent")


class Node:
    """The metrics of a node, and what they are told."""

    def __init__(self, engine: Engine) -> None:
        self.description = fractos_pb2.NodeDescription()
        controller = cast(Any, SimpleNamespace(engine=engine))
        self.metrics = Metrics(controller, lambda: self.description, frozenset({"math", "application"}))

    def sent(self, **frames: int) -> float:
        """A scrape when so many frames have gone to each address. Returns how many have gone to math nodes."""
        links = [
            fractos_pb2.LinkCount(peer=peer.replace("_", " ").replace("0", "-0"), frames_sent=count)
            for peer, count in frames.items()
        ]
        self.description.traffic.CopyFrom(fractos_pb2.CountResponse(links=links))
        return self.values("mockdc_link_sent_frames_total")["math"]

    def values(self, name: str) -> Mapping[str, float]:
        """By the last label."""
        samples = [sample for family in self.metrics.families() for sample in family.samples if sample.name == name]
        return {list(sample.labels.values())[-1]: sample.value for sample in samples}

    def begin(self, key: WorkKey = KEY) -> None:
        assert POWER is not None
        request = fractos_pb2.Request(sent_at=9.0)
        call = CallDevice(key, POWER, POWER.request_class(), 99.0)
        self.metrics.saw(FrameReceived(fractos_pb2.Frame(request=request), "math-0", 10), [call], 10.0)


@pytest.fixture
def node() -> Node:
    return Node(application())


def test_what_two_clocks_make_negative_counts_as_nothing() -> None:
    histogram, family = Histogram(), HistogramMetricFamily("took_seconds", "how long", labels=[])
    for seconds in (-1.0, 1e-5, 1.1e-5, 99.0):
        histogram.observe(seconds)
    histogram.add_to(family, [])
    found = {sample.labels.get("le", sample.name): sample.value for sample in family.samples}
    assert (found["1e-05"], found["2.5e-05"], found["50.0"], found["+Inf"]) == (2, 3, 3, 4)
    assert found["took_seconds_sum"] == pytest.approx(99.0, abs=1e-4)


def test_counters_of_links_never_fall_although_the_oldest_links_are_forgotten(node: Node) -> None:
    assert node.sent(at_math0=5) == 5
    assert node.sent(at_math0=7) == 7
    node.description.traffic.Clear()
    assert node.values("mockdc_link_sent_frames_total") == {"math": 7}
    assert node.sent(at_math0=2) == 9  # it is counted anew


def test_peers_of_any_name_make_no_series_of_their_own(node: Node) -> None:
    for source in ("math-0", "a stranger", "another-1", "math-1"):
        node.metrics.saw(FrameReceived(fractos_pb2.Frame(), source, 100), [], 10.0)
    assert node.values("mockdc_link_received_bytes_total") == {"math": 200, "other": 200}


def test_a_step_is_timed_once_and_what_was_dropped_not_at_all(node: Node) -> None:
    done = DeviceDone(KEY, None, DeadlineExceededError("late"), 10.5, 11.0)
    node.begin()
    node.metrics.saw(done, [], 11.0)
    node.metrics.saw(done, [], 11.0)
    node.begin()
    node.metrics.saw(TimerDue(), [DropCalls(frozenset({RUN}))], 11.0)
    node.metrics.saw(done, [], 12.0)
    assert node.values("mockdc_steps_total") == {"DEADLINE_EXCEEDED": 1}
    assert node.values("mockdc_step_wire_seconds_sum") == {"math.power": 1.0}
    assert node.values("mockdc_step_queue_seconds_sum") == {"math.power": 0.5}
    assert node.values("mockdc_step_device_seconds_sum") == {"math.power": 0.5}


def test_steps_that_never_end_do_not_pile_up(node: Node) -> None:
    keys = [WorkKey(RUN, 1, step) for step in range(MOST_BEGUN + 1)]
    for key in keys:
        node.begin(key)
    for key in keys[:2]:
        node.metrics.saw(DeviceDone(key, None, None, 10.0, 10.0), [], 10.0)
    assert node.values("mockdc_steps_total") == {"OK": 1}


def test_a_run_counts_once_however_often_its_end_is_asked_for(node: Node) -> None:
    attempts = [fractos_pb2.Attempt(began_at=10.0)]
    result = application_pb2.RunResult(run_id=RUN, attempts=attempts, ended_at=12.0)
    ended = EndRecord(RUN, result.SerializeToString(), False, 99.0)
    node.metrics.saw(Recorded([RunRecord(RUN, b"", b"", 10.0, 20.0, {})], {}, None), [], 10.0)
    node.metrics.saw(Recorded([ended], {}, DeadlineExceededError("no disk")), [], 12.0)
    node.metrics.saw(Recorded([ended], {}, None), [RunEnded(result)], 12.0)
    known = RunRecord(RUN, b"", b"", 10.0, 20.0, {}, result=ended.result)
    node.metrics.saw(Recorded([Inquiry(RUN), known], {RUN: known}, None), [RunEnded(result)], 13.0)
    assert node.values("mockdc_runs_total") == {"succeeded": 1, "failed": 0, "cancelled": 0}
    assert node.values("mockdc_run_duration_seconds_sum")["succeeded"] == 2.0
    assert (
        list(node.values("mockdc_runs_accepted_total").values())
        == list(node.values("mockdc_run_attempts_total").values())
        == [1]
    )


def test_a_run_of_a_journal_that_knows_no_attempts_counts_and_is_not_timed(node: Node) -> None:
    result = application_pb2.RunResult(run_id=RUN, ended_at=12.0)
    ended = EndRecord(RUN, result.SerializeToString(), False, 99.0)
    node.metrics.saw(Recorded([ended], {}, None), [RunEnded(result)], 12.0)
    assert node.values("mockdc_runs_total")["succeeded"] == 1
    assert node.values("mockdc_run_duration_seconds_count")["succeeded"] == 0


def test_a_missing_package_is_named_with_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    configuration = load(CODE_ROOT)
    check_packages(configuration)
    (tmp_path / "data_center_setup.cfg").write_text(
        (CODE_ROOT / "data_center_setup.cfg").read_text().replace("metrics = off", "metrics = on")
    )
    with pytest.raises(
        ConfigurationError, match=r"metrics = on needs a package that is missing; type: .* -m pip install .*\[metrics\]"
    ):
        check_packages(load(tmp_path))
