"""Whether OpenTelemetry's variables ask for traces, and for which way of sending them."""

from __future__ import annotations

import importlib.util

import pytest

from Services.fractos.tracing import EXPORTERS, exporter_of, wants_traces


def test_an_endpoint_asks_for_traces() -> None:
    assert not wants_traces({})
    assert not wants_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "", "OTEL_SERVICE_NAME": "mine"})
    assert wants_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4317"})
    assert wants_traces({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4317"})


def test_grpc_is_the_way_unless_the_environment_names_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    assert exporter_of({}) == EXPORTERS["grpc"]
    assert exporter_of({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}) == EXPORTERS["http/protobuf"]
    both = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}
    assert exporter_of(both) == EXPORTERS["grpc"]


def test_what_cannot_be_had_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError, match="OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json', which is none of grpc, http/protobuf"):
        exporter_of({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=f"there is no {EXPORTERS['grpc']}"):
        exporter_of({})
