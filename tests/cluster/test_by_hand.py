"""Nodes and ZooKeeper servers that people start themselves, with the project's own controllers: joining, forming, refused."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from Services.fractos import TaskGraph, connect
from Services.fractos.config import CODE_ROOT, load
from Services.fractos.credentials import issue_client
from tests.cluster.conftest import PATIENCE_S, Datacenter, until, zookeeper_or_skip
from tests.zookeeper_server import ZooKeeperServer

CONTROLLERS = {
    "application": "Applications/Application_Controller/application_controller.py",
    "math": "Services/ComputationalNodes/MathCompute/Math_Controller/math_controller.py",
    "storage": "Services/StorageNode/Storage_Controller/storage_controller.py",
}
CONFIGURATION = "[DataCenter]\n[ZooKeeper]\nservers = 3\n[Controllers]\ncontroller_names = {names}\n" + "".join(
    f"[{node_type}_controller]\npaths_to_controller = {path}\nzookeeper = {{zookeeper}}\n"
    for node_type, path in CONTROLLERS.items()
)

ByHand = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def datacenter(make_datacenter: Callable[..., Datacenter]) -> Datacenter:
    """A folder for the project's own application, math and storage nodes; its configuration asks for files."""
    datacenter = make_datacenter()
    configure(datacenter, zookeeper=False)
    # Nodes that form a datacenter let nobody in; `--setup` would, but would say as well which directory there is.
    issue_client(load(datacenter.root), "admin", time.time() + 3600)
    return datacenter


def configure(datacenter: Datacenter, *, zookeeper: bool) -> None:
    names = ", ".join(f"{node_type}_controller" for node_type in CONTROLLERS)
    (datacenter.root / "data_center_setup.cfg").write_text(CONFIGURATION.format(names=names, zookeeper=zookeeper))


@pytest.fixture
def by_hand(datacenter: Datacenter) -> Iterator[ByHand]:
    """Starts a controller, in a way that Ctrl-C would end it; all are ended at the end."""
    started = []

    def start(node_type: str, *flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(CODE_ROOT / CONTROLLERS[node_type]), "--path", str(datacenter.root), *flags]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def refused(process: subprocess.Popen[str], code: int) -> str:
    """What a controller says that does not start."""
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, output
    assert "Traceback" not in output
    return output


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    lines = []
    while line := process.stdout.readline():
        lines.append(line)
        if " is ready at " in line:
            return
    pytest.fail("".join(lines))


def zookeeper_server(datacenter: Datacenter, number: int, command: str) -> None:
    path = datacenter.root / "zookeeper" / f"zookeeper{number}" / "bin" / "zkServer.sh"
    subprocess.run([path, command], capture_output=True, timeout=PATIENCE_S, check=True)


@pytest.fixture
def servers(datacenter: Datacenter) -> Iterator[Datacenter]:
    """A folder with three ZooKeeper servers that were set up and started by hand, but whose directory is not recorded."""
    zookeeper_or_skip()
    datacenter.run("--setup", "--directory", "zookeeper")
    (datacenter.root / "Services/config/directory.json").unlink()
    for number in range(3):
        zookeeper_server(datacenter, number, "start")
    yield datacenter
    for number in range(3):
        zookeeper_server(datacenter, number, "stop")


def shift(root: Path) -> int:
    graph = TaskGraph("shift")
    shifted = graph.math.shift_left(value=1, bits=4)
    with connect(root, client_id="admin") as connected:
        value: int = connected.run(graph)[shifted].value
        return value


def test_nodes_started_by_hand_form_a_datacenter_and_up_joins_and_leaves_them(datacenter: Datacenter, by_hand: ByHand) -> None:
    configure(datacenter, zookeeper=True)  # the flags say what is formed, and later commands go by that
    processes = {node_type: by_hand(node_type, "-v") for node_type in CONTROLLERS}
    for process in processes.values():
        ready(process)
    assert shift(datacenter.root) == 16
    pids = {f"{node_type}-0": process.pid for node_type, process in processes.items()}
    assert datacenter.pids() == pids
    assert "is running already" in datacenter.run("up")
    assert "runs with directory 'files', but 'zookeeper' is asked for" in datacenter.run(
        *("up", "--directory", "zookeeper"), expect=2
    )
    assert "Ctrl-C for what was started by hand" in datacenter.run("--setup", "--directory", "zookeeper", expect=2)
    assert "nothing was running" in datacenter.run("down")
    assert datacenter.pids() == pids
    assert "uses files" in refused(by_hand("math", "-v", "-z"), 2)


