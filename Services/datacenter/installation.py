"""Finds ZooKeeper and Java on this machine, or says what to type."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from Services.fractos.errors import FailedPreconditionError

DEBIAN_JARS = Path("/usr/share/java")
REMEDY = (
    "On Debian or Ubuntu type `apt-get install zookeeper`; elsewhere unpack an apache-zookeeper-*-bin archive"
    " (https://zookeeper.apache.org/releases.html) in {root} or set ZOOKEEPER_HOME to where it is."
    " Or go without: `python3 run_datacenter.py --directory files`."
)


@dataclass(frozen=True)
class Installation:
    """What a ZooKeeper server needs in order to run."""

    place: str  # where ZooKeeper was found, for people
    java: Path
    classpath: str  # of `java -cp`, without the server's own conf folder


def find_installation(roots: Iterable[Path], environment: Mapping[str, str], debian_jars: Path = DEBIAN_JARS) -> Installation:
    """Return ZooKeeper and Java as found.

    ZooKeeper: an `apache-zookeeper-*-bin` folder in one of `roots` (the newest), `ZOOKEEPER_HOME`, the Debian package. Java:
    `JAVA_HOME`, `PATH`. Raises FailedPreconditionError that says what to type where one is missing.
    """
    roots = list(roots)
    home = next((found for root in roots if (found := _unpacked(root))), None) or _home(environment)
    if home:
        place, classpath = str(home), f"{home}/lib/*:{home}/*"  # up to 3.4 the server's own jar lies beside lib/
    elif (debian_jars / "zookeeper.jar").exists():
        # Debian's jar names what it needs in its manifest, but for a logging binding.
        place, classpath = "the Debian package", f"{debian_jars}/zookeeper.jar:{debian_jars}/slf4j-jdk14.jar"
    else:
        raise FailedPreconditionError("ZooKeeper was not found. " + REMEDY.format(root=roots[0]))
    return Installation(place, find_java(environment), classpath)


def find_java(environment: Mapping[str, str]) -> Path:
    """Return the `java` program. Raises FailedPreconditionError that says what to type if there is none."""
    if home := environment.get("JAVA_HOME"):
        java = Path(home) / "bin" / "java"
        if java.exists():
            return java
        raise FailedPreconditionError(f"JAVA_HOME is {home}, but there is no {java}; correct JAVA_HOME or unset it")
    if found := shutil.which("java", path=environment.get("PATH")):
        return Path(found)
    raise FailedPreconditionError(
        "ZooKeeper needs Java, and there is no java in PATH. On Debian or Ubuntu type `apt-get install default-jre-headless`;"
        " elsewhere install a Java runtime and set JAVA_HOME. Or go without: `python3 run_datacenter.py --directory files`."
    )


def _unpacked(root: Path) -> Path | None:
    """The newest unpacked archive in a folder."""

    def version(home: Path) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", home.name)]

    homes = [home for home in root.glob("apache-zookeeper-*-bin") if _has_jar(home)]
    return max(homes, key=version, default=None)


def _home(environment: Mapping[str, str]) -> Path | None:
    home = environment.get("ZOOKEEPER_HOME")
    if not home:
        return None
    if not _has_jar(Path(home)):
        raise FailedPreconditionError(
            f"ZOOKEEPER_HOME is {home}, but there is no lib/zookeeper-*.jar in it; name an unpacked binary archive or unset it"
        )
    return Path(home).resolve()


def _has_jar(home: Path) -> bool:
    return any(home.glob("lib/zookeeper-[0-9]*.jar")) or any(home.glob("zookeeper-[0-9]*.jar"))
