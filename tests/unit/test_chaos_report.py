"""Times to recover, the table and the JSON of a chaos, its flags, and its hold on processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import psutil
import pytest

from Services.datacenter.chaos.checker import Tally, Violation
from Services.datacenter.chaos.command import show
from Services.datacenter.chaos.grip import Grip
from Services.datacenter.chaos.options import Options
from Services.datacenter.chaos.recovery import Recovered, Recovery
from Services.datacenter.chaos.report import SHOWN_VIOLATIONS, Report
from Services.datacenter.chaos.schedule import SERVERS, Fault
from Services.datacenter.chaos.storm import kinds_of
from Services.datacenter.command_line import parse
from Services.datacenter.processes import ProcessEntry
from Services.datacenter.screen import Screen
from Services.fractos.errors import InvalidArgumentError
from tests.cluster.conftest import until

KILL = Fault("kill", ("math-0",), "math")


def test_recovery_is_the_first_run_submitted_after_the_fault_that_ended_well_less_what_is_normal() -> None:
    recovery = Recovery({"math", "storage"})
    for latency in (0.1, 0.2, 0.9):
        recovery.probe("math", 1, 1 + latency)
    recovery.fault(KILL, 10)
    recovery.probe("math", 9.9, 10.5)  # submitted before it
    recovery.probe("storage", 10.1, 10.2)
    assert [one.fault for one in recovery.open()] == [KILL]
    recovery.probe("math", 10.3, 11.5)
    recovery.probe("math", 10.2, 11.6)
    assert recovery.open() == []
    assert recovery.faults[0].recovery_s == pytest.approx(1.3)
    assert recovery.normal_s() == {"math": pytest.approx(0.2), "storage": 0.0}


def test_recovery_is_never_negative_and_faults_to_servers_concern_every_type() -> None:
    recovery = Recovery({"math", "storage"})
    recovery.probe("math", 1, 3)
    recovery.fault(Fault("zookeeper", ("zookeeper0",), SERVERS), 10)
    recovery.probe("math", 10, 10.5)
    assert recovery.faults[0].recovery_s is None
    recovery.probe("storage", 10, 10.7)
    assert recovery.faults[0].took_s == {"math": 0.0, "storage": pytest.approx(0.7)}
    assert recovery.faults[0].recovery_s == pytest.approx(0.7)


def report(**changes: object) -> Report:
    faults = [Recovered(KILL, 10 + number, set(), {"math": number / 10}) for number in range(1, 201)]
    faults.append(Recovered(replace(KILL, kind="stop", lasts_s=2.5), 300, {"math"}))
    tally = Tally(runs=12345, probes=99, failed=Counter({"UNAVAILABLE (fate unknown)": 3}), excused=Counter({"CANCELLED": 2}))
    made = Report(7, 4, 10.0, 70.0, tally, [], faults, {"math": 0.004})
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_table_says_what_was_counted() -> None:
    rows = dict(report().rows())
    assert rows["runs"] == "12,345 of 4 clients in 60 s, and 99 probes"
    assert rows["faults"] == "kill 200, stop 1"
    assert (rows["lost"], rows["wrong"], rows["duplicated"]) == ("0", "0", "0")
    assert rows["failed"] == "UNAVAILABLE (fate unknown) 3"
    assert rows["failed as asked"] == "CANCELLED 2"
    assert rows["though promised"] == "0"
    unkept = Tally(unkept=2, unkept_statuses=Counter({"UNAVAILABLE (nothing done)": 2}))
    assert dict(report(tally=unkept).rows())["though promised"].startswith("UNAVAILABLE (nothing done) 2, while")


def test_times_to_recover_are_by_kind_with_median_99th_percentile_and_maximum() -> None:
    assert report().recovery_rows() == [
        ("kill", "200", "10.05 s", "19.80 s", "20.00 s", "0"),
        ("stop", "1", "-", "-", "-", "1"),
    ]


@pytest.mark.parametrize("sort", ["lost", "wrong", "duplicated"])
def test_any_violation_fails_and_the_first_ones_are_shown(sort: str) -> None:
    assert report().passed
    violations = [Violation(sort, f"number {number}") for number in range(25)]  # type: ignore[arg-type]
    failed = report(tally=Tally(violations=Counter({sort: 300})), violations=violations)
    assert not failed.passed
    assert dict(failed.rows())[sort] == "300"
    lines = failed.violation_lines()
    assert lines[0] == f"{sort}: number 0"
    assert lines[-1] == f"and {300 - SHOWN_VIOLATIONS} more"


def test_the_json_has_every_fault_and_is_json() -> None:
    content = json.loads(json.dumps(report().as_json()))
    assert content["passed"] is True
    assert (content["seed"], content["runs"], content["lost"], content["duration_s"]) == (7, 12345, 0, 60.0)
    assert len(content["faults"]) == 201
    assert content["faults"][0] == {
        "kind": "kill",
        "targets": ["math-0"],
        "type": "math",
        "lasts_s": 0.0,
        "at_s": 1.0,
        "recovery_s": 0.1,
        "recovery_by_type_s": {"math": 0.1},
    }
    assert content["faults"][-1]["recovery_s"] is None
    assert content["time_to_recover"]["kill"]["maximum_s"] == 20.0


def test_the_result_is_shown_with_its_violations() -> None:
    output = StringIO()
    tally = Tally(runs=1, violations=Counter({"lost": 1}))
    show(report(tally=tally, violations=[Violation("lost", "run [b]0123[/b] has no answer")]), Screen(output))
    text = output.getvalue()
    assert "seed 7" in text
    assert "time to recover" in text
    assert "lost: run [b]0123[/b] has no answer" in text


def test_the_flags_have_the_documented_defaults() -> None:
    options = Options.of(parse(["chaos", "--seed", "5"], Path("/dc")))
    assert options == Options(minutes=1.0, faults=(), every_s=3.0, seed=5, clients=4, report=None)
    line = "chaos --minutes 2.5 --faults zookeeper,kill --every 0.5 --clients 9 --report out.json --path /x"
    options = Options.of(parse(line.split(), Path("/dc")))
    assert (options.minutes, options.faults, options.every_s, options.clients) == (2.5, ("kill", "zookeeper"), 0.5, 9)
    assert options.report == Path("out.json")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--minutes 0", "'0' is not a number from 0.01 to 1440"),
        ("--minutes nan", "'nan' is not a number"),
        ("--every soon", "'soon' is not a number"),
        ("--faults kill,burn", "there is no fault 'burn'; there is kill, stop, zookeeper, zookeeper-all"),
        ("--clients 0", "'0' is not a whole number from 1 to 64"),
        ("--seed one", "invalid int value: 'one'"),
    ],
)
def test_a_wrong_flag_is_said_with_exit_code_2(line: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["chaos", *line.split()], Path("/dc"))
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_faults_to_servers_need_servers() -> None:
    options = Options(1, (), 3, 1, 4, None)
    assert kinds_of(options, has_servers=True) == ("kill", "stop", "zookeeper")
    assert kinds_of(options, has_servers=False) == ("kill", "stop")
    asked = replace(options, faults=("kill", "zookeeper-all"))
    assert kinds_of(asked, has_servers=True) == ("kill", "zookeeper-all")
    with pytest.raises(InvalidArgumentError, match="--faults zookeeper-all: `up` has started no ZooKeeper server"):
        kinds_of(asked, has_servers=False)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


def entry(process: subprocess.Popen[bytes], **changes: object) -> ProcessEntry:
    started = psutil.Process(process.pid).create_time()
    return replace(ProcessEntry("math-0", process.pid, started, "launch", "log"), **changes)  # type: ignore[arg-type]


def test_signals_reach_the_recorded_process(process: subprocess.Popen[bytes]) -> None:
    grip = Grip.take(entry(process))
    assert grip
    state = psutil.Process(process.pid).status
    assert grip.send(signal.SIGSTOP)
    until(lambda: state() == psutil.STATUS_STOPPED, "it to be stopped")
    assert grip.send(signal.SIGCONT)
    until(lambda: state() != psutil.STATUS_STOPPED, "it to go on")
    assert grip.send(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not grip.send(signal.SIGKILL)
    grip.close()


def test_no_signal_reaches_a_process_that_is_another_or_none_of_the_nodes(process: subprocess.Popen[bytes]) -> None:
    recorded = entry(process)
    assert Grip.take(replace(recorded, started=recorded.started - 10)) is None  # the id was given to another since
    assert Grip.take(replace(recorded, name="supervisor")) is None
    assert Grip.take(replace(recorded, pid=2**22 + 1)) is None
    before = len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0  # noqa: PTH208
    assert Grip.take(replace(recorded, started=0.0)) is None
    assert before in {0, len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0}  # noqa: PTH208
    assert process.poll() is None
