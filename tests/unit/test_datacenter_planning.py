"""What the launcher decides before it starts anything: ports, the files of the ZooKeeper servers, command lines, states."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from random import Random

import pytest

from Services.datacenter import ensemble
from Services.datacenter.ensemble import Ports, Server, choose_ports, java_env, prepare_servers, read_servers, with_ports
from Services.datacenter.installation import Installation
from Services.datacenter.launcher import node_command
from Services.datacenter.observation import (
    Health,
    NodeStatus,
    Observation,
    ServerStatus,
    SupervisorStatus,
    node_statuses,
    supervisor_status,
)
from Services.datacenter.processes import ProcessEntry
from Services.datacenter.server_mode import ServerFigures
from Services.datacenter.vitals import Vitals
from Services.fractos.config import Configuration, load
from Services.fractos.directory.interface import Member
from Services.fractos.errors import FailedPreconditionError

INSTALLATION = Installation("somewhere", Path("/opt/my java/bin/java"), "/opt/zookeeper/lib/*")
NO_PROCESS = 2**22 + 1  # beyond the highest process id of Linux


@pytest.fixture(autouse=True)
def every_port_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "is_free", lambda port: True)


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    (tmp_path / "data_center_setup.cfg").write_text(
        "[DataCenter]\n[Controllers]\ncontroller_names = math_controller, storage_controller\n"
        "[math_controller]\npaths_to_controller = node.py, node.py\nverbose = True\n"
        "[storage_controller]\npaths_to_controller = node.py\n"
    )
    (tmp_path / "node.py").touch()
    return load(tmp_path)


def test_ports_are_distinct_free_and_outside_of_the_range_of_outgoing_connections() -> None:
    chosen = choose_ports(7, lambda port: port % 2 == 0, Random(1))
    ports = [port for server in chosen for port in (server.client, server.quorum, server.election)]
    assert len(set(ports)) == 21
    assert all(port % 2 == 0 and 1024 < port < 32768 for port in ports)


def test_no_free_port_is_an_error_that_names_the_range() -> None:
    with pytest.raises(FailedPreconditionError, match="15000 to 32000"):
        choose_ports(1, lambda port: False, Random(1))


def test_servers_name_one_another_and_one_alone_names_nobody(tmp_path: Path) -> None:
    servers = [Server(tmp_path / f"zookeeper{i}", Ports(100 + i, 200 + i, 300 + i)) for i in range(3)]
    text = with_ports("", servers[1], servers)
    assert "clientPort=101\n" in text
    assert "server.1=127.0.0.1:200:300\nserver.2=127.0.0.1:201:301\nserver.3=127.0.0.1:202:302\n" in text
    assert "server." not in with_ports(text, servers[0], servers[:1])


@pytest.mark.parametrize("count", [1, 3])
def test_servers_are_read_as_they_were_prepared(tmp_path: Path, count: int) -> None:
    prepared = prepare_servers(tmp_path, count, INSTALLATION, Random(1))
    read = read_servers(tmp_path)
    assert [(server.name, server.address) for server in read] == [(server.name, server.address) for server in prepared]
    assert (tmp_path / "zookeeper/zookeeper0/data/myid").read_text() == "1\n"
    assert os.access(prepared[0].command[0], os.X_OK)


def test_preparing_again_changes_nothing_not_even_what_a_user_added(tmp_path: Path) -> None:
    servers = prepare_servers(tmp_path, 3, INSTALLATION, Random(1))
    with (servers[0].folder / "conf/zoo.cfg").open("a") as file:
        file.write("snapCount=1000\n")

    def state() -> dict[Path, tuple[int, bytes]]:
        return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}

    before = state()
    assert prepare_servers(tmp_path, 3, INSTALLATION, Random(2)) == servers
    assert state() == before


def test_another_number_of_servers_is_taken_over_and_the_users_edits_are_kept(tmp_path: Path) -> None:
    (alone,) = prepare_servers(tmp_path, 1, INSTALLATION, Random(1))
    config = alone.folder / "conf/zoo.cfg"
    config.write_text(config.read_text().replace("tickTime=500", "tickTime = 700").replace("clientPort=", " clientPort = "))
    assert read_servers(tmp_path) == [replace(alone, ports=replace(alone.ports, quorum=0, election=0))]
    servers = prepare_servers(tmp_path, 3, INSTALLATION, Random(2))
    assert read_servers(tmp_path) == servers
    assert "tickTime = 700\n" in config.read_text()
    assert config.read_text().count("clientPort") == 2  # the other is clientPortAddress


@pytest.mark.parametrize(
    ("old", "new"), [("clientPort=", "secureClientPort="), ("server.2=", "server.2=[::1]:"), ("clientPort=", "clientPort=x")]
)
def test_a_zoo_cfg_that_cannot_be_understood_is_named_and_left(tmp_path: Path, old: str, new: str) -> None:
    servers = prepare_servers(tmp_path, 3, INSTALLATION, Random(1))
    config = servers[1].folder / "conf/zoo.cfg"
    config.write_text(config.read_text().replace(old, new))
    before = config.read_text()
    with pytest.raises(FailedPreconditionError, match=r"zookeeper1/conf/zoo\.cfg cannot be understood"):
        prepare_servers(tmp_path, 3, INSTALLATION, Random(2))
    assert config.read_text() == before


def test_a_java_env_is_kept_but_for_places_that_are_gone(tmp_path: Path) -> None:
    (tmp_path / "my java").touch()
    mine = f"# mine\nJAVA='{tmp_path}/my java'\nCLASSPATH='{tmp_path}/*:/gone'\nJVMFLAGS=-Xmx1g\n"
    assert java_env(mine, INSTALLATION) == mine
    for_a_shell = "JAVA=$HOME/java\nCLASSPATH=$CP\nJVMFLAGS=\n"
    assert java_env(for_a_shell, INSTALLATION) == for_a_shell
    (tmp_path / "my java").unlink()
    assert java_env(mine, INSTALLATION) == mine.replace(f"'{tmp_path}/my java'", "'/opt/my java/bin/java'")


def test_what_an_earlier_set_up_found_gives_way_to_what_is_better() -> None:
    debian = Installation("Debian", Path("/java"), "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-jdk14.jar")
    archive = replace(debian, classpath="/dc/apache/lib/*:/dc/apache/*", passed_over=(debian.classpath,))
    assert "/dc/apache/lib/*:/dc/apache/*" in java_env(java_env("", debian), archive)


def test_a_process_with_an_odd_command_line_is_no_server(tmp_path: Path) -> None:
    prepare_servers(tmp_path, 1, INSTALLATION, Random(1))
    with subprocess.Popen(["start-foreground"], executable="/bin/cat", stdin=subprocess.PIPE) as odd:
        assert ensemble.running_servers(tmp_path) == {}
        odd.communicate()


def test_servers_that_do_not_fit_together_count_as_not_set_up(tmp_path: Path) -> None:
    prepare_servers(tmp_path, 3, INSTALLATION, Random(1))
    (tmp_path / "zookeeper/zookeeper2/conf/zoo.cfg").unlink()
    assert read_servers(tmp_path) == []


def test_a_port_that_someone_else_has_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    servers = prepare_servers(tmp_path, 3, INSTALLATION, Random(1))
    taken = servers[1].ports.quorum
    monkeypatch.setattr(ensemble, "is_free", lambda port: port != taken)
    again = prepare_servers(tmp_path, 3, INSTALLATION, Random(1))
    assert taken not in {port for server in again for port in (server.ports.client, server.ports.quorum, server.ports.election)}


def test_a_node_is_started_by_the_same_python_with_its_flags(configuration: Configuration) -> None:
    root = configuration.root
    first = node_command(configuration, configuration.nodes[0])
    assert first == [
        *(sys.executable, str(root / "node.py"), "-n", "math-0", "--path", str(root)),
        *("--log", str(root / "logs/math-0.log"), "--told-to-stop", str(root / ".mockdc/math-0.told-to-stop"), "-v", "-z"),
    ]
    last = node_command(configuration.with_directory("files"), configuration.nodes[2])
    assert "storage-0" in last
    assert not {"-v", "-z"} & set(last)


def member(name: str, sequence: int, pid: int) -> Member:
    return Member(name.partition("-")[0], name, name, sequence, f"127.0.0.1:{sequence}", pid, "/log", 0.0)


def entry(name: str, pid: int) -> ProcessEntry:
    return ProcessEntry(name, pid, 0.0, "launch", "/log")


def states(
    configuration: Configuration,
    listed: dict[Member, Health],
    living: list[ProcessEntry],
    recorded: dict[str, ProcessEntry] | None = None,
    supervisor: SupervisorStatus | None = None,
) -> dict[str, tuple[str, str]]:
    found = node_statuses(
        configuration, listed.keys(), listed.values(), {one.name: one for one in living}, recorded or {}, supervisor
    )
    return {status.node: (status.state, status.role) for status in found}


def test_a_node_is_ready_when_it_is_listed_and_serves(configuration: Configuration) -> None:
    me = os.getpid()
    listed: dict[Member, Health] = {member("math-0", 7, me): "serving", member("storage-0", 1, me): "silent"}
    assert states(configuration, listed, [entry("math-0", me), entry("math-1", me), entry("storage-0", me)]) == {
        "math-0": ("ready", "leader"),
        "math-1": ("starting", "standby"),
        "storage-0": ("starting", "standby"),
    }


def test_the_leader_is_the_lowest_sequence_that_can_be_used(configuration: Configuration) -> None:
    me = os.getpid()
    listed: dict[Member, Health] = {
        member("math-2", 3, NO_PROCESS): "silent",
        member("math-1", 4, me): "serving",
        member("math-0", 5, me): "serving",
    }
    assert states(configuration, listed, []) == {
        "math-0": ("ready", "standby"),
        "math-1": ("ready", "leader"),
        "storage-0": ("dead", "standby"),
        "math-2": ("dead", "standby"),
    }


def test_the_entry_of_a_dead_predecessor_says_nothing_about_a_node(configuration: Configuration) -> None:
    # Another node answers at the address that storage-0 had before it died and was started again.
    listed: dict[Member, Health] = {member("storage-0", 1, NO_PROCESS): "serving"}
    assert states(configuration, listed, [entry("storage-0", os.getpid())])["storage-0"] == ("starting", "standby")


def test_a_dead_node_that_the_supervisor_will_start_is_restarting(configuration: Configuration) -> None:
    recorded = {
        "math-0": replace(entry("math-0", NO_PROCESS), supervised=True),
        "math-1": replace(entry("math-1", NO_PROCESS), supervised=False),
        "storage-0": replace(entry("storage-0", os.getpid()), supervised=True),
    }
    living = {"storage-0": recorded["storage-0"]}
    supervisor = SupervisorStatus("ready", 7, "/log")
    assert states(configuration, {}, [*living.values()], recorded, supervisor) == {
        "math-0": ("restarting", "standby"),
        "math-1": ("dead", "standby"),
        "storage-0": ("starting", "standby"),
    }
    assert supervisor_status(configuration, living) == SupervisorStatus(
        "dead", None, f"{configuration.logs_path}/supervisor.log"
    )
    assert supervisor_status(configuration, {"math-1": recorded["math-1"]}) is None


def test_a_node_that_says_so_is_stopping(configuration: Configuration) -> None:
    listed: dict[Member, Health] = {member("math-0", 1, os.getpid()): "not serving"}
    assert states(configuration, listed, [])["math-0"] == ("stopping", "standby")


def test_an_observation_names_what_is_not_ready_and_prints_as_json() -> None:
    observation = Observation(
        nodes=(NodeStatus("math-0", "math", "standby", "starting", None, 7, "/log"),),
        zookeeper=(ServerStatus("zookeeper0", "leader", "a:1", 1), ServerStatus("zookeeper1", "dead", "a:2", None)),
    )
    assert observation.unready == ("zookeeper1", "math-0")
    assert observation.dead == ("zookeeper1",)
    json = observation.as_json()
    first = ["node", "type", "role", "state", "address", "pid", "log", "restarts"]
    assert list(json["nodes"][0]) == [*first, *(field.name for field in fields(Vitals))]
    assert json["nodes"][0]["steps_per_s"] is None
    assert list(json["zookeeper"][0]) == ["server", "role", "address", "pid", *(field.name for field in fields(ServerFigures))]
    assert json["zookeeper"][0]["znodes"] is None
