"""What `make bench-peers` asks of whom, and what it makes of the answers. The others themselves are not needed for that."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from Services.datacenter.bench import report
from Services.datacenter.bench.command import MODULES
from Services.datacenter.bench.results import Outcome
from Services.fractos.config import CODE_ROOT

sys.path.insert(0, str(CODE_ROOT / "benchmarks"))
import beside_peers

SAYS_SWITCHES = """\
import os
print("ready", flush=True)
input()
print(len(os.environ.get("GRPC_EXPERIMENTS", "")), flush=True)
"""


def test_the_others_have_grpc_as_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "peer.py").write_text(SAYS_SWITCHES)
    monkeypatch.setattr(beside_peers, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(beside_peers, "PEERS", tmp_path)
    monkeypatch.setitem(beside_peers.PROGRAMS, "gRPC", ("peer.py",))
    assert os.environ["GRPC_EXPERIMENTS"]  # the project's own
    with beside_peers.started("gRPC") as peer:
        assert peer.measure("rate", 3, 1) == 0


def rounds(count: int) -> tuple[list[beside_peers.Round], list[str]]:
    """So many rounds of ours and Ray, where ours takes half as long; and the order in which they were asked."""
    asked: list[str] = []

    def system(name: str, value: float) -> beside_peers.Measure:
        def measure(work: str, steps: int, times: int) -> float:
            asked.append(name)
            return value * steps if work == "latency" else value

        return measure

    systems = {"ours": system("ours", 1.0), "Ray": system("Ray", 2.0)}
    return [beside_peers.round_of(systems, number) for number in range(count)], asked


def test_the_order_changes_from_round_to_round() -> None:
    _, asked = rounds(2)
    half = len(asked) // 2
    assert asked[:half] == ["ours", "Ray"] * (half // 2)
    assert asked[half:] == ["Ray", "ours"] * (half // 2)


def test_the_figures_get_into_the_report(tmp_path: Path) -> None:
    results = tmp_path / "results"
    outcome = beside_peers.outcome_of(rounds(6)[0], "2026-01-01T00:00:00+00:00", 12.3)
    beside_peers.write(outcome, results)
    assert Outcome.of_json((results / "peers.json").read_text()) == outcome
    assert not (tmp_path / report.FILE).exists()  # bench makes it
    report.write(tmp_path, results, MODULES)
    text = (tmp_path / report.FILE).read_text()
    assert "## Beside others" in text
    assert "**chain of 8, ms per step**" in text
    assert "| Ray | 2.00 | 2.00 … 2.00 | 2.00 | 2.00 | 0.500 (0.500 … 0.500) | 6 |" in text
    assert "| ours | 1.00 | 1.00 … 1.00 | 1.00 | 1.00 |  | 6 |" in text
    assert "| peers | 2026-01-01T00:00:00+00:00 | 12 |" in text


def test_a_report_that_is_there_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / report.FILE).write_text("old")
    beside_peers.write(beside_peers.outcome_of(rounds(1)[0], "", 0.0), tmp_path / "results")
    assert "## Beside others" in (tmp_path / report.FILE).read_text()
