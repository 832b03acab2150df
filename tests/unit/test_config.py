"""data_center_setup.cfg: what it says is what the datacenter is, and every mistake in it is told at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from Services.fractos.client import connect
from Services.fractos.config import (
    CODE_ROOT,
    DRAWN_VARIABLE,
    Configuration,
    DeviceSettings,
    directory_record_path,
    find_root,
    load,
    read_directory_record,
    write_atomically,
    write_directory_record,
)
from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import ConfigurationError, FailedPreconditionError
from Services.StorageNode.Node.names import is_temporary

SMALL = """
[DataCenter]
[Controllers]
controller_names = math_controller
[math_controller]
paths_to_controller = math.py
"""


def read(root: Path, text: str) -> Configuration:
    (root / "data_center_setup.cfg").write_text(text)
    (root / "math.py").touch()
    (root / "disk.py").touch()
    return load(root)


def mistakes(root: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(root, text)
    return str(caught.value)


def test_whatever_is_left_out_has_its_default(tmp_path: Path) -> None:
    configuration = read(tmp_path, SMALL)
    (math,) = configuration.controllers
    assert (configuration.name, configuration.grpc_ip, configuration.start_timeout_s) == ("mockdc", "127.0.0.1", 120)
    assert configuration.service_config_path == tmp_path / "Services/config"
    assert configuration.journal_path == tmp_path / "Services/config/journal"
    assert (configuration.journal_sync, configuration.journal_keep_s) == ("normal", 60)
    assert (math.verbose, math.zookeeper, math.replicas, math.restart, math.device) == (False, True, 1, True, DeviceSettings())
    assert math.storage_path == tmp_path / "Services/storage"
    assert configuration.zookeeper.servers == 3
    assert configuration.directory_kind == "zookeeper"


def test_the_project_has_one_node_of_each_kind_with_zookeeper() -> None:
    configuration = load(CODE_ROOT)
    names = [node.name for node in configuration.nodes]  # after those of `new node`
    assert names[-4:] == ["cnn-0", "math-0", "application-0", "storage-0"]
    assert configuration.directory_kind == "zookeeper"


def test_repeated_paths_and_replicas_make_numbered_nodes(tmp_path: Path) -> None:
    text = SMALL.replace("math.py", "math.py, disk.py,\n  math.py").replace(
        "[math_controller]", "[math_controller]\nreplicas = 2"
    )
    nodes = read(tmp_path, text).nodes
    assert [node.name for node in nodes] == [f"math-{number}" for number in range(6)]
    assert [node.controller.name for node in nodes] == ["math.py", "math.py", "disk.py", "disk.py", "math.py", "math.py"]


def test_a_controller_may_lie_in_the_code_instead_of_the_datacenter(tmp_path: Path) -> None:
    (node,) = read(tmp_path, SMALL.replace("math.py", "run_datacenter.py")).nodes
    assert node.controller == CODE_ROOT / "run_datacenter.py"


@pytest.mark.parametrize(("written", "meant"), [("False", False), ("no", False), ("0", False), ("true", True), ("ON", True)])
def test_booleans_are_what_they_say(tmp_path: Path, written: str, meant: bool) -> None:
    configuration = read(tmp_path, SMALL + f"zookeeper = {written}  # a comment\n")
    assert configuration.controllers[0].zookeeper is meant
    assert configuration.directory_kind == ("zookeeper" if meant else "files")


@pytest.mark.parametrize(("written", "meant"), [("0", 0.0), ("2.5", 2.5), ("60000", 60000.0)])
def test_a_delay_may_have_a_fraction(tmp_path: Path, written: str, meant: float) -> None:
    assert read(tmp_path, SMALL + f"device_latency_ms = {written}\n").controllers[0].device.latency_ms == meant


@pytest.mark.parametrize("written", ["-1", "60000.5", "nan", "inf", "1e3", "2,5", "٣", "1.", ""])
def test_a_delay_that_is_none_is_refused(tmp_path: Path, written: str) -> None:
    said = mistakes(tmp_path, SMALL + f"device_latency_ms = {written}\n")
    assert f"[math_controller] device_latency_ms = {written}: must be a number from 0 to 60000, such as 2.5" in said


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    text = mistakes(
        tmp_path,
        """
