"""The cats-and-dogs zip in a real datacenter, and the command that trains on it, with a small one."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from Services.fractos.config import CODE_ROOT
from tests.applications.conftest import CNN, configure
from tests.cluster.conftest import Datacenter, until

BENCHMARK = CODE_ROOT / "benchmarks/cats_and_dogs.py"
MAKE_ZIP = """
import sys
sys.path.insert(0, "benchmarks")
from pathlib import Path
from cats_and_dogs import draw_noise, make_zip
make_zip(Path(sys.argv[1]), 202, draw_noise)
"""


def test_the_benchmark_trains_skips_only_what_is_broken_and_leaves_the_zip_as_it_was() -> None:
    command = [sys.executable, str(BENCHMARK), "--pictures", "202", "--epochs", "1", "--noise", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads(ended.stdout)
    assert report["zip_unchanged"]
    assert report["skipped"] == report["expected_skipped"] == {"empty": 2, "not a picture": 2}
    assert report["node_peak_bytes"] < 1.5e9
    assert report["validation_pictures"] == 40


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip like the one of cats and dogs, of 200 files."""
    path = tmp_path_factory.mktemp("downloads") / "pets.zip"
    subprocess.run([sys.executable, "-c", MAKE_ZIP, str(path)], cwd=CODE_ROOT, check=True, timeout=60)
    return path


@pytest.fixture
def datacenter(tmp_path: Path) -> Datacenter:
    """A datacenter that does not run and has no model."""
    return configure(tmp_path / "datacenter", zookeeper=False)


def test_the_command_trains_on_the_zip_and_an_interrupted_one_leaves_the_previous_model(
    datacenter: Datacenter, archive: Path
) -> None:
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    output = datacenter.run("train", "--dataset", str(archive), "--model", "pets")
    assert "skipped 2, empty: PetImages/Cat/60.jpg, PetImages/Dog/60.jpg" in output
    assert "skipped 2, not a picture: PetImages/Cat/Thumbs.db, PetImages/Dog/Thumbs.db" in output
    assert "on 40 pictures held out from the training" in output
    before = files(datacenter.root)
    assert {path.name for path in before if path.suffix == ".png"} == {"held_out_predictions.png", "training_curves.png"}

    with datacenter.start("train", "--dataset", str(archive), "--model", "pets") as launcher:
        assert launcher.stdout
        assert "model 'pets' (Cat, Dog) serves until this one is complete" in launcher.stdout.readline()
        until(lambda: "epochs" in launcher.stdout.readline(), "a first epoch")  # type: ignore[union-attr]
        launcher.send_signal(signal.SIGINT)
        output, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == 130
    assert "the training was cancelled and the models are as they were" in output
    assert not datacenter.processes()
    assert files(datacenter.root) == before
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == digest

    known = json.loads(datacenter.run("status", "--json", expect=1))
    assert [(model["model"], model["classes"]) for model in known["models"]] == [("pets", ["Cat", "Dog"])]


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (root / CNN / "Models").rglob("*") if path.is_file()}
