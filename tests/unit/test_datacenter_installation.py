"""Finding ZooKeeper and Java: the places in their order, and what is said where one is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from Services.datacenter.installation import Installation, find_installation, find_java
from Services.fractos.errors import FailedPreconditionError


@pytest.fixture
def java(tmp_path: Path) -> Path:
    program = tmp_path / "jdk/bin/java"
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    return program


def archive(folder: Path, version: str) -> Path:
    """What an unpacked binary archive looks like."""
    home = folder / f"apache-zookeeper-{version}-bin"
    (home / "lib").mkdir(parents=True)
    (home / "lib" / f"zookeeper-{version}.jar").touch()
    return home


def find(root: Path, java: Path, home: Path | None = None, debian: Path = Path("/nowhere")) -> Installation:
    environment = {"PATH": str(java.parent)} | ({"ZOOKEEPER_HOME": str(home)} if home else {})
    return find_installation([root], environment, debian)


def test_an_unpacked_archive_comes_first_and_the_newest_of_several(tmp_path: Path, java: Path) -> None:
    archive(tmp_path, "3.9.3")
    newest = archive(tmp_path, "3.10.0")
    (tmp_path / "apache-zookeeper-4.0.0-bin").mkdir()  # not unpacked in full
    other = archive(tmp_path / "other", "3.8.0")
    found = find(tmp_path, java, home=other)
    assert found == Installation(str(newest), java, f"{newest}/lib/*:{newest}/*")


def test_zookeeper_home_comes_before_the_package(tmp_path: Path, java: Path) -> None:
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian/zookeeper.jar").touch()
    home = archive(tmp_path / "other", "3.8.0")
    assert find(tmp_path, java, home, tmp_path / "debian").place == str(home)
    package = find(tmp_path, java, debian=tmp_path / "debian")
    assert package.place == "the Debian package"
    assert package.classpath == f"{tmp_path}/debian/zookeeper.jar:{tmp_path}/debian/slf4j-jdk14.jar"


def test_a_missing_zookeeper_says_what_to_type(tmp_path: Path, java: Path) -> None:
    with pytest.raises(FailedPreconditionError, match=r"apt-get install zookeeper.*ZOOKEEPER_HOME.*--directory files"):
        find(tmp_path, java)


def test_a_wrong_zookeeper_home_is_named(tmp_path: Path, java: Path) -> None:
    with pytest.raises(FailedPreconditionError, match=f"ZOOKEEPER_HOME is {tmp_path}, but"):
        find(tmp_path, java, home=tmp_path)


def test_java_home_comes_before_the_path(tmp_path: Path, java: Path) -> None:
    assert find_java({"JAVA_HOME": str(tmp_path / "jdk"), "PATH": ""}) == java
    assert find_java({"PATH": str(java.parent)}) == java


@pytest.mark.parametrize(
    ("environment", "said"),
    [({"PATH": "/nowhere"}, "apt-get install default-jre-headless"), ({"JAVA_HOME": "/nowhere"}, "no /nowhere/bin/java")],
)
def test_a_missing_java_says_what_to_type(environment: dict[str, str], said: str) -> None:
    with pytest.raises(FailedPreconditionError, match=said):
        find_java(environment)
