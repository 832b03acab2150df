"""Unpacks an `apache-zookeeper-*-bin.tar.gz` beside it: whole or not at all, and over nothing that is there.

The files are written here and not by tarfile, whose safe filter early releases of Python 3.10 and 3.11 lack: only plain files
and folders come out, with plain rights, below the one folder that the archive is named after.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from Services.datacenter.installation import ARCHIVE_ENDING, has_jar
from Services.fractos.errors import DataLossError, FailedPreconditionError

LARGEST_BYTES = 1 << 30  # when unpacked; ZooKeeper needs some 25 MB
CHUNK_BYTES = 1 << 20


class UnsafeArchiveError(Exception):
    """What an archive has that a ZooKeeper release has not."""


def unpack(archive: Path) -> Path:
    """Unpack an archive and return the new folder; one that another process has just made is returned as it is.

    Raises FailedPreconditionError if something is in the way and DataLossError if the archive is damaged, or is no ZooKeeper
    release; then nothing has changed.
    """
    home = archive.with_name(archive.name.removesuffix(ARCHIVE_ENDING))
    with archive.open("rb") as packed:
        fcntl.flock(packed, fcntl.LOCK_EX)  # so that whatever looks unfinished is abandoned
        if has_jar(home):
            return home
        if home.exists() or home.is_symlink():
            raise FailedPreconditionError(
                f"{home} is there, but without a lib/zookeeper-*.jar, and {archive.name} is not unpacked over it; rename or"
                " delete one of them"
            )
        prefix = f"{archive.name}-unfinished-"
        for abandoned in archive.parent.glob(f"{prefix}*"):
            shutil.rmtree(abandoned)
        unfinished = Path(tempfile.mkdtemp(dir=archive.parent, prefix=prefix))
        try:
            _unpack(packed, archive, unfinished, home.name)
            (unfinished / home.name).rename(home)
        finally:
            shutil.rmtree(unfinished)
    return home


def _unpack(packed: BinaryIO, archive: Path, target: Path, name: str) -> None:
    remedy = "delete it, and download it again or let `python3 run_datacenter.py --setup --download-zookeeper` do it"
    try:
        with gzip.open(packed) as stream, tarfile.open(fileobj=stream, mode="r|") as bundle:
            _extract(bundle, target, name)
            while stream.read(CHUNK_BYTES):  # to the end, where the checksum is
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataLossError(f"{archive} is damaged ({error}); {remedy}") from error
    except (UnsafeArchiveError, FileExistsError, IsADirectoryError, NotADirectoryError) as error:
        raise DataLossError(f"{archive} is not a ZooKeeper release: it has {error}; {remedy}") from error
    if not has_jar(target / name):
        raise DataLossError(f"{archive} is not a ZooKeeper release: it has no {name}/lib/zookeeper-*.jar; {remedy}")


def _extract(bundle: tarfile.TarFile, target: Path, name: str) -> None:
    """Write the members below `target`; all must lie below the folder `name`."""
    total = 0
    for member in bundle:
        path = PurePosixPath(member.name)
        if path.parts[:1] != (name,) or ".." in path.parts:
            raise UnsafeArchiveError(f"{member.name!r}, which is not below {name}/")
        total += member.size
        if total > LARGEST_BYTES:
            raise UnsafeArchiveError(f"more than {LARGEST_BYTES >> 20} MB when unpacked")
        content = bundle.extractfile(member) if member.isreg() else None
        if content is not None:
            _write(target / path, content, 0o755 if member.mode & 0o100 else 0o644)
        elif member.isdir():
            (target / path).mkdir(parents=True, exist_ok=True)
        else:
            raise UnsafeArchiveError(f"{member.name!r}, which is neither a file nor a folder")


def _write(path: Path, content: IO[bytes], mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, CHUNK_BYTES)
        file.flush()
        os.fsync(file.fileno())  # the folder that gets its name below must be whole, also after a loss of power
    path.chmod(mode)
