"""data_center_setup.cfg as frozen dataclasses: read once, all mistakes reported together.

Read by the launcher, by nodes at their start and by `connect()`. The file itself explains every key; the defaults are the
ones below. Also keeps the directory record: which directory the datacenter uses, and where.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from Services.fractos.directory.interface import DirectoryRecord
from Services.fractos.errors import ConfigurationError, FailedPreconditionError
from Services.fractos.log_lines import FORMS, LEVELS
from Services.fractos.network_rules import NetworkRules
from Services.fractos.network_settings import LINK_SECTION, NETWORK, RACKS, read_network_rules
from Services.fractos.output import LogSettings
from Services.fractos.settings_file import Section, Sections
from Services.fractos.zookeeper_settings import KEYS, ZooKeeperSettings, read_zookeeper_settings

CONFIGURATION_FILE = "data_center_setup.cfg"
CODE_ROOT = Path(__file__).resolve().parents[2]
CENTER_KEYS = {
    "name",
    "grpc_ip",
    "service_config_paths",
    "start_timeout_s",
    "journal_sync",
    "journal_keep_s",
    "authorization",
    "metrics",
    "metrics_port",
    "log_format",
    "log_level",
}
MAXIMUM_REPLICAS = 100
MAXIMUM_INLINE_BYTES = 1 << 20
MAXIMUM_MEMORY_MB = 1 << 20
MAXIMUM_DEVICE_LATENCY_MS = 60_000
MAXIMUM_DEVICE_MB_S = 100_000
MAXIMUM_PARALLELISM = 256
MAXIMUM_METRICS_PORT = 60_000  # those of the other nodes follow
DirectoryKind = Literal["zookeeper", "files"]
DRAWN_VARIABLE = "MOCKDC_DRAWN"  # set for a program that is only drawn, and so for the processes that it starts
TEMPORARY = ".writing-"  # how the names of unfinished files begin: storage nodes hide such files from their clients


@dataclass(frozen=True)
class NodeSettings:
    """One node of the plan."""

    name: str  # "storage-0"
    node_type: str  # "storage"
    controller: Path  # the script that is started


@dataclass(frozen=True)
class DeviceSettings:
    """How much slower than it is a device is to look."""

    latency_ms: float = 0.0  # how much longer each call takes
    bandwidth_mb_s: float = 0.0  # how many 10^6 bytes of requests and responses it moves in a second; 0: no limit
    parallelism: int = 0  # how many calls it carries out at once; 0: as many as its Adaptor has threads


@dataclass(frozen=True)
class ControllerSettings:
    """One section such as [storage_controller]."""

    section: str  # "storage_controller"
    node_type: str  # "storage"
    paths: tuple[Path, ...]  # absolute; one node each, times `replicas`
    verbose: bool
    zookeeper: bool
    storage_path: Path  # absolute
    replicas: int
    restart: bool  # a node that crashed is started again
    device: DeviceSettings  # the emulated one

    @property
    def nodes(self) -> tuple[NodeSettings, ...]:
        """The nodes to start, numbered from 0 in the order of the paths."""
        scripts = [path for path in self.paths for _ in range(self.replicas)]
        return tuple(NodeSettings(f"{self.node_type}-{i}", self.node_type, script) for i, script in enumerate(scripts))


@dataclass(frozen=True)
class MemorySettings:
    """How each node keeps large values."""

    inline_limit: int = 64 << 10  # values of up to so many bytes travel inside Requests
    limit_mb: int = 1024  # how much Memory a node holds, in MiB


@dataclass(frozen=True)
class Configuration:
    """One datacenter. All paths are absolute."""

    root: Path  # the folder of data_center_setup.cfg: whatever is made at run time lies under it
    name: str
    grpc_ip: str
    service_config_path: Path
    start_timeout_s: float
    journal_sync: str  # "normal" or "full"
    journal_keep_s: float  # how long an answer can be asked for again, after its run's deadline
    controllers: tuple[ControllerSettings, ...]
    zookeeper: ZooKeeperSettings
    memory: MemorySettings = MemorySettings()
    network: NetworkRules = field(default_factory=NetworkRules)  # of the emulated links
    authorization: str = "checked"  # or "open": then nobody needs a capability
    metrics: bool = False  # whether Prometheus can scrape the nodes
    metrics_port: int = 0  # of the first node of the plan, and so on; 0: the system chooses
    log: LogSettings = field(default_factory=LogSettings)

    @property
    def directory_kind(self) -> DirectoryKind:
        """Which directory the `zookeeper` keys, which all agree, ask for."""
        return "zookeeper" if self.controllers[0].zookeeper else "files"

    @property
    def external_directory(self) -> DirectoryRecord | None:
        """The record of the ZooKeeper servers of others, if those are what the configuration asks for."""
        zookeeper = self.zookeeper
        if self.directory_kind != "zookeeper" or not zookeeper.hosts:
            return None
        password_file = str(zookeeper.password_file or "")
        return DirectoryRecord("zookeeper", zookeeper.hosts, self.name, True, zookeeper.username, password_file)

    @property
    def nodes(self) -> tuple[NodeSettings, ...]:
        """All nodes to start, in the order of `controller_names`."""
        return tuple(node for controller in self.controllers for node in controller.nodes)

    @property
    def logs_path(self) -> Path:
        """Where the log of every node is: `<name>.log`."""
        return self.root / "logs"

    @property
    def clients_path(self) -> Path:
        """The folder of the clients' capabilities. Only the owner may read it."""
        return self.service_config_path / "clients"

    @property
    def journal_path(self) -> Path:
        """The folder of the application nodes' journal of runs."""
        return self.service_config_path / "journal"

    @property
    def metrics_path(self) -> Path:
        """Where Prometheus finds the nodes: a file for each, see telemetry.py."""
        return self.service_config_path / "metrics"

    @property
    def network_path(self) -> Path:
        """What was changed about the emulated links since; see network_changes.py."""
        return self.service_config_path / "network.json"

    @property
    def keys_path(self) -> Path:
        """The folder of the datacenter's secrets; see keys.py. Nodes on other hosts need a copy of it."""
        return self.service_config_path / "keys"

    def controller(self, node_type: str) -> ControllerSettings | None:
        """The settings of a type of node, if the datacenter has any."""
        return next((one for one in self.controllers if one.node_type == node_type), None)

    def with_directory(self, kind: DirectoryKind) -> Configuration:
        """The same datacenter with every `zookeeper` key set as `kind` asks."""
        controllers = tuple(replace(one, zookeeper=kind == "zookeeper") for one in self.controllers)
        return replace(self, controllers=controllers)


