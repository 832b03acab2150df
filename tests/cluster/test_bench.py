"""`run_datacenter.py bench` as a user types it: what it measures, what it writes, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from Services.fractos.config import CODE_ROOT
from tests.cluster.conftest import until

LAUNCHER = [sys.executable, str(CODE_ROOT / "run_datacenter.py"), "bench"]
PATIENCE_S = 240.0  # a small network is trained
AUTOGRAPH = "__autograph"  # files that TensorFlow leaves


@pytest.fixture
def temporary(tmp_path: Path) -> Iterator[Path]:
    """The folder for temporary files of a `bench`; nothing of it may be left."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    yield folder
    left = [process for process in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(process.info["cmdline"] or ())]
    for process in left:
        process.kill()
    assert not left
    assert [path.name for path in folder.iterdir() if not path.name.startswith(AUTOGRAPH)] == []


def start(temporary: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*LAUNCHER, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


def bench(temporary: Path, *arguments: str, expect: int = 0) -> str:
    with start(temporary, *arguments) as process:
        output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == expect, output
    assert "Traceback" not in output
    return output


def check_plots(results: Path, *names: str) -> None:
    for name in names:
        assert (results / f"{name}.svg").read_text().startswith("<?xml")
        with Image.open(results / f"{name}.png") as picture:
            picture.verify()


def test_latency_is_measured_and_reported(temporary: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    output = bench(temporary, "latency", "--quick", "--out", str(out))
    found = json.loads((out / "results/latency.json").read_text())
    durations = {row["variant"]: row for row in found["rows"] if row["figure"] == "duration"}
    assert list(durations) == ["raw gRPC call", "ring of 1", "ring of 4", "ring of 8"]
    assert all(0 < row["lowest"] <= row["median"] <= row["p99"] for row in durations.values())
    assert all(row["n"] >= 60 for row in durations.values())
    steps = {row["variant"]: row for row in found["rows"] if row["figure"] == "per step"}
    assert [8 * steps["ring of 8"][key] for key in ("low", "high")] == pytest.approx(
        [durations["ring of 8"][key] for key in ("low", "high")]
    )
    assert {"processor", "cores", "memory", "system", "Python", "grpcio", "code"} <= set(found["machine"])
    assert len((out / "results/latency.csv").read_text().splitlines()) == len(found["rows"]) + 1
    check_plots(out / "results", "latency")
    report = (out / "REPORT.md").read_text()
    assert "## How long a step takes" in report
    assert "| ring of 8 |" in report
    assert "(results/latency.png)" in report
    assert "ring of 8" in output
    assert f"the report is {out}/REPORT.md" in output


def test_the_cost_of_the_centre_is_measured_and_every_bill_is_right(temporary: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    output = bench(temporary, "topology", "--quick", "--out", str(out))
    found = json.loads((out / "results/topology.json").read_text())
    assert found["failures"] == []
    counts = {
        figure: [row["n"] for row in found["rows"] if row["figure"] == figure] for figure in ("duration", "traffic", "devices")
    }
    assert counts["duration"] == counts["traffic"] == counts["devices"]  # without the rounds to warm up
    hops = {
        (row["parameters"]["application"], row["parameters"]["devices"], row["variant"]): row["median"]
        for row in found["rows"]
        if row["figure"] == "hops"
    }
    assert [hops["chain", 4, variant] for variant in ("ring", "fast-star", "star")] == [5, 8, 8]
    assert [hops["image prediction", 2, variant] for variant in ("ring", "fast-star", "star")] == [4, 6, 6]
    assert [hops["face verification", 4, variant] for variant in ("ring", "fast-star", "star")] == [8, 12, 12]
    check_plots(out / "results", "topology", "topology_star", "topology_fast_star")
    report = (out / "REPORT.md").read_text()
    assert "## What the centre costs" in report
    assert "| face verification | star |" in report
    assert "Beside the paper" in report
    assert "1 ms, 100 KB, 4" in output


def test_the_rate_of_data_is_as_precise_as_its_time(temporary: Path, tmp_path: Path) -> None:
    bench(temporary, "data", "--quick", "--out", str(tmp_path / "out"))
    found = json.loads((tmp_path / "out/results/data.json").read_text())["rows"]
    times, rates = ([row for row in found if row["figure"] == figure] for figure in ("duration", "rate"))
    assert len(times) == len(rates) == 4
    for one, other in zip(times, rates, strict=True):
        whole_mb = 4 * one["parameters"]["bytes"] / 1e6
        assert [other["low"], other["high"]] == pytest.approx([whole_mb / one["high"], whole_mb / one["low"]])


def test_starts_are_measured_and_nodes_weighed(temporary: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    bench(temporary, "start", "--quick", "--out", str(out))
    found = json.loads((out / "results/start.json").read_text())
    figures = {(row["variant"], row["figure"]): row["median"] for row in found["rows"]}
    assert 10 < figures["math node", "resident"] < 1000
    assert 10 < figures["storage node", "resident"] < 1000
    assert 0 < figures["math node", "start"] < 60
    if found["notes"]:
        assert found["notes"][0].startswith("Without the default datacenter: ZooKeeper")
        assert not os.environ.get("CI"), found["notes"]
    else:
        assert 0 < figures["default datacenter, 3 ZooKeeper servers", "start"] < PATIENCE_S
    assert "## How long a start takes" in (out / "REPORT.md").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_is_interrupted_while_it_starts_a_datacenter_stops_it(temporary: Path, number: signal.Signals) -> None:
    command = [sys.executable, str(CODE_ROOT / "benchmarks/ring.py")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(temporary)}
    ) as running:
        until(lambda: list(temporary.glob("ring-benchmark-*/Services/config")), "a datacenter")
        running.send_signal(number)
        running.communicate(timeout=60)
    assert running.returncode != 0  # and the fixture looks for what is left


def test_ctrl_c_stops_everything(temporary: Path, tmp_path: Path) -> None:
    with start(temporary, "throughput", "--out", str(tmp_path / "out")) as running:
        until(lambda: list(temporary.glob("mockdc-bench-*/Services/config")), "a datacenter")
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=60)
    assert running.returncode == 130, output
    assert "interrupted; what was started has been stopped" in output
    assert "Traceback" not in output
    assert not (tmp_path / "out/REPORT.md").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("speed",), "invalid choice: 'speed'"),
        ((), "the following arguments are required: BENCHMARK"),
        (("latency", "--time-limit", "0"), "'0' is not a number from 1 to 86400"),
        (("latency", "--precision", "x"), "'x' is not a number from 0.1 to 100"),
        (("scale", "--nodes", "3"), "'3' is not a whole number from 5 to 100"),
        (("latency", "--out", "/proc/bench"), "--out /proc/bench: results cannot be written there"),
    ],
)
def test_wrong_input_is_told_before_anything_is_started(temporary: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in bench(temporary, *arguments, expect=2)


def test_a_folder_that_is_a_file_is_no_place_for_results(temporary: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "results cannot be written there" in bench(temporary, "latency", "--out", str(tmp_path / "file"), expect=2)
