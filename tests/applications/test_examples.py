"""The example applications, run as the README says, and what they leave behind."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from PIL import Image

from Services.fractos.config import CODE_ROOT
from tests.applications.conftest import Run, run_python
from tests.cluster.conftest import Datacenter
from tests.terminal import COLUMNS, show

ANSWER = re.compile(r"^(?P<name>\S+): (?P<label>Cat|Dog) \((?P<probability>[\d.]+)%\)$", re.MULTILINE)


def storage(datacenter: Datacenter) -> Path:
    return datacenter.root / "Services/storage/admin"


def test_image_prediction_names_every_example_picture_right(run: Run, datacenter: Datacenter) -> None:
    ended = run("image_prediction_application.py")
    assert ended.returncode == 0, ended.stderr
    answers = {match["name"]: match["label"] for match in ANSWER.finditer(ended.stdout)}
    pictures = {path.name for path in storage(datacenter).glob("*.jpg")}
    assert answers.keys() == pictures
    assert len(pictures) >= 4
    for name, label in answers.items():
        assert name.startswith(label.lower())
        assert (storage(datacenter) / f"{Path(name).stem}_class.txt").read_text() == label
    ways = [line for line in ended.stdout.splitlines() if line.startswith("  application")]
    assert len(ways) == len(pictures)
    for way in ways:
        assert re.findall(r"→ (\S+) (\S+)", way) == [
            ("storage-0", "read_image"),
            ("cnn-0", "predict"),
            ("storage-0", "write_text"),
        ]


def test_the_way_of_a_run_fits_a_terminal(datacenter: Datacenter) -> None:
    program = str(CODE_ROOT / "Applications/image_prediction_application.py")
    shown = show([sys.executable, program, "cat_image2.jpg"], MOCKDC_PATH=str(datacenter.root))
    assert shown.code == 0, shown.raw
    answer, *way = [line for line in shown.lines if line]
    assert ANSWER.match(answer)
    assert len(way) > 1
    assert all(len(line) <= COLUMNS for line in way)
    assert re.findall(r"→ (\S+) (\S+) [\d.]+ ms", "\n".join(way))[-1] == ("storage-0", "write_text")


def test_a_local_picture_is_uploaded_first(run: Run, datacenter: Datacenter, tmp_path: Path) -> None:
    example = next(storage(datacenter).glob("cat_*.jpg"))
    with Image.open(example) as picture:
        picture.save(tmp_path / "my cat.png")
    ended = run("image_prediction_application.py", "my cat.png")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("my cat.png: Cat")
    assert (storage(datacenter) / "my cat_class.txt").read_text() == "Cat"


def test_another_client_has_other_files(run: Run, datacenter: Datacenter, tmp_path: Path) -> None:
    datacenter.run("clients", "add", "alice")
    (tmp_path / "dog.jpg").write_bytes(next(storage(datacenter).glob("dog_*.jpg")).read_bytes())
    ended = run("image_prediction_application.py", "dog.jpg", "--client-id", "alice")
    assert ended.returncode == 0, ended.stderr
    assert (storage(datacenter).parent / "alice/dog_class.txt").read_text() == "Dog"
    assert not (storage(datacenter) / "dog.jpg").exists()


def test_who_is_no_client_is_told_so(run: Run) -> None:
    ended = run("image_prediction_application.py", "--client-id", "mallory")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "no client 'mallory'" in ended.stderr


def test_a_client_without_pictures_is_told_so(run: Run, datacenter: Datacenter) -> None:
    datacenter.run("clients", "add", "nobody")
    ended = run("image_prediction_application.py", "--client-id", "nobody")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "nobody has no pictures in storage; name a local one, which is uploaded first\n"


def test_another_model_is_asked_for_by_name(run: Run) -> None:
    ended = run("image_prediction_application.py", "cat_image1.jpg", "--model", "birds")
    assert ended.returncode == 1
    assert "there is no model 'birds'" in ended.stderr


def test_one_bad_picture_does_not_stop_the_others(run: Run, datacenter: Datacenter, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"this is no picture")
    ended = run("image_prediction_application.py", "missing.jpg", "broken.jpg", "cat_image1.jpg")
    assert ended.returncode == 1
    assert "cat_image1.jpg: Cat" in ended.stdout
    assert "missing.jpg" in ended.stderr
    assert "broken.jpg" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_shift_left_doubles_step_by_step(run: Run, datacenter: Datacenter) -> None:
    ended = run("shift_left.py", "number.txt", "4")
    assert ended.returncode == 0, ended.stderr
    number = int((storage(datacenter) / "number.txt").read_text())
    assert ended.stdout == f"{number} << 4 = {number << 4}, stored as number_shifted.txt\n"
    assert int((storage(datacenter) / "number_shifted.txt").read_text()) == number << 4
    assert run("shift_left.py").stdout == ended.stdout  # nobody to ask: the defaults


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("nothing.txt", "2"), "nothing.txt"), (("number.txt", "901"), "from 0 to 900"), (("number.txt", "x"), "invalid int")],
)
def test_shift_left_says_what_is_wrong(run: Run, arguments: tuple[str, ...], says: str) -> None:
    ended = run("shift_left.py", *arguments)
    assert ended.returncode != 0
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_shift_left_asks_on_a_terminal(datacenter: Datacenter) -> None:
    """With a terminal on its input it prompts; Enter takes the default."""
    leader, follower = pty.openpty()
    os.write(leader, b"\n3\n")
    ended = subprocess.run(
        [sys.executable, str(CODE_ROOT / "Applications/shift_left.py")],
        stdin=follower,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "MOCKDC_PATH": str(datacenter.root)},
        check=False,
    )
    os.close(leader)
    os.close(follower)
    number = int((storage(datacenter) / "number.txt").read_text())
    assert f"{number} << 3 = {number << 3}" in ended.stdout


def test_the_template_runs(run: Run, datacenter: Datacenter) -> None:
    ended = run("application_template.py")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[0] == "2 * 20! = 4865804016353280000"
    assert (storage(datacenter) / "doubled.txt").read_text().strip() == "4865804016353280000"


def test_a_copy_of_the_template_runs_in_any_folder(datacenter: Datacenter, tmp_path: Path) -> None:
    shutil.copy(CODE_ROOT / "Applications/application_template.py", tmp_path / "mine.py")
    ended = run_python("mine.py", datacenter=datacenter, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("2 * 20! = ")


def test_a_picture_is_the_same_as_itself(run: Run, datacenter: Datacenter) -> None:
    ended = run("face_verification.py")
    assert ended.returncode == 0, ended.stderr
    lines = [line.split(": ") for line in ended.stdout.splitlines()]
    assert [name for name, _ in lines] == ["cat_image1.jpg", "cat_image2.jpg", "dog_image1.jpg"]
    assert lines[0][1] == "same (1.000) as cat_image1.jpg"
    for name, answer in lines:
        verdict, value = re.findall(r"^(same|different) \((-?[\d.]+)\)", answer)[0]
        assert verdict == ("same" if float(value) >= 0.9 else "different")
        assert (storage(datacenter) / f"{Path(name).stem}_verdict.txt").read_text() == verdict
    embedding = numpy.load(storage(datacenter) / "cat_image1_embedding.npy", allow_pickle=False)
    assert embedding.ndim == 1
    assert numpy.linalg.norm(embedding) > 0


def test_who_is_compared_and_how_strictly_can_be_said(run: Run) -> None:
    ended = run("face_verification.py", "dog_image1.jpg", "cat_image1.jpg", "nothing.jpg", "--threshold", "-1")
    assert ended.returncode == 1
    assert re.fullmatch(r"cat_image1.jpg: same \([\d.]+\) as dog_image1.jpg\n", ended.stdout)
    assert "nothing.jpg" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "nothing.jpg" in run("face_verification.py", "nothing.jpg").stderr


@pytest.mark.parametrize("script", ["image_prediction_application.py", "shift_left.py", "face_verification.py"])
def test_help_helps(run: Run, script: str) -> None:
    ended = run(script, "--help")
    assert ended.returncode == 0
    assert "default" in ended.stdout