def find_root(start: Path) -> Path:
    """Return the nearest folder that holds data_center_setup.cfg: `start` itself (a file or a folder) or above.

    Raises ConfigurationError if there is none.
    """
    here = start.resolve()
    for folder in (here, *here.parents):
        if (folder / CONFIGURATION_FILE).is_file():
            return folder
    raise ConfigurationError(f"no {CONFIGURATION_FILE} in {here} or any folder above; say where the datacenter is with --path")


def load(root: Path) -> Configuration:
    """Read the configuration of the datacenter in folder `root`.

    Raises one ConfigurationError that lists every mistake with its section, key, value and remedy.
    """
    root = root.resolve()
    return interpret(Sections.read(root / CONFIGURATION_FILE), root)


def interpret(sections: Sections, root: Path) -> Configuration:
    """Make the configuration of the datacenter in folder `root` of what its file says; raises as `load` does."""
    center = sections.section("DataCenter", CENTER_KEYS)
    names = sections.section("Controllers", {"controller_names"}).names("controller_names", r"[a-z][a-z0-9_]*_controller")
    memory = sections.section("Memory", {"inline_limit", "limit_mb"}, required=False)
    ensemble = sections.section("ZooKeeper", KEYS, required=False)
    configuration = Configuration(
        root=root,
        name=center.text("name", "mockdc", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", "letters, digits, '_', '.' and '-', at most 63"),
        grpc_ip=center.ipv4("grpc_ip", "127.0.0.1"),
        service_config_path=center.folder("service_config_paths", root, "Services/config"),
        start_timeout_s=center.number("start_timeout_s", 120, 1, 3600),
        journal_keep_s=center.number("journal_keep_s", 60, 10, 86400),
        journal_sync=center.text("journal_sync", "normal", "normal|full", "normal or full"),
        controllers=tuple(_controller(sections, name, root) for name in names),
        zookeeper=read_zookeeper_settings(ensemble, root),
        memory=MemorySettings(
            inline_limit=memory.number("inline_limit", 64 << 10, 1 << 10, MAXIMUM_INLINE_BYTES),
            limit_mb=memory.number("limit_mb", 1024, 1, MAXIMUM_MEMORY_MB),
        ),
        network=read_network_rules(sections, [name.removesuffix("_controller") for name in names]),
        authorization=center.text("authorization", "checked", "checked|open", "checked or open"),
        metrics=center.text("metrics", "off", "off|on", "off or on") == "on",
        metrics_port=center.number("metrics_port", 0, 0, MAXIMUM_METRICS_PORT),
        log=LogSettings(
            form=center.text("log_format", "text", "|".join(FORMS), " or ".join(FORMS)),
            level=center.text("log_level", "INFO", "|".join(LEVELS), f"{', '.join(LEVELS[:-1])} or {LEVELS[-1]}"),
        ),
    )
    _check_agreement(sections, configuration.controllers)
    # Extensions may leave the section of a controller that is switched off where it is.
    known = {"DataCenter", "Controllers", "Memory", NETWORK, RACKS, "ZooKeeper", *names}
    sections.finish(known, tolerated=rf"[a-z][a-z0-9_]*_controller|{LINK_SECTION}")
    return configuration


def _controller(sections: Sections, name: str, root: Path) -> ControllerSettings:
    keys = {"paths_to_controller", "verbose", "zookeeper", "storage_path", "replicas", "restart"}
    keys |= {"device_latency_ms", "device_bandwidth_mb_s", "device_parallelism"}
    section = sections.section(name, keys)
    return ControllerSettings(
        section=name,
        node_type=name.removesuffix("_controller"),
        paths=tuple(_script(section, written, root) for written in section.names("paths_to_controller", r".+", repeats=True)),
        verbose=section.boolean("verbose", default=False),
        zookeeper=section.boolean("zookeeper", default=True),
        storage_path=section.folder("storage_path", root, "Services/storage"),
        replicas=section.number("replicas", 1, 1, MAXIMUM_REPLICAS),
        restart=section.text("restart", "on-failure", "on-failure|never", "on-failure or never") == "on-failure",
        device=DeviceSettings(
            latency_ms=section.decimal("device_latency_ms", 0, 0, MAXIMUM_DEVICE_LATENCY_MS),
            bandwidth_mb_s=section.decimal("device_bandwidth_mb_s", 0, 0, MAXIMUM_DEVICE_MB_S),
            parallelism=section.number("device_parallelism", 0, 0, MAXIMUM_PARALLELISM),
        ),
    )


def _script(section: Section, written: str, root: Path) -> Path:
    """A controller's script: in the datacenter's folder, or else in the code's own."""
    candidates = [base / written for base in dict.fromkeys((root, CODE_ROOT))]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    places = " nor ".join(str(candidate) for candidate in candidates)
    section.mistake("paths_to_controller", written, f"there is no file {places}; correct the path")
    return candidates[0]


def _check_agreement(sections: Sections, controllers: tuple[ControllerSettings, ...]) -> None:
    stated = [one for one in controllers if (one.section, "zookeeper") not in sections.mistaken]
    if len({one.zookeeper for one in stated}) > 1:
        said = ", ".join(f"[{one.section}] zookeeper = {one.zookeeper}" for one in stated)
        sections.mistakes.append(f"a datacenter has one kind of directory, but {said}; set all `zookeeper` keys alike")


def directory_record_path(configuration: Configuration) -> Path:
    """Where the directory record is."""
    return configuration.service_config_path / "directory.json"


def read_directory_record(configuration: Configuration) -> DirectoryRecord | None:
    """Which directory the datacenter uses, as `--setup` or `up` left it; None if neither ever ran.

    The record names the folder it is about: one that was copied with a datacenter's folder counts as none. Raises
    ConfigurationError if the file is damaged, FailedPreconditionError in a process of a program that is being drawn.
    """
    if os.environ.get(DRAWN_VARIABLE):  # all ways to what runs begin here
        raise FailedPreconditionError(
            "this program is being drawn by `graph`, which submits nothing: no datacenter can be found, and what the processes"
            " that it starts would submit is not seen; a function graphs() can return all its graphs"
        )
    path = directory_record_path(configuration)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        root = content.pop("root", None)
        record = DirectoryRecord(**content)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{path} is damaged ({error}); delete it and type `python3 run_datacenter.py` to have it made anew"
        ) from error
    if record.kind not in {"zookeeper", "files"}:
        raise ConfigurationError(f"{path} names an unknown kind of directory, {record.kind!r}; delete it and run `up` again")
    return record if root == str(configuration.root) else None


@contextmanager
def lock_directory_record(configuration: Configuration) -> Iterator[None]:
    """Keep others from changing the directory record meanwhile. Locks its folder, makes no file."""
    configuration.service_config_path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(configuration.service_config_path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_directory_record(configuration: Configuration, record: DirectoryRecord) -> None:
    """Record which directory the datacenter uses. Readers see the old record or the new one, never a part."""
    content = {"root": str(configuration.root), **asdict(record)}
    write_atomically(directory_record_path(configuration), json.dumps(content, indent=2) + "\n")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the file `path` by one that holds `content`, at once, also if the machine fails meanwhile; folders are made.

    Raises OSError, which names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk shows at a write, which knows no name
        raise
