"""Opens the directory of a datacenter, whatever keeps it. Called by nodes, clients and the launcher."""

from __future__ import annotations

from Services.fractos.directory.interface import Directory, DirectoryRecord
from Services.fractos.errors import ConfigurationError


def open_directory(record: DirectoryRecord) -> Directory:
    """Return the directory that `record` describes, not yet started.

    Only the modules of that kind are imported, since every node pays for them in memory. Raises ConfigurationError for a
    kind that does not exist.
    """
    if record.kind == "zookeeper":
        from Services.fractos.directory.zookeeper import ZooKeeperDirectory  # noqa: PLC0415

        return ZooKeeperDirectory(record)
    if record.kind == "files":
        from Services.fractos.directory.files import FileDirectory  # noqa: PLC0415

        return FileDirectory(record)
    raise ConfigurationError(
        f"the directory of datacenter {record.datacenter!r} is of kind {record.kind!r}; it must be 'zookeeper' or 'files'"
    )
