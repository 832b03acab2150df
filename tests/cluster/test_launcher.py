"""The launcher with real processes: up, status, down, and what goes wrong in between. With files, which start quickest."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from Services.fractos.config import CODE_ROOT
from tests.cluster.conftest import LAUNCHER, PATIENCE_S, Datacenter, until
from tests.terminal import read_all

NODES = {"math-0", "math-1", "storage-0"}


def test_up_status_down(datacenter: Datacenter) -> None:
    table = datacenter.run()
    status = datacenter.status()
    assert status.keys() == NODES
    for name, node in status.items():
        assert node["state"] == "ready"
        assert node["log"] == str(datacenter.root / "logs" / f"{name}.log")
        assert f"serves at {node['address']}" in Path(node["log"]).read_text()
        assert node["address"] in table
        assert psutil.pid_exists(node["pid"])
    assert sorted(node["role"] for node in status.values() if node["type"] == "math") == ["leader", "standby"]
    assert status["storage-0"]["role"] == "leader"
    datacenter.run("status")
    assert datacenter.run("down").startswith("stopped math-0, math-1, storage-0")
    assert not datacenter.processes()
    assert "nothing was running" in datacenter.run("down")
    assert "not ready: math-0, math-1, storage-0" in datacenter.run("status", expect=1)


def test_a_second_up_changes_nothing(datacenter: Datacenter) -> None:
    datacenter.run("up")
    before = datacenter.pids()
    assert "is running already" in datacenter.run("up")
    assert datacenter.pids() == before


def test_two_ups_at_once_start_every_node_once(datacenter: Datacenter) -> None:
    with datacenter.start("up") as one, datacenter.start("up") as other:
        outputs = [launcher.communicate(timeout=PATIENCE_S)[0] for launcher in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), outputs
    assert len(datacenter.processes()) == len(NODES)


def test_up_starts_only_what_is_dead(datacenter: Datacenter) -> None:
    datacenter.run("up")
    before = datacenter.pids()
    os.kill(before["math-1"], signal.SIGKILL)
    assert "math-1" in datacenter.run("status", expect=1)
    assert datacenter.status()["math-1"]["state"] == "dead"
    datacenter.run("up")
    after = datacenter.pids()
    assert after.pop("math-1") != before.pop("math-1")
    assert after == before


def test_a_node_that_fails_shows_its_log_and_everything_is_stopped(datacenter: Datacenter) -> None:
    output = datacenter.run("up", expect=1, SMALL_NODE_FAIL="storage-0")
    assert "error: storage-0 ended with exit code 1 instead of becoming ready" in output
    assert f"the end of {datacenter.root}/logs/storage-0.log:\n    storage-0 was told to fail" in output
    assert not datacenter.processes()


def test_a_node_that_fails_later_leaves_what_ran_before(datacenter: Datacenter) -> None:
    datacenter.run("up")
    before = datacenter.pids()
    os.kill(before["storage-0"], signal.SIGKILL)
    datacenter.run("up", expect=1, SMALL_NODE_FAIL="storage-0")
    after = datacenter.pids()
    assert after == {**before, "storage-0": None}


def test_a_node_that_is_late_is_named_and_everything_is_stopped(make_datacenter: Callable[..., Datacenter]) -> None:
    datacenter = make_datacenter(start_timeout_s=3)
    output = datacenter.run("up", expect=1, SMALL_NODE_HANG="math-0")
    assert "math-0 did not become ready within start_timeout_s = 3 s" in output
    assert not datacenter.processes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_up_stops_everything(datacenter: Datacenter, number: signal.Signals) -> None:
    with datacenter.start("up", SMALL_NODE_HANG="math-0") as launcher:
        until(lambda: len(datacenter.processes()) == len(NODES), "three nodes")
        launcher.send_signal(number)
        output, _ = launcher.communicate(timeout=PATIENCE_S)
    assert launcher.returncode == 130, output
    assert not datacenter.processes()


def test_down_stops_what_a_killed_launcher_had_started(datacenter: Datacenter) -> None:
    with datacenter.start("up", SMALL_NODE_HANG="math-0") as launcher:
        until(lambda: len(datacenter.processes()) == len(NODES), "three nodes")
        launcher.kill()
    assert {process.cmdline()[3] for process in datacenter.processes()} == NODES
    assert datacenter.run("down").startswith("stopped")
    assert not datacenter.processes()


def test_up_goes_on_after_a_killed_launcher(datacenter: Datacenter) -> None:
    with datacenter.start("up") as launcher:
        until(datacenter.processes, "a first node")
        launcher.kill()
    datacenter.run("up")
    assert len(datacenter.processes()) == len(NODES)


def test_down_finds_a_process_that_was_not_recorded_any_more(datacenter: Datacenter) -> None:
    """The launcher was killed between starting a process and writing that down."""
    datacenter.run("up")
    record = json.loads(datacenter.record().read_text())
    record["processes"] = []
    datacenter.record().write_text(json.dumps(record))
    datacenter.run("down")
    assert not datacenter.processes()


def test_down_leaves_a_process_that_was_given_a_recorded_id_later(datacenter: Datacenter) -> None:
    """Process ids are used again: only the start time tells that this is another process."""
    datacenter.run("up")
    record = json.loads(datacenter.record().read_text())
    with subprocess.Popen(["sleep", "600"]) as stranger:
        record["processes"][0].update(pid=stranger.pid, started=psutil.Process(stranger.pid).create_time() - 60)
        datacenter.record().write_text(json.dumps(record))
        datacenter.run("down")
        assert stranger.poll() is None
        stranger.kill()


def test_down_kills_what_does_not_stop(datacenter: Datacenter) -> None:
    datacenter.run("up")
    os.kill(datacenter.pids()["math-0"], signal.SIGSTOP)
    datacenter.run("down")
    assert not datacenter.processes()


@pytest.mark.parametrize("name", ["storage-0", "math-7"])
def test_a_node_started_by_hand_is_used_and_left_alone(datacenter: Datacenter, name: str) -> None:
    datacenter.run("--setup")
    command = [sys.executable, str(CODE_ROOT / "tests/cluster/small_node.py"), "-n", name, "--path", str(datacenter.root)]
    with subprocess.Popen([*command, "--log", ""], stdout=subprocess.PIPE, text=True) as by_hand:
        assert by_hand.stdout
        by_hand.stdout.readline()
        datacenter.run("up")
        assert len(datacenter.processes()) == len(NODES | {name})
        assert datacenter.pids()[name] == by_hand.pid
        datacenter.run("down")
        assert [process.pid for process in datacenter.processes()] == [by_hand.pid]
        by_hand.terminate()


def test_datacenters_in_different_folders_do_not_disturb_one_another(make_datacenter: Callable[..., Datacenter]) -> None:
    one, other = make_datacenter("one"), make_datacenter("one-and-more")
    one.run("up")
    other.run("up")
    before = other.pids()
    one.run("down")
    assert other.pids() == before
    other.run("status")


def test_a_copy_of_a_running_datacenter_has_no_power_over_it(datacenter: Datacenter, tmp_path: Path) -> None:
    datacenter.run("up")
    before = datacenter.pids()
    copy = Datacenter(tmp_path / "copy")
    shutil.copytree(datacenter.root, copy.root)
    assert "nothing was running" in copy.run("down")
    copy.run("up")
    assert set(before.values()).isdisjoint(copy.pids().values())
    copy.run("down")
    assert datacenter.pids() == before


@pytest.mark.parametrize("command", ["up", "--setup"])
def test_another_directory_than_the_running_one_is_refused(datacenter: Datacenter, command: str) -> None:
    datacenter.run("up")
    assert "runs with directory 'files'" in datacenter.run(command, "--directory", "zookeeper", expect=2)
    datacenter.run("status")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("service_config_paths = elsewhere", "its directory is not recorded in"),
        ("name = another", "runs with the name 'mockdc', but 'another' is asked for"),
        ("colour = red", "[DataCenter] colour = red: unknown key"),
    ],
)
def test_down_works_whatever_has_become_of_the_configuration(datacenter: Datacenter, change: str, said: str) -> None:
    datacenter.run("up")
    config = datacenter.root / "data_center_setup.cfg"
    config.write_text(config.read_text().replace("[DataCenter]", f"[DataCenter]\n{change}"))
    assert said in datacenter.run("up", expect=2)
    assert datacenter.run("down").startswith("stopped math-0, math-1, storage-0")
    assert not datacenter.processes()


def test_down_in_a_folder_that_was_never_used_leaves_no_trace(datacenter: Datacenter) -> None:
    assert "nothing was running" in datacenter.run("down")
    assert [path.name for path in datacenter.root.iterdir()] == ["data_center_setup.cfg"]


@pytest.mark.parametrize("command", ["up", "down", "--setup", "demo", "status"])
def test_a_folder_without_a_configuration_is_refused_and_left_alone(tmp_path: Path, command: str) -> None:
    assert "name it with --path" in Datacenter(tmp_path).run(command, expect=2)
    assert "name it with --path" in Datacenter(tmp_path / "nowhere").run(command, expect=2)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_with_a_remedy(datacenter: Datacenter) -> None:
    (datacenter.root / ".mockdc").touch()  # permissions do not keep root out
    output = datacenter.run("up", expect=1)
    assert f"cannot write {datacenter.root}/.mockdc/launcher.lock" in output
    assert "--path" in output


def test_an_interruption_does_not_stop_a_clean_up(datacenter: Datacenter) -> None:
    datacenter.run("up")
    os.kill(datacenter.pids()["math-0"], signal.SIGSTOP)  # so that it has to be killed, after seconds
    with datacenter.start("down") as launcher:
        until(lambda: len(datacenter.processes()) < len(NODES), "a first node to end")
        launcher.send_signal(signal.SIGINT)
        output, _ = launcher.communicate(timeout=PATIENCE_S)
    assert output.startswith("stopped math-0, math-1, storage-0")
    assert launcher.returncode == 0
    assert not datacenter.processes()


def test_an_interrupted_down_says_what_is_left(datacenter: Datacenter) -> None:
    datacenter.run("up")
    with (datacenter.root / ".mockdc/launcher.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with datacenter.start("down") as launcher:
            assert launcher.stdout
            assert "waiting for another launcher" in launcher.stdout.readline()
            launcher.send_signal(signal.SIGINT)
            output, _ = launcher.communicate(timeout=PATIENCE_S)
    assert launcher.returncode == 130
    stop = f"python3 run_datacenter.py down --path {datacenter.root}"
    assert output == f"interrupted; still running: math-0, math-1, storage-0; to stop that: {stop}\n"


def test_demo_stops_nothing_that_another_launcher_started(datacenter: Datacenter) -> None:
    """Another `up` comes first while the demo waits for it. The image prediction fails for want of nodes."""
    datacenter.run("up")
    before = datacenter.pids()
    recorded = datacenter.record().read_text()
    with (datacenter.root / ".mockdc/launcher.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        datacenter.record().unlink()
        with datacenter.start("demo") as launcher:
            assert launcher.stdout
            assert "waiting for another launcher" in launcher.stdout.readline()
            datacenter.record().write_text(recorded)
            fcntl.flock(lock, fcntl.LOCK_UN)
            output, _ = launcher.communicate(timeout=PATIENCE_S)
    assert "is running already" in output
    assert datacenter.pids() == before


def test_launches_of_which_nothing_lives_are_dropped(datacenter: Datacenter) -> None:
    datacenter.run("up")
    first = json.loads(datacenter.record().read_text())["launches"]
    for _ in range(2):
        datacenter.run("up")
    assert len(json.loads(datacenter.record().read_text())["launches"]) == len(first) + 1  # the last, which started nothing


def test_up_shows_its_progress_on_a_terminal(datacenter: Datacenter) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([*LAUNCHER, "--path", str(datacenter.root)], stdout=theirs, stderr=theirs) as launcher:
        os.close(theirs)
        shown = read_all(ours)
    os.close(ours)
    assert launcher.returncode == 0, shown
    assert shown.count(b"storage-0") > 1  # drawn more than once


def test_logs_are_shown_and_followed(datacenter: Datacenter) -> None:
    datacenter.run("up")
    assert datacenter.run("logs", "math-0").startswith("math-0 serves at")
    with datacenter.start("logs", "-f") as follower:
        assert follower.stdout
        shown = {follower.stdout.readline() for _ in NODES}
        assert {line.partition(" ")[0] for line in shown} == NODES
        with (datacenter.root / "logs/storage-0.log").open("a") as log:
            log.write("more to come\n")
        assert follower.stdout.readline() == "storage-0 | more to come\n"
        follower.send_signal(signal.SIGINT)
    assert follower.returncode == 0
    assert "did you mean math-0 or math-1?" in datacenter.run("logs", "maths-0", expect=1)


def test_mistakes_are_one_message_and_exit_code_2(datacenter: Datacenter) -> None:
    assert "invalid choice" in datacenter.run("dwon", expect=2)
    assert "no such folder" in datacenter.run("train", "--dataset", "/nowhere", expect=2)
    with (datacenter.root / "data_center_setup.cfg").open("a") as file:
        file.write("colour = red\n")
    output = datacenter.run(expect=2)
    assert "[storage_controller] colour = red: unknown key" in output
    assert "Traceback" not in output


def test_check_says_what_is_right_and_what_is_not(datacenter: Datacenter) -> None:
    assert "FAILED" not in datacenter.run("check")
    text = (datacenter.root / "data_center_setup.cfg").read_text()
    (datacenter.root / "data_center_setup.cfg").write_text(text.replace("[DataCenter]", "[DataCenter]\ngrpc_ip = 192.0.2.1"))
    output = datacenter.run("check", expect=1)
    assert "FAILED  address        [DataCenter] grpc_ip = 192.0.2.1 is not an address of this host" in output
