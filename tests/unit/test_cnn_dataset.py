"""What is a training set, what is refused and why, and that nothing in it is ever altered."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from Services import pictures
from Services.ComputationalNodes.CNN.Node import dataset
from Services.ComputationalNodes.CNN.Node.models import SkippedFiles
from Services.ComputationalNodes.CNN.Node.picture_file import MAX_NAMED, SIDE, Pictures
from Services.fractos.errors import FailedPreconditionError, InvalidArgumentError, OutOfRangeError, ResourceExhaustedError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small data set: ten cats and twelve dogs."""
    folder = tmp_path / "pets"
    put(folder, "Cat", 10)
    put(folder, "Dog", 12)
    return folder


@pytest.fixture
def read_pictures(tmp_path: Path) -> Iterator[Pictures]:
    """Where pictures are read to."""
    with Pictures(tmp_path) as into:
        yield into


def put(folder: Path, name: str, count: int) -> None:
    (folder / name).mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (20, 10), (number, *f"{name} ".encode()[:2])).save(folder / name / f"{number:03}.png")


def read(folder: Path, into: Pictures) -> list[tuple[int, int]]:
    reports: list[tuple[int, int]] = []
    dataset.read(dataset.scan(folder), into, lambda done, of: reports.append((done, of)))
    return reports


def test_classes_are_the_folders_in_alphabetical_order(folder: Path) -> None:
    found = dataset.scan(folder)
    assert found.classes == ("Cat", "Dog")
    assert [label for _, label in found.files] == [0] * 10 + [1] * 12


def test_stray_and_hidden_files_do_not_belong(folder: Path) -> None:
    (folder / "readme.txt").write_text("about")
    (folder / ".cache").mkdir()
    (folder / "__MACOSX" / "Cat").mkdir(parents=True)
    (folder / "Cat" / ".DS_Store").write_text("x")
    (folder / "Cat" / ".thumbnails").mkdir()
    (folder / "Cat" / ".thumbnails" / "1.jpg").write_text("x")
    assert len(dataset.scan(folder).files) == 22


def test_pictures_may_lie_deeper_within_their_class(folder: Path) -> None:
    put(folder / "Cat", "kittens", 3)
    assert [label for _, label in dataset.scan(folder).files].count(0) == 13


def test_the_classes_may_lie_within_one_folder(tmp_path: Path) -> None:
    for name in ("Cat", "Dog"):
        put(tmp_path / "outer" / "PetImages", name, 10)
    (tmp_path / "outer" / "readme.txt").touch()
    found = dataset.scan(tmp_path)
    assert found.classes == ("Cat", "Dog")
    assert found.files[0] == ("outer/PetImages/Cat/000.png", 0)


def test_parts_of_a_data_set_are_not_its_classes(tmp_path: Path) -> None:
    for part in ("training_set", "test_set"):
        for name in ("cats", "dogs"):
            put(tmp_path / part / part, name, 10)
    with pytest.raises(InvalidArgumentError, match=r"two parts, each with cats, dogs; give one of the parts"):
        dataset.scan(tmp_path)
    assert dataset.scan(tmp_path / "training_set").classes == ("cats", "dogs")


@pytest.mark.parametrize(
    ("names", "said"), [([], "0 classes (no folders)"), (["Cat"], "1 classes (Cat)"), (["A", "B", "C"], "3 classes (A, B, C)")]
)
def test_exactly_two_classes(tmp_path: Path, names: list[str], said: str) -> None:
    for name in names:
        put(tmp_path, name, 10)
    with pytest.raises(InvalidArgumentError) as caught:
        dataset.scan(tmp_path)
    assert said in caught.value.message
    assert caught.value.field == "dataset"


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"there is no data set .*/nowhere"):
        dataset.scan(tmp_path / "nowhere")


@pytest.mark.parametrize(("cats", "dogs", "said"), [(9, 30, "too few"), (0, 30, "too few"), (10, 41, "too unbalanced")])
def test_too_few_or_unbalanced(tmp_path: Path, cats: int, dogs: int, said: str) -> None:
    put(tmp_path, "Cat", cats)
    put(tmp_path, "Dog", dogs)
    with pytest.raises(FailedPreconditionError) as caught:
        dataset.scan(tmp_path)
    assert said in caught.value.message
    assert f"Cat {cats}, Dog {dogs}" in caught.value.message


def test_pictures_have_the_pixels_that_storage_reads(folder: Path, read_pictures: Pictures) -> None:
    assert read(folder, read_pictures)[-1] == (22, 22)
    first, last = read_pictures.rows(np.array([0, 21]))
    for pixels, path in ((first, folder / "Cat/000.png"), (last, folder / "Dog/011.png")):
        expected = pictures.decode(path.read_bytes(), SIDE, SIDE, source=str(path))
        assert np.array_equal(pixels, np.asarray(expected))
    assert read_pictures.labels.tolist() == [0] * 10 + [1] * 12


