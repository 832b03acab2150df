"""What `--setup` makes, and what it leaves alone. The real samples are drawn; a model is there already, so none is trained."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cluster.conftest import Datacenter, until

CNN = Path("Services/ComputationalNodes/CNN/Node")


@pytest.fixture
def datacenter(make_datacenter: Callable[..., Datacenter]) -> Datacenter:
    """A datacenter with a CNN node and a model."""
    datacenter = make_datacenter()
    config = datacenter.root / "data_center_setup.cfg"
    text = config.read_text().replace("controller_names = ", "controller_names = cnn_controller, ")
    config.write_text(f"{text}[cnn_controller]\npaths_to_controller = tests/cluster/small_node.py\nzookeeper = False\n")
    (datacenter.root / CNN / "Models/default").mkdir(parents=True)
    return datacenter


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_pictures_are_drawn_once_also_after_an_interruption(datacenter: Datacenter) -> None:
    training_set = datacenter.root / CNN / "TrainingData"
    with datacenter.start("--setup") as launcher:
        until(lambda: list(datacenter.root.glob(".mockdc/training-set-unfinished-*/*/*.jpg")), "a first training picture")
        launcher.send_signal(signal.SIGKILL)
    assert not files(training_set)
    assert datacenter.run("down").startswith("stopped set-up")
    assert not datacenter.processes()
    datacenter.run("--setup")
    pictures = files(training_set)
    assert len(pictures) > 100
    assert {Path(name).parent.name for name in pictures} == {"Cat", "Dog"}
    assert {path.name for path in (datacenter.root / ".mockdc").iterdir()} == {"launcher.lock"}
    examples = datacenter.root / "Services/storage/admin"
    assert files(examples) == {f"{kind}_image{i}.jpg" for kind in ("cat", "dog") for i in range(1, 5)} | {"number.txt"}
    times = {path: path.stat().st_mtime_ns for path in datacenter.root.rglob("*") if ".mockdc" not in path.parts}
    datacenter.run("--setup")
    assert {path: time for path, time in times.items() if path.stat().st_mtime_ns != time} == {}


def test_what_a_user_put_there_is_left_as_it_is(datacenter: Datacenter) -> None:
    mine = [
        CNN / "TrainingData/Bird/tweety.jpg",
        Path("Services/storage/admin/number.txt"),
        Path("Services/storage/admin/me.jpg"),
    ]
    for path in mine:
        (datacenter.root / path).parent.mkdir(parents=True, exist_ok=True)
        (datacenter.root / path).write_text("mine")
    datacenter.run("--setup")
    assert files(datacenter.root / CNN / "TrainingData") == {"Bird/tweety.jpg"}
    assert files(datacenter.root / "Services/storage") == {"admin/number.txt", "admin/me.jpg"}
    assert {(datacenter.root / path).read_text() for path in mine} == {"mine"}


def test_moving_the_pictures_in_goes_on_where_it_was_interrupted(datacenter: Datacenter) -> None:
    (datacenter.root / "Services/storage/admin").mkdir(parents=True)
    (datacenter.root / "Services/storage/admin/me.jpg").touch()  # no examples are drawn then
    node = datacenter.root / CNN
    drawings = datacenter.root / ".mockdc/training-set"
    for path in (node / "TrainingData/Cat/1.jpg", drawings / "Dog/2.jpg"):
        path.parent.mkdir(parents=True)
        path.touch()
    datacenter.run("--setup")
    assert files(node / "TrainingData") == {"Cat/1.jpg", "Dog/2.jpg"}
    assert not drawings.exists()


def test_a_linked_folder_of_pictures_is_the_users_too(datacenter: Datacenter, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/tweety.jpg").touch()
    (datacenter.root / CNN / "TrainingData").mkdir()
    (datacenter.root / CNN / "TrainingData/Bird").symlink_to(tmp_path / "photos")
    datacenter.run("--setup")
    assert [path.name for path in (datacenter.root / CNN / "TrainingData").iterdir()] == ["Bird"]


def test_a_training_that_fails_says_why(datacenter: Datacenter) -> None:
    shutil.rmtree(datacenter.root / CNN / "Models")
    (datacenter.root / CNN / "TrainingData/Bird").mkdir(parents=True)
    (datacenter.root / CNN / "TrainingData/Bird/tweety.jpg").write_text("not a picture")
    output = datacenter.run("--setup", expect=1)
    assert "model 'default' could not be trained:" in output
    assert "Bird" in output