def test_up_starts_what_nobody_has_started_by_hand_and_down_leaves_the_rest(datacenter: Datacenter, by_hand: ByHand) -> None:
    mine = by_hand("storage", "-v")
    ready(mine)
    datacenter.run("up")
    assert datacenter.pids()["storage-0"] == mine.pid
    assert shift(datacenter.root) == 16
    assert datacenter.run("down").startswith("stopped supervisor, application-0, math-0")
    assert [process.pid for process in datacenter.processes()] == [mine.pid]


def test_a_node_by_hand_joins_the_running_datacenter(datacenter: Datacenter, by_hand: ByHand) -> None:
    datacenter.run("up")
    joined = by_hand("math", "-v")
    ready(joined)
    assert datacenter.pids()["math-1"] == joined.pid
    assert "math-0 is running already" in refused(by_hand("math", "-n", "math-0"), 1)
    datacenter.run("down")
    assert [process.pid for process in datacenter.processes()] == [joined.pid]


def test_nodes_by_hand_form_a_datacenter_on_the_servers_that_run(servers: Datacenter, by_hand: ByHand) -> None:
    zookeeper_server(servers, 2, "stop")  # two of three are enough
    processes = {node_type: by_hand(node_type, "-v", "-z") for node_type in CONTROLLERS}
    for process in processes.values():
        ready(process)
    assert shift(servers.root) == 16
    pids = {f"{node_type}-0": process.pid for node_type, process in processes.items()}
    assert pids.items() <= servers.pids().items()
    servers.run("up")  # though the configuration says files
    output = servers.run("down")
    assert "stopped supervisor, zookeeper2\n" in output
    assert "zookeeper0 runs on: it was started by hand" in output
    assert servers.status()["zookeeper2"]["role"] == "dead"
    assert pids.items() <= servers.pids().items()
    joined = by_hand("math", "-v")  # without -z: what the datacenter uses
    ready(joined)
    assert servers.pids()["math-1"] == joined.pid


def test_nodes_by_hand_form_a_datacenter_on_the_servers_of_others(
    datacenter: Datacenter, by_hand: ByHand, zookeeper_server: ZooKeeperServer
) -> None:
    configure(datacenter, zookeeper=True)
    config = datacenter.root / "data_center_setup.cfg"
    own = config.read_text()
    config.write_text(own.replace("servers = 3", f"hosts = {zookeeper_server.address}/{uuid.uuid4().hex}"))
    processes = [by_hand(node_type, "-v", "-z") for node_type in CONTROLLERS]
    for process in processes:
        ready(process)
    assert shift(datacenter.root) == 16
    assert "is running already" in datacenter.run("up")
    config.write_text(own)  # as if the next `up` should set up servers of its own
    assert f"uses ZooKeeper at {zookeeper_server.address}" in datacenter.run("up", expect=2)


def test_zookeeper_is_refused_while_no_server_is_set_up_or_runs(datacenter: Datacenter, by_hand: ByHand) -> None:
    assert "no ZooKeeper server is set up in" in refused(by_hand("math", "-z"), 2)
    zookeeper_or_skip()
    datacenter.run("--setup", "--directory", "zookeeper")
    (datacenter.root / "Services/config/directory.json").unlink()
    output = refused(by_hand("math", "-z"), 1)
    assert "no ZooKeeper server of" in output
    assert "zookeeper/zookeeper2/bin/zkServer.sh start" in output
    assert not (datacenter.root / "Services/config/directory.json").exists()


def test_of_nodes_that_start_at_once_one_forms_and_the_others_join(datacenter: Datacenter, by_hand: ByHand) -> None:
    processes = [by_hand("math", "-v") for _ in range(4)]
    for process in processes:
        ready(process)
    until(lambda: len(datacenter.pids()) >= 4, "four math nodes")
    assert {name for name in datacenter.pids() if name.startswith("math")} == {f"math-{i}" for i in range(4)}