def test_unreadable_files_are_skipped_counted_named_and_kept(folder: Path, read_pictures: Pictures) -> None:
    whole = (folder / "Dog/000.png").read_bytes()
    bad = {"Cat/a.jpg": b"", "Cat/b.txt": b"no picture", "Dog/c.png": whole[:40], "Dog/d.jpg": b""}
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    before = {path: path.stat() for path in folder.rglob("*")}
    read(folder, read_pictures)
    assert (read_pictures.skipped, read_pictures.skipped_pictures) == (list(bad), 4)
    assert read_pictures.skipped_by_reason == (
        SkippedFiles("empty", 2, ("Cat/a.jpg", "Dog/d.jpg")),
        SkippedFiles("not a picture", 1, ("Cat/b.txt",)),
        SkippedFiles("damaged or incomplete", 1, ("Dog/c.png",)),
    )
    assert len(read_pictures) == 22
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == {
        path: known.st_mtime_ns for path, known in before.items()
    }
    assert {name: (folder / name).read_bytes() for name in bad} == bad


def test_a_file_is_a_picture_by_its_content_whatever_its_name(folder: Path, read_pictures: Pictures) -> None:
    for number, kind in enumerate(("BMP", "GIF", "PNG", "WEBP")):
        Image.new("RGB", (9, 9), (200, 0, 50 * number)).save(folder / "Cat" / f"{kind}.jpg", format=kind)
    read(folder, read_pictures)
    assert (len(read_pictures), read_pictures.skipped) == (26, [])


def test_a_copy_is_skipped_so_that_no_picture_is_trained_and_validated_with(folder: Path, read_pictures: Pictures) -> None:
    shutil.copy(folder / "Cat/000.png", folder / "Dog/again.png")
    read(folder, read_pictures)
    assert read_pictures.skipped_by_reason == (SkippedFiles("a copy of another picture", 1, ("Dog/again.png",)),)


def test_the_pictures_are_on_disk_without_a_name(folder: Path, read_pictures: Pictures, tmp_path: Path) -> None:
    read(folder, read_pictures)
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]


def test_a_disk_without_room_is_noticed_first(folder: Path, read_pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1_000_000))
    with pytest.raises(ResourceExhaustedError, match=r"22 pictures take 0\.0 GB on disk .* has 0\.0 GB free"):
        read(folder, read_pictures)
    assert len(read_pictures) == 0


def test_more_files_than_are_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "MAX_FILES", 11)
    with pytest.raises(OutOfRangeError, match=r"Dog/ in the data set .* has more than 11 files"):
        dataset.scan(folder)


def test_a_hundred_skipped_files_are_named(tmp_path: Path, read_pictures: Pictures) -> None:
    put(tmp_path / "pets", "Cat", 30)
    put(tmp_path / "pets", "Dog", 30)
    for number in range(MAX_NAMED // 2 + 5):
        for name in ("Cat", "Dog"):
            (tmp_path / "pets" / name / f"{number}.bad").touch()
    read(tmp_path / "pets", read_pictures)
    assert (len(read_pictures.skipped), read_pictures.skipped_pictures) == (MAX_NAMED, MAX_NAMED + 10)


def test_too_few_once_the_unreadable_are_left_out(folder: Path, read_pictures: Pictures) -> None:
    (folder / "Cat/000.png").write_bytes(b"")
    read(folder, read_pictures)
    with pytest.raises(FailedPreconditionError, match=r"Cat 9, Dog 12; 1 skipped: empty"):
        dataset.check_read(dataset.scan(folder), read_pictures)


def test_names_that_are_no_unicode_can_be_told(folder: Path, read_pictures: Pictures) -> None:
    path = os.fsencode(folder / "Cat") + b"/\xff.jpg"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    read(folder, read_pictures)
    assert read_pictures.skipped == ["Cat/\\udcff.jpg"]


def test_a_split_takes_the_same_share_of_each_class() -> None:
    labels = np.array([0] * 50 + [1] * 100)
    split = dataset.split(labels, seed=1)
    assert labels[split.validation].tolist().count(0) == 10
    assert labels[split.validation].tolist().count(1) == 20
    assert sorted([*split.training, *split.validation]) == list(range(150))


def test_the_seed_decides_the_split() -> None:
    labels = np.array([0, 1] * 50)
    one, same, other = (dataset.split(labels, seed).validation.tolist() for seed in (1, 1, 2))
    assert one == same != other
