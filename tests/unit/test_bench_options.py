"""What `bench` is asked for, and what it makes of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from Services.datacenter.bench.options import BENCHES, Options
from Services.datacenter.command_line import parse
from Services.fractos.config import CODE_ROOT


def options(*words: str) -> Options:
    return Options.of(parse(["bench", *words], Path("/a/datacenter")))


def test_without_flags_each_benchmark_takes_what_it_needs() -> None:
    asked = options("all")
    assert asked.benches == tuple(BENCHES)
    assert asked.out == CODE_ROOT / "benchmarks"
    assert asked.limit_of("topology") > asked.limit_of("latency") == 120
    assert not asked.quick
    assert asked.rules(7).limit_s == 7
    assert asked.rules(7).precision == 0.05


def test_a_time_limit_holds_for_each_benchmark() -> None:
    asked = options("data", "--time-limit", "9", "--precision", "1", "--nodes", "10")
    assert (asked.benches, asked.nodes) == (("data",), 10)
    assert [asked.limit_of(bench) for bench in BENCHES] == [9] * len(BENCHES)
    assert asked.rules(9).precision == 0.01


def test_quick_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked, thorough = options("topology", "--quick", "--out", "here"), options("topology")
    assert asked.out == tmp_path / "here"
    assert asked.limit_of("topology") < 10
    assert asked.rules(5).most < thorough.rules(5).most
    assert options("topology", "--quick", "--time-limit", "60").limit_of("topology") == 60
