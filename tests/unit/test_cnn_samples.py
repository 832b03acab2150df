"""The drawings of the sample task."""

from __future__ import annotations

from pathlib import Path
from random import Random

from PIL import Image

from Services.ComputationalNodes.CNN.Node.samples import draw_picture, draw_samples


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.jpg")}


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    assert draw_samples(tmp_path, 2, seed=1) == 4
    assert set(contents(tmp_path)) == {f"{kind}/{kind.lower()}_image{i}.jpg" for kind in ("Cat", "Dog") for i in (1, 2)}
    for path in tmp_path.rglob("*.jpg"):
        with Image.open(path) as picture:
            assert picture.format == "JPEG"
            assert all(220 <= side <= 400 for side in picture.size)


def test_flat_names(tmp_path: Path) -> None:
    draw_samples(tmp_path, 1, seed=1, flat=True)
    assert set(contents(tmp_path)) == {"cat_image1.jpg", "dog_image1.jpg"}


def test_the_seed_decides_whatever_the_number(tmp_path: Path) -> None:
    for name, pictures, seed in (("few", 1, 1), ("more", 2, 1), ("other", 1, 2)):
        draw_samples(tmp_path / name, pictures, seed)
    few, more, other = (contents(tmp_path / name) for name in ("few", "more", "other"))
    assert few.items() <= more.items()
    assert all(few[name] != other[name] for name in few)


def test_what_exists_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "Cat" / "cat_image1.jpg"
    mine.parent.mkdir()
    mine.write_text("mine")
    assert draw_samples(tmp_path, 2, seed=1) == 3
    assert mine.read_text() == "mine"


def test_the_same_chance_draws_cat_and_dog_differently() -> None:
    assert draw_picture("Cat", Random(1)).tobytes() != draw_picture("Dog", Random(1)).tobytes()
