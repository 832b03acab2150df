"""Trains on a zip file like the cats-and-dogs one that people download, and says how much memory that takes.

    python3 benchmarks/cats_and_dogs.py [--pictures N] [--epochs N] [--noise] [--json]

Makes the zip (PetImages/Cat, PetImages/Dog; one file in a hundred is empty, cut off or no picture; others have a wrong
extension; a Thumbs.db in each folder; texts beside them), starts a datacenter without ZooKeeper in a temporary folder, lets its
CNN node train on the zip, and asks it for the class of a picture. Reports the peak of the resident memory of the node and of
its training process, how many files were skipped and why, and whether the zip is what it was, by its SHA-256. Exits with 1 if
it is not, if a file was skipped that should not have been, or if the node took more than 1.5 GB.

With --noise the pictures are random pixels, which are drawn faster than cats: enough to see what memory depends on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import psutil
from PIL import Image

from Services import pictures
from Services.ComputationalNodes.CNN.Node.samples import draw_picture
from Services.ComputationalNodes.CNN.Node.training import EPOCHS
from Services.fractos import Datacenter, TaskGraph, connect
from Services.fractos.config import CODE_ROOT

CLASSES = ("Cat", "Dog")
FORMATS = ("BMP", "GIF", "PNG")  # of the files that are called .jpg all the same
SIDE = 128  # pixels
POLL_S = 0.05
LIMIT_BYTES = 1_500_000_000
CONTROLLERS = {
    "application": "Applications/Application_Controller/application_controller.py",
    "cnn": "Services/ComputationalNodes/CNN/CNN_Controller/cnn_controller.py",
}


@dataclass
class Report:
    """What a training took and gave."""

    files: int
    zip_bytes: int
    expected_skipped: dict[str, int]
    skipped: dict[str, int]
    node_idle_bytes: int  # resident memory
    node_peak_bytes: int
    training_peak_bytes: int
    seconds: float
    epochs: int
    validation_accuracy: float
    validation_pictures: int
    answer: str  # of the datacenter, to a picture of a cat that is not in the zip
    zip_unchanged: bool

    @property
    def passed(self) -> bool:
        """Whether it is as it should be."""
        return self.zip_unchanged and self.skipped == self.expected_skipped and self.node_peak_bytes < LIMIT_BYTES


def make_zip(path: Path, count: int, draw: Callable[[str, int], Image.Image]) -> dict[str, int]:
    """Write a zip with `count` files for pictures; return how many of its files are to be skipped, by reason."""
    skipped: Counter[str] = Counter({"not a picture": len(CLASSES)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("MSR-LA - 3467.docx", b"PK\x03\x04 not really a document")
        archive.writestr("readme[1].txt", "Pictures of cats and dogs, drawn by a program.\n")
        for kind in CLASSES:
            archive.writestr(f"PetImages/{kind}/", b"")
            archive.writestr(f"PetImages/{kind}/Thumbs.db", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000))
            for number in range(count // 2):
                content, reason = _file(number, draw(kind, number))
                archive.writestr(f"PetImages/{kind}/{number}.jpg", content)
                skipped.update([reason] if reason else [])
    return dict(skipped)


def _file(number: int, picture: Image.Image) -> tuple[bytes, str]:
    """The content of a file and the reason why it will be skipped, if so: one in a hundred; one in fifty is no JPEG."""
    data = BytesIO()
    if number % 50 == 25:
        picture.save(data, format=FORMATS[number // 50 % len(FORMATS)])
        return data.getvalue(), ""
    picture.save(data, format="JPEG", quality=85)
    whole = data.getvalue()
    damage = [
        (b"", "empty"),
        (whole[: len(whole) // 2], "damaged or incomplete"),
        (b"<html>404 not found</html>", "not a picture"),
        (whole[:3], "damaged or incomplete"),
        (bytes(len(whole)), "not a picture"),
    ]
    return damage[number // 100 % len(damage)] if number % 100 == 60 else (whole, "")


def draw_noise(kind: str, number: int) -> Image.Image:
    """Random pixels, brighter for dogs."""
    generator = np.random.default_rng([number, CLASSES.index(kind)])
    return Image.fromarray(generator.integers(0, 128, (96, 96, 3), np.uint8) + np.uint8(100 * CLASSES.index(kind)))


@contextmanager
def running(root: Path) -> Iterator[Datacenter]:
    """A datacenter of a CNN and an application node in a folder that has a model already: none is trained at its start."""
    sections = [f"[{kind}_controller]\npaths_to_controller = {path}\nzookeeper = False\n" for kind, path in CONTROLLERS.items()]
    names = ", ".join(f"{kind}_controller" for kind in CONTROLLERS)
    (root / "data_center_setup.cfg").write_text(
        f"[DataCenter]\n[Controllers]\ncontroller_names = {names}\n" + "".join(sections)
    )
    node = root / "Services/ComputationalNodes/CNN/Node"
    for folder in ("Models/placeholder", "TrainingData/Cat"):
        (node / folder).mkdir(parents=True)
    (node / "TrainingData/Cat/none.txt").touch()
    command = [sys.executable, str(CODE_ROOT / "run_datacenter.py"), "--path", str(root)]
    try:
        subprocess.run([*command, "up"], check=True, stdout=sys.stderr)
        with connect(path=root, client_id="admin") as datacenter:
            yield datacenter
    finally:
        subprocess.run([*command, "down"], check=True, stdout=sys.stderr)


def measure(archive: Path, root: Path, epochs: int, expected: dict[str, int]) -> Report:
    """Train on a zip in a datacenter."""
    before = _digest(archive)
    with running(root) as datacenter:
        node = next(one for one in psutil.process_iter() if _is_node(one, root))
        idle, began = node.memory_info().rss, time.monotonic()
        train = TaskGraph("train")
        train.cnn.train(dataset=str(archive), epochs=epochs)
        datacenter.run(train, timeout_s=60)
        peaks: Counter[str] = Counter()
        while (known := _describe(datacenter)).training.state == 1:
            _watch(node, peaks)
            time.sleep(POLL_S)
        if known.training.error:
            raise SystemExit(known.training.error)
        seconds = time.monotonic() - began
        answer = _ask(datacenter)
        _watch(node, peaks)
    return Report(
        files=sum(expected.values()) + known.training_pictures + known.validation_pictures,
        zip_bytes=archive.stat().st_size,
        expected_skipped=expected,
        skipped={one.reason: one.files for one in known.skipped_by_reason},
        node_idle_bytes=idle,
        node_peak_bytes=peaks["node"],
        training_peak_bytes=peaks["training"],
        seconds=seconds,
        epochs=known.training.epoch,
        validation_accuracy=known.validation_accuracy,
        validation_pictures=known.validation_pictures,
        answer=answer,
        zip_unchanged=_digest(archive) == before,
    )


def _is_node(process: psutil.Process, root: Path) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return str(root) in words and "cnn-0" in words


def _describe(datacenter: Datacenter) -> Any:
    graph = TaskGraph("describe")
    description = graph.cnn.describe_model()
    graph.output(description)
    return datacenter.run(graph, timeout_s=60)[description]


def _ask(datacenter: Datacenter) -> str:
    drawn = BytesIO()
    draw_picture("Cat", Random("one that nobody has seen")).save(drawn, format="JPEG")
    graph = TaskGraph("predict")
    image = np.asarray(pictures.decode(drawn.getvalue(), SIDE, SIDE, source="a drawing"))
    answer = graph.cnn.predict(image=image)
    result = datacenter.run(graph, timeout_s=60)[answer]
    return f"{result.label} {result.probability:.1%}"


def _watch(node: psutil.Process, peaks: Counter[str]) -> None:
    peaks["node"] = max(peaks["node"], node.memory_info().rss)
    for child in node.children(recursive=True):
        try:
            peaks["training"] = max(peaks["training"], child.memory_info().rss)
        except psutil.NoSuchProcess:
            continue


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()


def main() -> int:
    """Read the command line, measure, print. Returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=2000, metavar="N", help="in the zip (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, metavar="N", help="at the most (default: %(default)s)")
    parser.add_argument("--noise", action="store_true", help="random pixels instead of drawings")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()
    draw = draw_noise if options.noise else lambda kind, number: draw_picture(kind, Random(f"3 {kind} {number}"))
    with tempfile.TemporaryDirectory() as scratch:
        archive, root = Path(scratch) / "kagglecatsanddogs.zip", Path(scratch) / "datacenter"
        root.mkdir()
        report = measure(archive, root, options.epochs, make_zip(archive, options.pictures, draw))
    if options.json:
        print(json.dumps(asdict(report), indent=2))
    else:
        for name, value in asdict(report).items():
            shown = (
                f"{value / 1e6:,.0f} MB" if name.endswith("_bytes") else f"{value:.4g}" if isinstance(value, float) else value
            )
            print(f"{name.removesuffix('_bytes'):22}{shown}")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
