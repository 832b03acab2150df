"""Zip files as data sets: what is read of them, and what a hostile one cannot do."""

from __future__ import annotations

import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from Services.ComputationalNodes.CNN.Node import dataset, sources
from Services.ComputationalNodes.CNN.Node.models import SkippedFiles
from Services.ComputationalNodes.CNN.Node.picture_file import Pictures
from Services.fractos.errors import DataLossError, FailedPreconditionError, FractosError, InvalidArgumentError, OutOfRangeError


def picture(number: int, kind: str = "JPEG", green: int = 0) -> bytes:
    data = BytesIO()
    Image.new("RGB", (20, 10), (number, green, 128)).save(data, format=kind)
    return data.getvalue()


def write(path: Path, *more: tuple[str, bytes], pictures: int = 12, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip file like the cats-and-dogs one, and `more` entries in it."""
    with zipfile.ZipFile(path, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of the second entry of a name
        archive.writestr("readme[1].txt", "about")
        for green, name in ((100, "Dog"), (200, "Cat")):
            for number in range(pictures):
                archive.writestr(f"PetImages/{name}/{number}.jpg", picture(10 * number, green=green))
        for name, content in more:
            archive.writestr(name, content)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "pets.zip"


@pytest.fixture
def into(tmp_path: Path) -> Iterator[Pictures]:
    """Where pictures are read to."""
    with Pictures(tmp_path) as pictures:
        yield pictures


def read(path: Path, into: Pictures) -> dict[str, SkippedFiles]:
    """Read a data set and return what was skipped, by reason."""
    dataset.read(dataset.scan(path), into, lambda read, of: None)
    return {one.reason: one for one in into.skipped_by_reason}


def patch(path: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def central(data: bytes | bytearray, name: str) -> int:
    """Where the entry of a name begins in a zip file's index."""
    return data.rindex(name.encode()) - 46


def test_the_cats_and_dogs_zip_as_it_is_downloaded(archive: Path, into: Pictures) -> None:
    odd = [
        ("MSR-LA - 3467.docx", b"PK\x03\x04"),
        ("PetImages/Cat/Thumbs.db", b"\xd0\xcf\x11\xe0"),
        ("PetImages/Cat/666.jpg", b""),
        ("PetImages/Dog/11702.jpg", picture(7)[:-200]),
        ("PetImages/Dog/gif.jpg", picture(200, "GIF")),
        ("__MACOSX/PetImages/Cat/._0.jpg", b"x"),
        ("PetImages/.DS_Store", b"x"),
    ]
    write(archive, *odd)
    before = archive.read_bytes()
    found = dataset.scan(archive)
    assert (found.classes, len(found.files)) == (("Cat", "Dog"), 28)
    skipped = read(archive, into)
    assert {reason: one.names for reason, one in skipped.items()} == {
        "empty": ("PetImages/Cat/666.jpg",),
        "not a picture": ("PetImages/Cat/Thumbs.db",),
        "damaged or incomplete": ("PetImages/Dog/11702.jpg",),
    }
    assert into.labels.tolist() == [0] * 12 + [1] * 13
    assert archive.read_bytes() == before


def test_a_zip_and_its_folder_have_the_same_pixels(archive: Path, into: Pictures, tmp_path: Path) -> None:
    read(write(archive), into)
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(tmp_path / "folder")
    with Pictures(tmp_path) as others:
        read(tmp_path / "folder", others)
        assert (into.rows(into.labels) == others.rows(others.labels)).all()
        assert into.labels.tolist() == others.labels.tolist()


@pytest.mark.parametrize(
    "name", ["../../escaped.jpg", "/etc/escaped.jpg", "C:\\escaped.jpg", "PetImages/Cat/../escaped.jpg", "a//b.jpg"]
)
def test_names_that_lead_out_are_not_followed(archive: Path, into: Pictures, tmp_path: Path, name: str) -> None:
    skipped = read(write(archive, (name, picture(250))), into)
    assert skipped["a name that could lead out of the zip file"].names == (name.replace("\\", "/"),)
    assert len(into) == 24
    assert not list(tmp_path.parent.rglob("escaped.jpg"))


def test_an_entry_without_a_name_is_skipped(archive: Path, into: Pictures) -> None:
    write(archive, ("nameless.jpg", picture(250)))
    patch(archive, lambda data: data.__setitem__(central(data, "nameless.jpg") + 46, 0))  # a name ends at its first NUL
    assert read(archive, into)["a name that could lead out of the zip file"].names == ("",)


def test_folders_may_be_parted_as_on_windows(archive: Path, into: Pictures) -> None:
    write(archive, ("PetImages\\Cat\\more.jpg", picture(250)))
    assert read(archive, into) == {}
    assert len(into) == 25


def test_the_second_entry_of_a_name_is_skipped(archive: Path, into: Pictures) -> None:
    skipped = read(write(archive, ("PetImages/Cat/0.jpg", picture(250))), into)
    assert skipped["a second file of the same name"].names == ("PetImages/Cat/0.jpg",)
    assert len(into) == 24


def test_encrypted_entries_are_skipped(archive: Path, into: Pictures) -> None:
    write(archive, ("PetImages/Cat/secret.jpg", picture(250)))

    def encrypt(data: bytearray) -> None:
        data[central(data, "PetImages/Cat/secret.jpg") + 8] |= 1

    patch(archive, encrypt)
    assert read(archive, into)["encrypted"].names == ("PetImages/Cat/secret.jpg",)


@pytest.mark.parametrize(("compression", "said"), [(97, "cannot be read"), (8, "damaged or incomplete")])
def test_entries_that_cannot_be_unpacked_are_skipped(archive: Path, into: Pictures, compression: int, said: str) -> None:
    """One is compressed in an unknown way; the other says that it is compressed and is not."""
    write(archive, ("PetImages/Cat/odd.jpg", picture(250)), compression=zipfile.ZIP_STORED)

    def change(data: bytearray) -> None:
        name = "PetImages/Cat/odd.jpg"
        for place in (central(data, name) + 10, data.index(name.encode()) - 22):
            struct.pack_into("<H", data, place, compression)

    patch(archive, change)
    assert read(archive, into)[said].names == ("PetImages/Cat/odd.jpg",)


@pytest.mark.parametrize("declared", [0, 100, 2**31])
def test_an_entry_that_lies_about_its_size_is_skipped(archive: Path, into: Pictures, declared: int) -> None:
    noise = b"".join(picture(number) for number in range(20))
    write(archive, ("PetImages/Cat/liar.jpg", noise), pictures=12)

    def lie(data: bytearray) -> None:
        struct.pack_into("<I", data, central(data, "PetImages/Cat/liar.jpg") + 24, declared)

    patch(archive, lie)
    if declared > sources.MAX_EXPANSION * archive.stat().st_size:
        with pytest.raises(OutOfRangeError, match="as in a trap"):
            dataset.scan(archive)
    else:
        assert sum(one.files for one in read(archive, into).values()) == 1


def test_a_large_entry_is_not_unpacked(archive: Path, into: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 5_000)
    skipped = read(write(archive, ("PetImages/Cat/large.jpg", bytes(5_001))), into)
    assert skipped["too large"].names == ("PetImages/Cat/large.jpg",)


def test_a_zip_bomb_is_refused(archive: Path) -> None:
    write(archive, ("PetImages/Cat/bomb.jpg", bytes(5_000_000)))
    with pytest.raises(OutOfRangeError, match=r"which expand to 5,\d+,\d+, more than 200 times as many"):
        dataset.scan(archive)


def test_an_index_that_would_fill_memory_is_refused_before_it_is_read(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(archive)
    monkeypatch.setattr(sources, "MAX_INDEX_BYTES", 1_000)
    with pytest.raises(OutOfRangeError, match=r"an index of 1,\d+ bytes, and up to 1,000 are read"):
        dataset.scan(archive)


def test_a_zip_file_that_was_cut_off_is_to_be_got_anew(archive: Path) -> None:
    write(archive)
    archive.write_bytes(archive.read_bytes()[:-500])
    with pytest.raises(DataLossError, match=r"is a zip file that is incomplete or damaged .* get it anew"):
        dataset.scan(archive)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b a tar file, compressed", b"x" * 100_000])
def test_another_file_is_no_data_set(archive: Path, content: bytes) -> None:
    archive.write_bytes(content)
    with pytest.raises(InvalidArgumentError, match="is neither a folder nor a zip file"):
        dataset.scan(archive)


def test_damage_anywhere_ends_in_a_typed_error_or_a_skip(archive: Path, tmp_path: Path) -> None:
    write(archive)
    whole = archive.read_bytes()
    for place in range(0, len(whole), 211):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF, 0xFF]) + whole[place + 2 :])
        with Pictures(tmp_path) as into:
            try:
                read(archive, into)
            except FractosError as error:
                assert str(archive) in error.message


def test_three_classes_are_refused_by_name(archive: Path) -> None:
    write(archive, *((f"PetImages/Bird/{number}.jpg", picture(number)) for number in range(12)))
    with pytest.raises(
        InvalidArgumentError, match=r"has 3 classes \(Bird, Cat, Dog\), but a network of this node answers with one"
    ):
        dataset.scan(archive)


def test_names_cannot_write_to_the_terminal(archive: Path, into: Pictures) -> None:
    assert read(write(archive, ("PetImages/Cat/\x1b[31m.jpg", b"")), into)["empty"].names == ("PetImages/Cat/\\x1b[31m.jpg",)


def test_entries_are_read_side_by_side(archive: Path) -> None:
    write(archive, pictures=25)
    with sources.opened(archive) as source, ThreadPoolExecutor(8) as executor:
        names = list(source.files("")) * 20
        contents = list(executor.map(source.read, names))
        assert contents == [source.read(name) for name in names]


def test_an_unreadable_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read everything
    with pytest.raises(FailedPreconditionError, match=r"cannot be read: .*Permission denied"):
        dataset.scan(tmp_path)
