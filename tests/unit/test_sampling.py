"""A sampler that keeps a share of the traces keeps that share of the runs."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from Services.fractos.run_id import new_run_id
from Services.fractos.trace_context import span_of


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_of_the_runs_is_traced(share: float) -> None:
    sampler = ParentBasedTraceIdRatio(share)
    traces = [span_of(new_run_id(), "").trace_id for _ in range(2000)]
    sampled = sum(sampler.should_sample(None, trace, "run").decision.is_sampled() for trace in traces)
    assert 2000 * share - 150 < sampled < 2000 * share + 150  # over six standard deviations
