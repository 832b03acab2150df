"""Results as files, tables, plots and a report."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from PIL import Image

from Services.datacenter.bench import failover, findings, report
from Services.datacenter.bench.charts import Chart, HeatMap, Line, Panel, Table, number, size
from Services.datacenter.bench.command import MODULES, write
from Services.datacenter.bench.measuring import summarize
from Services.datacenter.bench.options import BENCHES
from Services.datacenter.bench.plots import draw
from Services.datacenter.bench.results import Outcome, Parameter, Row
from Services.fractos.topology import FAST_STAR, RING, STAR, TOPOLOGIES

MACHINE: dict[str, Parameter] = {"processor": "abacus", "cores": 2}
TIMES = {RING: 10.0, FAST_STAR: 12.0, STAR: 20.0}


def topology_outcome(applications: tuple[str, ...] = ("chain", "face verification")) -> Outcome:
    """What `topology` might find: a star takes twice as long as a ring."""
    rows: list[Row] = []
    for application in applications:
        for latency in (0.2, 1.0) if application == "chain" else (1.0,):
            for devices in (2, 4):
                at: dict[str, Parameter] = {"application": application, "devices": devices, "bytes": 1_000}
                at |= {"latency_ms": latency, "bandwidth_mbit": 1_000.0}
                rows += [row for one in TOPOLOGIES for row in topology_rows(one, at)]
    return Outcome("topology", tuple(rows), machine=MACHINE, began="2026-01-01T00:00:00+00:00", took_s=3.0)


def topology_rows(topology: str, at: dict[str, Parameter]) -> list[Row]:
    time = TIMES[topology]
    figures = {"duration": [time - 1, time, time + 1], "by ring": [time / 10], "hops": [5.0], "values": [3000.0]}
    figures |= {"traffic": [3500.0 * time / 10], "devices": [1.0], "network by rule": [time / 2]}
    return [Row("topology", topology, name, "", summarize(values), at) for name, values in figures.items()]


def test_results_survive_their_file() -> None:
    outcome = topology_outcome()
    assert Outcome.of_json(outcome.as_json()) == outcome
    for damaged in ("", "[]", "{}", '{"rows": 1}', outcome.as_json().replace("median", "mean")):
        with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
            Outcome.of_json(damaged)


def test_the_csv_file_has_a_line_for_each_figure() -> None:
    outcome = topology_outcome()
    lines = list(csv.DictReader(io.StringIO(outcome.as_csv())))
    assert len(lines) == len(outcome.rows)
    assert lines[0] | {"bench": "topology", "variant": "ring", "figure": "duration", "median": "10.0", "n": "3"} == lines[0]
    assert lines[0]["parameters"] == "application=chain;devices=2;bytes=1000;latency_ms=0.2;bandwidth_mbit=1000.0"


def test_the_report_answers_the_question_first(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    assert report.write(tmp_path, results, MODULES) is None
    (results / "topology.json").write_text(topology_outcome().as_json())
    (results / "latency.json").write_text("damaged")
    failed = Outcome("data", (), failures=("no room",), machine=MACHINE)
    (results / "data.json").write_text(failed.as_json())
    (results / "peers.json").write_text("[]")  # of an earlier version
    assert report.write(tmp_path, results, MODULES) == tmp_path / "REPORT.md"
    text = (tmp_path / "REPORT.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## What the centre costs", "## How fast data goes", "## Where and when"]
    assert "| 1 ms, 1 KB, 4 | 10.0 | 1.20 | 2.00 |" in text
    assert "| face verification | star | 20.0 | 19.0 … 21.0 | 2.00 |" in text
    assert "| processor | abacus |" in text
    assert "How long a step takes" not in text
    assert "(results/topology.png)" in text


def test_what_failed_and_what_was_quick_is_told() -> None:
    failed = Outcome("topology", (), failures=("the bill says 7 hops",), quick=True, machine=MACHINE)
    text = report.text_of([failed], MODULES)
    assert "**the bill says 7 hops**" in text
    assert "`--quick`" in text


def test_a_benchmark_that_measured_nothing_leaves_what_is_there(tmp_path: Path) -> None:
    good = failover.outcome_of([series([[0.1, 0.2], [0.3, 0.4]])])
    write(good, tmp_path)
    write(Outcome("failover", (), failures=("it could not be measured",)), tmp_path)
    assert Outcome.of_json((tmp_path / "failover.json").read_text()) == good
    assert len((tmp_path / "failover.csv").read_text().splitlines()) == 2


def series(added_by_time_s: list[list[float]]) -> dict[str, object]:
    """As benchmarks/failover.py writes it."""
    good = {"lost": [], "wrong": 0, "duplicated": 0}
    return {"name": "math killed", "times": len(added_by_time_s), "added_by_time_s": added_by_time_s, **good}


def test_the_runs_of_one_kill_are_one_value() -> None:
    outcome = failover.outcome_of([series([[0.1] * 50, [0.5] * 50, [0.9] * 50])])
    summary = outcome.rows[0].summary
    assert (summary.low, summary.median, summary.high, summary.n) == (0.1, 0.5, 0.9, 150)
    assert not outcome.failures
    assert failover.outcome_of([series([]) | {"wrong": 1}]).failures == ("math killed: 0 lost, 1 wrong, 0 done twice",)


def test_a_grid_with_a_hole_is_shown(tmp_path: Path) -> None:
    whole = topology_outcome()
    hole = {"latency_ms": 1.0, "devices": 2}
    broken = replace(whole, rows=tuple(row for row in whole.rows if not row.is_at({"application": "chain", **hole})))
    assert "| 0.2 ms, 1 KB, 2 |" in report.text_of([broken], MODULES)
    assert "| 1 ms, 1 KB, 2 |" not in report.text_of([broken], MODULES)
    write(broken, tmp_path)
    assert opens(tmp_path / "topology_star.png").std() > 1
    applications = replace(whole, rows=tuple(row for row in whole.rows if not row.is_at({"application": "chain"})))
    assert "| face verification | star |" in report.text_of([applications], MODULES)


def test_figures_that_are_not_precise_are_counted() -> None:
    loose = summarize([1.0, 2.0, 3.0], precision=0.01)
    outcome = Outcome("scale", (Row("scale", "4 nodes", "other", "", loose), Row("scale", "x", "other", "", summarize([1.0]))))
    assert "1 figures, marked with ~, had not become" in report.text_of([outcome], MODULES)


def test_the_findings_say_how_the_paper_compares() -> None:
    first, second, third = list(findings.explanations(topology_outcome(("face verification",)).rows))[:3]
    assert "takes 2.00 times as long as the ring, with 2.00 times the traffic" in first
    assert "real-world heterogeneous applications by 47 %" in first
    assert "read as a rate, that is 1.47 times as fast" in first
    assert "5 hops for the ring's 5" in second
    assert third.startswith("In this application")
    assert "our inference" in third
    assert "star waiting for 10.0 ms along its longest path and the ring for 5.00 ms" in second


def test_every_benchmark_has_a_module_that_says_what_it_is() -> None:
    assert set(MODULES) == set(BENCHES)
    for module in MODULES.values():
        assert module.TITLE
        assert module.ABOUT
        empty = module.tables(Outcome("any", ()))
        assert all(not table.rows for table in empty)


def opens(path: Path) -> numpy.ndarray:
    """The pixels of a PNG file."""
    with Image.open(path) as picture:
        return numpy.asarray(picture.convert("RGB"))


@pytest.mark.parametrize(
    "chart",
    [
        Chart("lines", "Lines", "x, ms", "y, ms", [Line("a", [(1, 2, 1, 3), (10, 4, 3, 5)])], log_x=True, x_ticks=(1, 10)),
        Chart("log", "Lines", "x", "y", [Line("a", [(1, 2, 1, 3)]), Line("b", [(1, 9, 8, 10)], dashed=True)], log_y=True),
        HeatMap("map", "A map", "x", "y", ["1", "2"], ["a", "b"], [[Panel("p", [[0.2, 1.0], [2.0, 9.0]])] * 2] * 2),
    ],
    ids=lambda chart: chart.name,
)
def test_charts_are_drawn_as_svg_and_png(chart: Chart | HeatMap, tmp_path: Path) -> None:
    svg, png = draw(chart, tmp_path)
    assert (svg.name, png.name) == (f"{chart.name}.svg", f"{chart.name}.png")
    assert opens(png).std() > 1  # something is on it
    text = svg.read_text()
    assert all(said in text for said in (chart.title, chart.x_label, chart.y_label))
    before = svg.read_bytes()
    draw(chart, tmp_path)
    assert svg.read_bytes() == before


def test_figures_are_shown_with_the_digits_that_count() -> None:
    assert [number(value) for value in (0, 0.0012345, 0.5, 1.234, 99.95, 1234.5)] == [
        "0",
        "0.00123",
        "0.500",
        "1.23",
        "100",
        "1,234",
    ]
    assert [size(value) for value in (0, 999, 1_000, 49_152, 256_000_000, 2e9)] == [
        "0 B",
        "999 B",
        "1 KB",
        "49.2 KB",
        "256 MB",
        "2 GB",
    ]
    assert Table(("a", "b"), [("1", "2")], "T").as_markdown() == "**T**\n\n| a | b |\n|---|---:|\n| 1 | 2 |"