[DataCentre]
[DataCenter]
grpc_ip = localhost
service_config_paths = a, b
start_timeout_s = soon
[Controllers]
controller_names = math_controller, disk_controller
[math_controller]
paths_to_controller = math.py, nowhere.py
verbos = True
zookeeper = perhaps
replicas = 0
restart = always
[ZooKeeper]
servers = 4
""",
    )
    assert f"{tmp_path / 'data_center_setup.cfg'} has 11 mistakes" in text
    for said in (
        "[DataCentre] is not a known section, did you mean DataCenter?",
        "[DataCenter] grpc_ip = localhost: must be an IPv4 address",
        "[DataCenter] service_config_paths = a, b: must be one folder",
        "[DataCenter] start_timeout_s = soon: must be a whole number from 1 to 3600",
        f"[math_controller] paths_to_controller = nowhere.py: there is no file {tmp_path / 'nowhere.py'} nor",
        "[math_controller] verbos = True: unknown key, did you mean verbose?",
        "[math_controller] zookeeper = perhaps: must be True or False",
        "[math_controller] replicas = 0: must be a whole number from 1 to 100",
        "[math_controller] restart = always: must be on-failure or never",
        "[disk_controller] is missing",
        "[ZooKeeper] servers = 4: must be an odd number from 1 to 7",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "[DataCenter] is missing; add the section"),
        ("[datacenter]\n", "did you mean datacenter?"),
        (SMALL.replace("math_controller\n", "\n", 1), "controller_names = : must be one or more names"),
        (SMALL.replace("= math_controller", "= Math"), "'Math' does not look like one"),
        (SMALL.replace("= math_controller", "= math_controller, math_controller"), "math_controller is there twice"),
        (SMALL + "verbose = 1\nverbose = 0\n", "option 'verbose' in section 'math_controller' already exists"),
        ("controller_names = math\n" + SMALL, "no section headers"),
        (SMALL + "[DEFAULT]\nverbose = True\n", "[DEFAULT] is not a known section"),
        (SMALL.replace("[DataCenter]", "[DataCenter]\nname = a/b"), "name = a/b: must be letters"),
        (SMALL.replace("[DataCenter]", "[DataCenter]\ngrpc_ip = 0.0.0.0"), "grpc_ip = 0.0.0.0: must be"),
        (SMALL + "storage_path = math.py\n", "math.py is not a folder"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, said: str) -> None:
    assert said in mistakes(tmp_path, text)


def test_zookeeper_keys_must_agree(tmp_path: Path) -> None:
    more = "zookeeper = False\n[disk_controller]\npaths_to_controller = disk.py\nzookeeper = True\n"
    text = mistakes(tmp_path, SMALL.replace("= math_controller", "= math_controller, disk_controller") + more)
    assert "[math_controller] zookeeper = False, [disk_controller] zookeeper = True" in text
    assert "set all `zookeeper` keys alike" in text


def with_zookeeper(root: Path, *lines: str) -> str:
    (root / "password").touch()
    return SMALL + "\n".join(["[ZooKeeper]", *lines]) + "\n"


def test_a_datacenter_has_servers_of_its_own_unless_hosts_are_named(tmp_path: Path) -> None:
    configuration = read(tmp_path, SMALL)
    assert configuration.external_directory is None
    assert configuration.zookeeper.download_url.startswith("https://archive.apache.org/dist/zookeeper/zookeeper-3.8.6/")
    assert read(tmp_path, with_zookeeper(tmp_path, "hosts =", "username =", "download_sha512 =")).external_directory is None
    elsewhere = read(tmp_path, with_zookeeper(tmp_path, "hosts = a:1/lab"))
    assert elsewhere.external_directory == DirectoryRecord("zookeeper", "a:1/lab", "mockdc", external=True)
    assert elsewhere.with_directory("files").external_directory is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("a:2181,b:2182/lab/one", "a:2181,b:2182/lab/one"),
        ("zoo-1.example.org , 10.0.0.2:99", "zoo-1.example.org:2181,10.0.0.2:99"),
        ("[::1]:5", "[::1]:5"),
    ],
)
def test_hosts_have_their_ports(tmp_path: Path, written: str, meant: str) -> None:
    configuration = read(tmp_path, with_zookeeper(tmp_path, "servers = 3", f"hosts = {written}"))
    assert configuration.zookeeper.hosts == meant


@pytest.mark.parametrize("hosts", ["a:", "a:0", "a:65536", "a:1,", "a:1/", "a:1//x", "a:1/x/", "a:1/../x", "http://a:1", "a b"])
def test_hosts_of_another_form_are_a_mistake(tmp_path: Path, hosts: str) -> None:
    said = mistakes(tmp_path, with_zookeeper(tmp_path, f"hosts = {hosts}", "username = x", "password_file = password"))
    assert f"has a mistake:\n  [ZooKeeper] hosts = {hosts}: must be host:port,host:port" in said


def test_the_password_stays_in_its_file(tmp_path: Path) -> None:
    text = with_zookeeper(tmp_path, "hosts = a:1", "username = alice", "password_file = password")
    record = read(tmp_path, text).external_directory
    assert record == DirectoryRecord("zookeeper", "a:1", "mockdc", True, "alice", str(tmp_path / "password"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["hosts = a:1", "servers = 5"], "servers = 5: says how many servers to start, but hosts = a:1 has"),
        (["username = alice", "password_file = password"], "username = alice: is of no use without hosts"),
        (["hosts = a:1", "username = alice"], "username = alice: is of no use without password_file"),
        (["hosts = a:1", "password_file = password"], "password: is of no use without username"),
        (["hosts = a:1", "username = a:b", "password_file = password"], "username = a:b: must be a name without"),
        (["hosts = a:1", "username = alice", "password_file = gone"], "password_file = gone: there is no file"),
        (["download_url = https://a/zookeeper.zip"], "must be the address of an apache-zookeeper-<version>-bin.tar.gz"),
        (["download_url = file:///apache-zookeeper-3.8.6-bin.tar.gz"], "must be the address of"),
        (["download_url = http://a/apache-zookeeper-3.8.6-bin.tar.gz"], "give an https address or its download_sha512"),
        (["download_sha512 = 1234"], "download_sha512 = 1234: must be a SHA-512"),
    ],
)
def test_a_mistake_about_zookeeper_is_named(tmp_path: Path, lines: list[str], said: str) -> None:
    text = mistakes(tmp_path, with_zookeeper(tmp_path, *lines))
    assert said in text
    assert "has a mistake:" in text


def test_a_controller_that_is_not_used_may_keep_its_section(tmp_path: Path) -> None:
    assert len(read(tmp_path, SMALL + "[disk_controller]\npaths_to_controller = gone.py\n").controllers) == 1


def test_without_a_file_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="name it with --path"):
        load(tmp_path)
    with pytest.raises(ConfigurationError, match="--path"):
        find_root(tmp_path)


def test_the_root_is_found_from_a_file_below_it(tmp_path: Path) -> None:
    read(tmp_path, SMALL)
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/script.py").touch()
    assert find_root(tmp_path / "a/b/script.py") == tmp_path
    assert find_root(tmp_path) == tmp_path


def test_another_directory_can_be_asked_for(tmp_path: Path) -> None:
    assert read(tmp_path, SMALL).with_directory("files").directory_kind == "files"


def test_the_directory_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    configuration = read(tmp_path, SMALL)
    assert read_directory_record(configuration) is None
    record = DirectoryRecord("zookeeper", "127.0.0.1:1,127.0.0.1:2", "mockdc")
    write_directory_record(configuration, record)
    assert read_directory_record(configuration) == record
    assert [path.name for path in configuration.service_config_path.iterdir()] == ["directory.json"]


def test_a_directory_record_that_was_copied_with_its_folder_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    write_directory_record(read(tmp_path / "one", SMALL), DirectoryRecord("files", "/", "mockdc"))
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    assert read_directory_record(load(tmp_path / "copy")) is None


def test_who_is_being_drawn_finds_no_datacenter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_directory_record(read(tmp_path, SMALL), DirectoryRecord("files", "/", "mockdc"))
    monkeypatch.setenv(DRAWN_VARIABLE, "1")
    with pytest.raises(FailedPreconditionError, match="this program is being drawn"):
        connect(tmp_path)


def test_a_half_written_file_has_a_name_that_storage_nodes_hide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("os.fsync", lambda _: seen.extend(path.name for path in tmp_path.iterdir()))
    write_atomically(tmp_path / "number.txt", "21")
    assert len(seen) == 1
    assert is_temporary(seen[0])


@pytest.mark.parametrize(
    "content", ["", "{", "[]", json.dumps({"kind": "x"}), json.dumps({"kind": "x", "address": "", "datacenter": ""})]
)
def test_a_damaged_directory_record_is_named_with_its_remedy(tmp_path: Path, content: str) -> None:
    configuration = read(tmp_path, SMALL)
    write_directory_record(configuration, DirectoryRecord("files", "/", "mockdc"))
    directory_record_path(configuration).write_text(content)
    with pytest.raises(ConfigurationError, match=r"directory\.json .* delete it"):
        read_directory_record(configuration)
