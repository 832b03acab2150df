"""Unpacking a ZooKeeper archive: whole or not at all, over nothing, and nothing that is not a release."""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from Services.datacenter.archive import unpack
from Services.fractos.errors import DataLossError, FailedPreconditionError

NAME = "apache-zookeeper-3.8.6-bin"
JAR = f"{NAME}/lib/zookeeper-3.8.6.jar"
SCRIPT = f"{NAME}/bin/zkServer.sh"


def file(name: str, content: bytes = b"content", mode: int = 0o644) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), mode
    member.uid = member.gid = 12345
    return member, content


def special(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member, b""


def pack(folder: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    archive = folder / f"{NAME}.tar.gz"
    with tarfile.open(archive, "w:gz") as bundle:
        for member, content in members:
            bundle.addfile(member, io.BytesIO(content))
    return archive


def good(folder: Path) -> Path:
    return pack(folder, special(NAME, tarfile.DIRTYPE), file(JAR, os.urandom(50_000)), file(SCRIPT, mode=0o6755))


def test_an_archive_becomes_a_folder_with_plain_rights(tmp_path: Path) -> None:
    archive = good(tmp_path)
    before = archive.read_bytes()
    home = unpack(archive)
    assert home == tmp_path / NAME
    assert sorted(path.name for path in tmp_path.iterdir()) == [NAME, f"{NAME}.tar.gz"]
    assert archive.read_bytes() == before
    assert stat.S_IMODE((tmp_path / SCRIPT).stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / JAR).stat().st_mode) == 0o644
    assert (tmp_path / JAR).stat().st_uid == os.getuid()
    assert (tmp_path / JAR).stat().st_size == 50_000


def test_an_archive_that_was_unpacked_already_is_left_as_it_is(tmp_path: Path) -> None:
    archive = good(tmp_path)
    (unpack(archive) / "mine").touch()
    unpack(archive)
    assert (tmp_path / NAME / "mine").exists()


def state(path: Path) -> tuple[int, ...]:
    """What changes when a file, a folder or a link is written or replaced; to look at it changes only when it was last read."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@pytest.mark.parametrize("thing", ["folder", "file", "broken link"])
def test_nothing_that_is_there_is_overwritten(tmp_path: Path, thing: str) -> None:
    home = tmp_path / NAME
    if thing == "folder":
        home.mkdir()
    elif thing == "file":
        home.touch()
    else:
        home.symlink_to("nowhere")
    before = state(home)
    with pytest.raises(FailedPreconditionError, match=f"{NAME} is there, but without .* rename or delete"):
        unpack(good(tmp_path))
    assert state(home) == before
    assert not list(tmp_path.glob("*unfinished*"))


def test_what_a_killed_process_left_unfinished_is_swept(tmp_path: Path) -> None:
    abandoned = tmp_path / f"{NAME}.tar.gz-unfinished-abc" / NAME
    abandoned.mkdir(parents=True)
    unpack(good(tmp_path))
    assert not abandoned.parent.exists()


@pytest.mark.parametrize("kept", [0, 10, 0.3, 0.6, 0.95, -4, -1])
def test_a_truncated_archive_is_refused_and_leaves_nothing(tmp_path: Path, kept: float) -> None:
    archive = good(tmp_path)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(DataLossError, match=r"is damaged .* delete it"):
        unpack(archive)
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize("where", [0.2, 0.5, 0.9])
def test_an_archive_with_a_wrong_byte_is_refused_and_leaves_nothing(tmp_path: Path, where: float) -> None:
    archive = good(tmp_path)
    content = bytearray(archive.read_bytes())
    content[int(where * len(content))] ^= 1
    archive.write_bytes(content)
    with pytest.raises(DataLossError, match=r"is damaged .* delete it"):
        unpack(archive)
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (file("elsewhere/file"), "'elsewhere/file', which is not below"),
        (file(f"{NAME}/../../escaped"), "escaped', which is not below"),
        (file("/tmp/escaped"), "'/tmp/escaped', which is not below"),
        (file(f"{NAME}-2/file"), "which is not below"),
        (special(f"{NAME}/link", tarfile.SYMTYPE, "/etc"), "link', which is neither a file nor a folder"),
        (special(f"{NAME}/hard", tarfile.LNKTYPE, JAR), "hard', which is neither"),
        (special(f"{NAME}/device", tarfile.CHRTYPE), "device', which is neither"),
        (special(f"{NAME}/pipe", tarfile.FIFOTYPE), "pipe', which is neither"),
        (file(JAR, b"another"), "File exists"),
        (file(f"{JAR}/below"), "Not a directory|File exists"),
    ],
)
def test_an_archive_with_anything_but_files_in_its_folder_is_refused(
    tmp_path: Path, member: tuple[tarfile.TarInfo, bytes], said: str
) -> None:
    archive = pack(tmp_path, file(JAR), member)
    with pytest.raises(DataLossError, match=f"is not a ZooKeeper release: .*({said})"):
        unpack(archive)
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_an_archive_without_the_jar_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataLossError, match=f"it has no {NAME}/lib/zookeeper"):
        unpack(pack(tmp_path, file(SCRIPT)))


def test_an_archive_that_would_fill_the_disk_is_refused_before_it_does(tmp_path: Path) -> None:
    member = tarfile.TarInfo(f"{NAME}/zeros")
    member.size = 1 << 31
    archive = tmp_path / f"{NAME}.tar.gz"
    archive.write_bytes(gzip.compress(member.tobuf() + bytes(1 << 20)))
    with pytest.raises(DataLossError, match="more than 1024 MB when unpacked"):
        unpack(archive)
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]
